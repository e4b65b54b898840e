"""What a prompt puts side by side, and what may be a part of something else."""

from __future__ import annotations

import pytest

from grefine_core.prompt.syntax import Phrase, Word, parse_prompt
from grefine_core.prompt.syntax.relations import stand_apart


@pytest.mark.parametrize(
    ("prompt", "apart"),
    [
        ("a mushroom and a fish", True),
        ("there is a mushroom, as well as two little fish", True),
        ("an apple hovers over two dotted white rings", True),
        ("a car next to the old tree", True),
        ("a little purple heart. There is also a big mushroom", True),
        ("a man with a hat", False),
        ("a flower on a house", False),
        ("a wall in front of a house", False),
        ("1girl, hat", False),
        ("a cat of glass", False),
    ],
)
def test_side_by_side(prompt, apart):
    first, second = parse_prompt(prompt).phrases[:2]
    assert stand_apart(first, second) is apart
    assert stand_apart(second, first) is apart


def test_a_third_between_them_says_nothing_of_the_two():
    phrases = parse_prompt("a man wearing sunglasses and a hat").phrases
    assert not stand_apart(phrases[0], phrases[2])


def test_phrases_without_their_prompt_are_not_known():
    first, second = (Phrase(words=(word,), head=word) for word in (Word("cat", 0, "NN"), Word("dog", 8, "NN")))
    assert not stand_apart(first, second)
