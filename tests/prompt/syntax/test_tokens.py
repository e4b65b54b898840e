from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grefine_core.prompt.syntax import parse_prompt
from grefine_core.prompt.syntax.tokens import STOP, WORD, tokenize


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("8 k, 1 9 7 9", ["8 k", "1 9 7 9"]),
        ("2 0 5 0 s shop", ["2 0 5 0 s", "shop"]),
        ("2 friends", ["2", "friends"]),
        ("4 dogs", ["4", "dogs"]),
        ("art by h. r. giger", ["art", "by", "h.", "r.", "giger"]),
        ("H.R. Giger", ["H.R.", "Giger"]),
        ("a cat. a dog.", ["a", "cat", "a", "dog"]),
        ("fox's eye", ["fox", "'s", "eye"]),
        ("5 o'clock", ["5", "o'clock"]),
        ("isn't sad", ["is", "n't", "sad"]),
        ("blue_hair", ["blue", "hair"]),
        ("sci-fi half - orc", ["sci-fi", "half", "orc"]),
        ("f/1.8, 16:9, 3D", ["f/1.8", "16:9", "3D"]),
        ("“wow”", ["wow"]),
        ("猫 🐱 кот", ["猫", "кот"]),
        ("the dog     's tail", ["the", "dog", "'s", "tail"]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert [token.text for token in tokenize(text) if token.kind == WORD] == words


@pytest.mark.parametrize("text", ["a cat\na dog", "a cat \na dog", "a cat \t\r\n a dog", "a cat_\n\na dog"])
def test_a_line_ends_also_behind_blanks(text: str) -> None:
    assert [token.kind for token in tokenize(text)] == [WORD, WORD, STOP, WORD, WORD]


@given(st.text(max_size=200))
def test_offsets_are_true_and_nothing_overlaps(text: str) -> None:
    end = 0
    for token in tokenize(text):
        assert text[token.start : token.end] == token.text
        assert token.start >= end
        end = token.end


@given(st.text(alphabet="ab1 8k.,'-()\n", max_size=200))
def test_every_letter_is_in_a_token(text: str) -> None:
    covered = {i for token in tokenize(text) for i in range(token.start, token.end)}
    assert all(i in covered for i, character in enumerate(text) if character.isalnum())


@pytest.mark.parametrize(
    "text",
    [
        "a café with crème brûlée",
        "a piñata and a jalapeño",
        "a vase from Škoda, Dvořák at a piano",
        "É. Manet, a “café” sign, the façade isn't sad",
        "ệ, ǖ and Ḯ, 8 k",
        "plain words, é",
    ],
)
def test_accents_of_their_own_belong_to_their_letters(text: str) -> None:
    apart = unicodedata.normalize("NFD", text)
    assert apart != text
    tokens = tokenize(apart)
    assert [(unicodedata.normalize("NFC", token.text), token.lower, token.kind, token.quoted) for token in tokens] == [
        (token.text, token.lower, token.kind, token.quoted) for token in tokenize(text)
    ]
    assert all(apart[token.start : token.end] == token.text for token in tokens)
    phrases = parse_prompt(apart).phrases
    assert [unicodedata.normalize("NFC", phrase.text) for phrase in phrases] == [
        phrase.text for phrase in parse_prompt(text).phrases
    ]
    for phrase in phrases:
        assert " ".join(apart[start:end] for start, end in phrase.spans) == phrase.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a x\u0302y hat", ["a", "x\u0302y", "hat"]),  # joins with nothing
        ("हिन्दी पाठ", ["हिन्दी", "पाठ"]),
        ("a \u0301 hat", ["a", "hat"]),  # belongs to no letter
        ("\u0301hat", ["hat"]),
        ("❤\ufe0f heart", ["heart"]),
    ],
)
def test_other_marks(text: str, words: list[str]) -> None:
    assert [token.text for token in tokenize(text) if token.kind == WORD] == words


@given(
    st.lists(st.sampled_from(["a", "e\u0301", "\u0301", "\u0323\u0302", " ", "-", "'", "n't", "1", "猫", "क\u093f"]))
)
def test_places_are_true_with_marks_anywhere(pieces: list[str]) -> None:
    text = "".join(pieces)
    end = 0
    for token in tokenize(text):
        assert token.start >= end
        end = token.end
        assert end > token.start
        assert text[token.start : end] == token.text
