"""Sentences of paragraphs: what is a thing in them, and which of their words are verbs."""

from __future__ import annotations

import pytest

from grefine_core.prompt.syntax import parse_prompt

SENTENCES = [
    ("A black cap catches a thread along its edge.", ["black cap catches", "thread", "edge"]),
    ("A ladder leans in the corner.", ["ladder leans", "corner"]),
    ("There are cookie crumbs everywhere.", ["cookie crumbs everywhere"]),
    ("The towers pierce the mist, crowned by circling crows.", ["towers pierce crowned", "mist", "circling crows"]),
    ("Palms arch overhead, casting lacy shadows.", ["Palms arch overhead casting", "lacy shadows"]),
    ("Her face stays crisp.", ["face stays crisp"]),
    ("A singer leans on the bar in the 1950s.", ["singer leans", "bar"]),
    ("His piercing blue eyes are framed by brows.", ["piercing blue eyes framed", "brows"]),
    ("A tent stands above the overgrown midway.", ["tent stands", "overgrown midway"]),
]


@pytest.mark.parametrize(("sentence", "phrases"), SENTENCES)
def test_sentence_is_read_as_its_things(sentence: str, phrases: list[str]) -> None:
    tree = parse_prompt(sentence)
    assert [tree.phrases[i].text for i in tree.content] == phrases


def test_place_that_opens_a_clause_or_names_the_picture_is_no_thing() -> None:
    for prompt in ("In the corner hang dried chillies.", "A kettle stands at the edge of the frame."):
        tree = parse_prompt(prompt)
        assert not {"corner", "edge"} & {tree.phrases[i].head.text for i in tree.content}


def test_poster_that_shows_something_is_style() -> None:
    tree = parse_prompt("The poster shows a samurai standing alone on a red wooden bridge.")
    assert [tree.phrases[i].head.text for i in tree.content] == ["samurai", "bridge"]
