"""How many prompts, written as users of image models write them, are read with an error that hurts, for each style."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grefine_core.prompt.syntax import parse_prompt

from ...tooling import tool

FOLDER = Path(__file__).parents[2] / "data" / "syntax"
ENTRIES: dict[str, list[dict[str, Any]]] = {}
# Rules are made on these; the ``wild_held*.json`` beside them are for ``tools/score_wild_prompts.py``, to see how rules
# carry over.
for _name in ("wild_dev", "wild_more", "wild_scenes"):
    for _entry in json.loads((FOLDER / f"{_name}.json").read_text("utf-8")):
        ENTRIES.setdefault(_entry["style"], []).append(_entry)
ALLOWED = 0.1

scoring = tool("score_wild_prompts")


@pytest.mark.parametrize("style", ENTRIES)
def test_one_in_ten_at_most_is_read_with_an_error_that_hurts(style: str) -> None:
    found = {entry["prompt"]: scoring.faults(entry, parse_prompt(entry["prompt"])) for entry in ENTRIES[style]}
    wrong = {prompt: faults for prompt, faults in found.items() if faults}
    assert len(wrong) <= ALLOWED * len(found), wrong


def test_every_kind_of_fault_is_found() -> None:
    prompt = "a red cat and a dog, oil painting"
    right = {"prompt": prompt, "want": ["cat", "dog"], "never": ["painting"], "apart": [["cat", "dog"]]}
    assert scoring.faults(right, parse_prompt(prompt)) == []
    wrong = right | {
        "want": ["horse"],
        "never": ["cat"],
        "no_head": ["dog"],
        "absent": ["dog"],
        "apart": [["red", "cat"]],
        "together": [["red", "dog"]],
        "foreign_text": ["a red cat"],
    }
    assert len(scoring.faults(wrong, parse_prompt(prompt))) == 7
