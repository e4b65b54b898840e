"""Which texts a prompt needs: pieces, heads, contrasts."""

from __future__ import annotations

import re

import pytest

from grefine_core.alignment.scoring import beats, share
from grefine_core.alignment.texts import ContrastVocabulary, NounGroup, prompt_pieces, prompt_texts
from grefine_core.prompt.markup import strip_markup


def count(text: str) -> int:
    return len(re.findall(r"\w+|[^\w\s]", text)) + 2


def test_the_texts_of_a_phrase(tree):
    parsed = tree(
        "three very red balloons near an old dog, 8k",
        ("three/CD very/RB red/JJ balloons/NNS*", None),
        ("old/JJ dog/NN*", 0),
        ("8k/NN*", None, True),
    )
    texts = prompt_texts(parsed, count, 77, "contrast")
    balloons, dog, style = texts.phrases
    assert (balloons.text, balloons.head) == ("three very red balloons", "balloons")
    assert (dog.text, dog.head) == ("old dog", "dog")
    assert style is None
    numbers, colours = balloons.variants
    assert "two very red balloons" in numbers
    assert "three very green balloons" in colours
    assert all(text.startswith("three very ") and text.endswith(" balloons") for text in colours)
    assert not {"dog", "balloon"} & set(balloons.nouns)
    assert "cat" in dog.nouns
    everything = list(texts)
    assert "" in everything
    assert strip_markup(parsed.prompt) in everything
    assert not any(text == "8k" for text in everything)
    plain = prompt_texts(parsed, count, 77, "softmax")
    assert list(plain) == ["", strip_markup(parsed.prompt), *[t for p in plain.phrases if p for t in (p.text, p.head)]]
    worded = prompt_texts(parsed, count, 77, "contrast", template="a photo of {}")
    assert worded.phrases[1].text == "a photo of old dog"
    assert "a photo of cat" in worded.phrases[1].nouns
    assert prompt_texts(parsed, count, 77, "contrast", include_style=True).phrases[2].text == "8k"


def test_the_same_texts_every_time(tree):
    parsed = tree("a red balloon", ("red/JJ balloon/NN*", None))
    assert list(prompt_texts(parsed, count, 77, "contrast")) == list(prompt_texts(parsed, count, 77, "contrast"))


def test_the_models_own_banks(tree):
    contrast_vocabulary = ContrastVocabulary(
        {"form": NounGroup((("star",), ("ring",)), names=("shape",)), "ground": NounGroup((("snow",), ("sand",)))},
        {"colour": ("red", "blue", "green"), "pattern": ("striped", "dotted", "")},
        captions=("a star on snow", "a ring on sand"),
    )
    parsed = tree("a striped red ring on sand", ("striped/JJ red/JJ ring/NN*", None), ("sand/NN*", 0))
    texts = prompt_texts(parsed, count, 77, "contrast", contrast_vocabulary=contrast_vocabulary)
    ring, sand = texts.phrases
    assert ring.nouns == sand.nouns == ("star", "snow")
    patterns, colours = ring.variants
    assert patterns == ("dotted red ring", "red ring")
    assert colours == ("striped blue ring", "striped green ring")
    assert texts.captions == ("a star on snow", "a ring on sand")
    old = tree("two old stars", ("two/CD old/JJ stars/NNS*", None))
    assert prompt_texts(old, count, 77, "contrast", contrast_vocabulary=contrast_vocabulary).phrases[0].variants == ()


def test_a_prompt_without_its_tree(tree):
    parsed = tree("a red balloon", ("red/JJ balloon/NN*", None))
    texts = prompt_texts(parsed, count, 77, "contrast", syntax=False)
    assert texts.phrases == ()
    assert texts.pieces == (("a red balloon", 5),)
    assert len(texts.captions) >= 40


def test_a_prompt_that_fits_is_one_piece_without_its_markup(tree):
    parsed = tree("a (red:1.3) balloon <lora:x:1>", ("red/JJ balloon/NN*", None))
    ((text, tokens),) = prompt_pieces(parsed, count, 77)
    assert text == strip_markup(parsed.prompt)
    assert "1.3" not in text
    assert "lora" not in text
    assert tokens == count(text)


def test_long_prompts_are_cut_at_phrase_borders(tree):
    prompt = "a (red:1.3) balloon, two old dogs, one stone castle, seven white horses"
    parsed = tree(
        prompt,
        ("red/JJ balloon/NN*", None),
        ("two/CD old/JJ dogs/NNS*", None),
        ("one/CD stone/NN castle/NN*", None),
        ("seven/CD white/JJ horses/NNS*", None),
    )
    pieces = prompt_pieces(parsed, count, 11)
    assert len(pieces) == 2
    assert all(count(text) <= 11 and tokens == count(text) for text, tokens in pieces)
    words = " ".join(text for text, _ in pieces)
    assert re.findall(r"\w+", words) == re.findall(r"\w+", prompt.replace("(red:1.3)", "red"))
    for phrase in parsed:
        assert sum(phrase.text in text for text, _ in pieces) == 1


def test_one_phrase_longer_than_the_context_is_cut_at_words(tree):
    prompt = "word " * 40 + "end"
    parsed = tree(prompt, *[("/".join(("word", "NN")), None)] * 1)
    pieces = prompt_pieces(parsed, count, 12)
    assert sum(len(text.split()) for text, _ in pieces) == 41
    assert all(count(text) <= 12 for text, _ in pieces)


def test_a_single_endless_word_is_left_to_the_tokenizer(tree):
    def letters(text: str) -> int:
        return len(text.replace(" ", "")) + 2

    ((text, tokens),) = prompt_pieces(tree("x" * 300), letters, 77)
    assert (len(text), tokens) == (300, 77)


def test_shares():
    assert share(0.3, [0.3, 0.3], 100) == pytest.approx(0.5)
    assert share(0.3, [0.3] * 50, 100) == pytest.approx(0.5)
    assert share(0.35, [0.3, 0.3], 100) > 0.99
    assert share(0.30, [0.25, 0.35], 100) < 0.05
    assert share(0.3, [], 100) is None
    assert share(1.0, [-1.0], 1e6) == pytest.approx(1.0)
    assert share(-1.0, [1.0], 1e6) == pytest.approx(0.0)
    # Another thing in the picture that fits better hides it only by its part of the average.
    assert share(0.30, [0.33] + [0.20] * 179, 100) > 0.85
    assert beats(0.3, 0.2, 100) == pytest.approx(1 / (1 + 2.718281828**-10), rel=1e-6)
