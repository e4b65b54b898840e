"""What emphasis writes reads as before: brackets are no walls around what is a phrase anyway."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from grefine_core.prompt.emphasis import emphasize
from grefine_core.prompt.syntax import PromptTree, parse_prompt

from ...effort import EFFORTS

DATA = Path(__file__).resolve().parents[2] / "data" / "syntax"
PROMPTS = [
    entry["prompt"]
    for name in ("wild_dev", "gold_a", "gold_b", "gold_c", "gold_d", "gold_e")
    for entry in json.loads((DATA / f"{name}.json").read_text("utf-8"))
]


def things(tree: PromptTree) -> list[str]:
    return [tree.phrases[i].text for i in tree.content if not tree.phrases[i].is_foreign]


def emphasised(prompt: str, every: int, style: str) -> str:
    tree = parse_prompt(prompt)
    phrases = [tree.phrases[i] for i in tree.content]
    verdicts = [
        SimpleNamespace(phrase=p, defect="noun", deficit=0.3 * (k % every) + 0.2) for k, p in enumerate(phrases)
    ]
    return emphasize(prompt, verdicts, style=style)


@pytest.mark.parametrize("every", [1, 3])
def test_weights_leave_every_phrase_as_it_was(every: int) -> None:
    changed = [
        prompt
        for prompt in PROMPTS
        if things(parse_prompt(emphasised(prompt, every, "weight"))) != things(parse_prompt(prompt))
    ]
    assert changed == []


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a (medieval knight:1.3) in (rusty armor:1.3) (kneeling:1.3)", ["medieval knight kneeling", "rusty armor"]),
        ("(holding:1.3)_(umbrella:1.3), 1girl", ["holding umbrella", "1girl"]),
        ('a (banner:1.2) "(SAVE US:1.2)"', ["banner SAVE US"]),
        ("(1girl:1.2), (bat:1.34)_(animal)", ["1girl", "bat"]),
        ("(garden) (tulips)", ["garden", "tulips"]),
        ("(red circle:1.2) (blue square:1.1)", ["red circle", "blue square"]),
    ],
)
def test_a_group_is_a_wall_only_where_words_would_be_one_phrase(prompt: str, expected: list[str]) -> None:
    assert things(parse_prompt(prompt)) == expected


@pytest.mark.parametrize("effort", EFFORTS)
def test_time_grows_with_length_alone(effort) -> None:
    parse_prompt("1girl " * 10)  # what is loaded on first use
    short, long = (effort(partial(parse_prompt, "1girl " * count)) for count in (500, 4000))
    assert long < 24 * short
