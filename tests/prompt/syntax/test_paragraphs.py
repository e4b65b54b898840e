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
    ("She leans on a rail and rests both elbows on it.", ["leans rail rests", "elbows"]),
    ("A cart is laden with pumpkins.", ["cart laden", "pumpkins"]),
    ('The words "GONE FISHING" appear on a door.', ["words GONE FISHING appear", "door"]),
    ("Sacks of red and white rice recede into a barn.", ["Sacks recede", "red white rice", "barn"]),
    ("Cattle graze undisturbed near a fence.", ["Cattle graze undisturbed", "fence"]),
    ("Moisture beads on the iron lid of the stove.", ["Moisture beads", "iron lid", "stove"]),
    ("Pots gleam, and bunches of lilac dry from a beam.", ["Pots gleam", "bunches dry", "lilac", "beam"]),
    ("A cat sleeps on its back beside the back door.", ["cat sleeps", "back", "back door"]),
    ("A rat sits on the back of a mule.", ["rat sits", "back", "mule"]),
    ("A clerk in his forties opens a hatch polished by decades of use.", ["clerk opens", "hatch polished"]),
    ("A dog begs beside a crate of oranges.", ["dog begs", "crate", "oranges"]),
    ("The camera looks down at a raft.", ["raft"]),
    ("Maids squeeze past with pails.", ["Maids squeeze past", "pails"]),
]

ABOUT = [
    "Captured from a rooftop, the image isolates the crowd.",
    "Painted in loose strokes, the piece recalls old postcards.",
    "The shot makes the viewer feel like part of a dance.",
    "The photograph looks as though it belongs in a thick cookbook.",
    "The photographer used a slow shutter.",
    "Airy and full of joy.",
    "The forge is the only source of illumination.",
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


@pytest.mark.parametrize("sentence", ABOUT)
def test_what_is_said_about_the_picture_names_no_thing(sentence: str) -> None:
    tree = parse_prompt(f"A crowd dances around a forge. {sentence}")
    assert {tree.phrases[i].head.text for i in tree.content} <= {"crowd", "forge"}


def test_places_that_are_dim_name_no_thing() -> None:
    tree = parse_prompt("A cook shouts in the dim background, giving a sense of scale.")
    assert [tree.phrases[i].head.text for i in tree.content] == ["cook"]
