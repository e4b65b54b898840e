from __future__ import annotations

import pytest
from nltk.tree import Tree

from grefine_core.prompt.syntax import Phrase, PromptTree, Word, parse_prompt

RED, BIG, CAR = Word("red", 2, "JJ"), Word("big", 10, "JJ"), Word("car", 6)


def test_word_end() -> None:
    assert RED.end == 5


def test_phrase_text_and_modifiers() -> None:
    phrase = Phrase((RED, CAR), CAR)
    assert phrase.text == "red car"
    assert phrase.modifiers == (RED,)
    assert (phrase.ancestor, phrase.is_style) == (None, False)


def test_equal_words_at_other_places_stay_modifiers() -> None:
    first, second = Word("duck", 0), Word("duck", 5)
    assert Phrase((first, second), second).modifiers == (first,)


@pytest.mark.parametrize(
    ("prompt", "spans"),
    [
        ("a red car", ((2, 9),)),
        ("a red  \n car", ((2, 12),)),
        ("a red, car", ((2, 5), (7, 10))),
        ("a red (car", ((2, 5), (7, 10))),
    ],
)
def test_spans_join_over_blanks_only(prompt: str, spans: tuple[tuple[int, int], ...]) -> None:
    words = (Word("red", 2, "JJ"), Word("car", prompt.index("car")))
    assert Phrase(words, words[1], prompt=prompt).spans == spans


def test_spans_without_the_prompt() -> None:
    assert Phrase((RED, CAR, BIG), CAR).spans == ((2, 13),)
    assert Phrase((RED, Word("car", 8)), CAR).spans == ((2, 5), (8, 11))


def test_the_prompt_takes_no_part_in_comparisons() -> None:
    assert Phrase((RED, CAR), CAR, prompt="a red car") == Phrase((RED, CAR), CAR)


def test_tree() -> None:
    tree = PromptTree("a red car", (Phrase((RED,), RED, is_style=True), Phrase((CAR,), CAR)))
    assert len(tree) == 2
    assert [phrase.head for phrase in tree] == [RED, CAR]
    assert tree.content == (1,)


def test_as_a_tree_of_nltk() -> None:
    tree = parse_prompt("a red car beside a tall tower with a flag, oil painting").to_nltk()
    assert isinstance(tree, Tree)
    assert tree == Tree.fromstring(
        "(PROMPT (NP (JJ red) (NN car) (NP (JJ tall) (NN tower) (NP (NN flag)))) (STYLE (NN oil) (NN painting)))"
    )
    assert "tower" in tree.pformat()
    assert parse_prompt("").to_nltk() == Tree("PROMPT", [])


def test_a_tree_of_nltk_for_a_chain_of_any_length() -> None:
    words = [Word(f"w{index}", 4 * index) for index in range(3000)]
    phrases = tuple(Phrase((word,), word, index - 1 if index else None) for index, word in enumerate(words))
    node, depth = PromptTree("", phrases).to_nltk(), 0
    while isinstance(node[-1], Tree) and node[-1].label() in ("NP", "PROMPT"):
        node, depth = node[-1], depth + 1
    assert depth == len(words)
