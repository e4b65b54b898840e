"""What prompts are cut into, and what their parts are told to be."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grefine_core.prompt.languages import foreign_pieces, other_scripts
from grefine_core.prompt.parts import outline
from grefine_core.prompt.syntax.tokens import WALL_MARK
from grefine_core.prompt.tags import counted_noun


def parts(prompt: str) -> list[tuple[str, str]]:
    """Text of every part that is no prose, with its kind."""
    return [(prompt[part.start : part.end].strip(), part.kind) for part in outline(prompt).parts]


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("a red fox in the snow, soft light", []),
        ("1girl, long_hair, smile", [("1girl", "tag"), ("long_hair", "tag"), ("smile", "tag")]),
        ("score_9, source_anime, red fox", [("score_9", "style"), ("source_anime", "style"), ("red fox", "tag")]),
        ("a pond --no people, boats --ar 3:2", [("people, boats", "absent")]),
        ("a lake::2 fog::-0.5", [("fog", "absent")]),
        ("Subject: a fox\nStyle: ink\nAvoid: text", [("ink", "style"), ("text", "absent")]),
        ('{"subject": "a fox", "camera": {"lens": "85mm"}}', [("85mm", "style")]),
        ("a fox, un perro negro con ojos verdes", [("un perro negro con ojos verdes", "foreign")]),
        ("a fox, 雪の中", [("雪の中", "foreign")]),
    ],
)
def test_kinds_of_parts(prompt: str, wanted: list[tuple[str, str]]) -> None:
    assert parts(prompt) == wanted


@pytest.mark.parametrize(
    ("prompt", "pieces"),
    [
        ("(red hat:1.2) (blue eyes)", ["red hat", "blue eyes"]),
        ("a (red:1.3) hat", ["a red hat"]),
        ("a girl (with a red hat:1.2) smiling", ["a girl with a red hat smiling"]),
        ("(a bear:1.3) catching (a fish:1.2)", ["a bear catching a fish"]),
        ("a lake BREAK a hill", ["a lake", "a hill"]),
        ("embedding:face girl", ["girl"]),
        ("https://a.b/c.png a girl --ar 1:1", ["a girl"]),
        ("/imagine prompt: a girl", ["a girl"]),
        ('{"scene": "a hill", "steps": 20}', ["a hill"]),
        ("Subject: a hill | Background: a lake", ["a hill", "a lake"]),
    ],
)
def test_walls(prompt: str, pieces: list[str]) -> None:
    edges = {edge for group in outline(prompt).groups for edge in group.walls}
    stretches = [
        " ".join(stretch.replace("|", " ").replace(",", " ").split())
        for stretch in outline(prompt, edges).text.split(WALL_MARK)
    ]
    assert [stretch for stretch in stretches if stretch] == pieces


@pytest.mark.parametrize(
    ("word", "noun"),
    [
        ("1girl", "girl"),
        ("12dogs", "dogs"),
        ("8k", None),
        ("85mm", None),
        ("1980s", None),
        ("girl", None),
        ("3d", None),
    ],
)
def test_counted_nouns(word: str, noun: str | None) -> None:
    assert counted_noun(word) == noun


@pytest.mark.parametrize(
    ("pieces", "languages"),
    [
        (["ein roter Fuchs im Schnee", "Sonnenuntergang", "8k"], ["German", "German", "German"]),
        (["une femme avec un chat", "masterpiece"], ["French", None]),
        (["a statue of Jeanne d'Arc", "Notre Dame de Paris"], [None, None]),
        (["a mansion by the sea in Playa del Rey"], [None]),
        (["el gato"], ["Spanish"]),
        (["Los Angeles at night"], [None]),
    ],
)
def test_languages_by_their_words(pieces: list[str], languages: list[str | None]) -> None:
    found = foreign_pieces(pieces)
    assert [one for piece, one in zip(pieces, found, strict=True) if piece != "8k"] == [
        one for piece, one in zip(pieces, languages, strict=True) if piece != "8k"
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("一只狐狸, a fox", [("一只狐狸", "Chinese")]),
        ("狐, 雪の中", [("狐", "Japanese"), ("雪の中", "Japanese")]),
        ("рыжая лиса", [("рыжая лиса", "Cyrillic script")]),
        ("Δ and α", []),
        ("crème brûlée", []),
    ],
)
def test_languages_by_their_script(text: str, wanted: list[tuple[str, str]]) -> None:
    assert [(text[start:end], name) for start, end, name in other_scripts(text)] == wanted


@settings(max_examples=150)
@given(st.text(alphabet='ab1_ ,:|-\n"{}[]()<>#\u0441\u732b', max_size=80))
def test_offsets_stay_and_parts_do_not_overlap(prompt: str) -> None:
    found = outline(prompt)
    assert len(found.text) == len(prompt)
    for old, new in zip(prompt, found.text, strict=True):
        moved = new in '"_' and old in "()[]:1"  # from around a weight group to its words
        assert new in (" ", WALL_MARK) or new == old or moved
    ends = [0, *(part.end for part in found.parts)]
    assert all(part.start >= end for part, end in zip(found.parts, ends, strict=False))
