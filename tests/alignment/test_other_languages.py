from __future__ import annotations

import logging

import pytest
import torch

from grefine_core.alignment import alignment_quality
from grefine_core.alignment.scoring import as_one_phrase
from grefine_core.alignment.texts import prompt_pieces, prompt_texts
from grefine_core.prompt.syntax import parse_prompt

GERMAN = "ein Hund mit einem roten Ball auf der Wiese"


def count(text: str) -> int:
    return len(text.split()) + 2


def test_other_languages_have_no_texts() -> None:
    tree = parse_prompt(f"a red fox, {GERMAN}, a green hill")
    texts = prompt_texts(tree, count, 77, "softmax")
    assert [phrase and phrase.text for phrase in texts.phrases] == ["red fox", None, "green hill"]
    assert prompt_pieces(tree, count, 77) == (("a red fox, a green hill", 8),)
    assert [phrase.text for phrase in as_one_phrase(tree)] == ["red fox green hill"]


@pytest.mark.parametrize("prompt", [GERMAN, "一只狐狸，雪地，夕阳", "рыжая лиса, зимний лес"])
def test_a_prompt_in_another_language_has_nothing_to_measure(prompt: str) -> None:
    tree = parse_prompt(prompt)
    texts = prompt_texts(tree, count, 77, "softmax")
    assert not any(texts.phrases)
    assert texts.pieces == ()


def test_what_is_not_measured_asks_for_nothing_and_is_named(planted, caplog: pytest.LogCaptureFixture) -> None:
    model = planted([("red meadow", "stone castle")])
    with caplog.at_level(logging.WARNING):
        found = alignment_quality(model, model.picture(0), GERMAN)
    assert [(each.defect, each.score, each.map) for each in found.phrases[0]] == [("none", 1.0, None)]
    assert torch.equal(found.score, torch.ones(1))
    assert not found.defect_map.any()
    assert all(part in caplog.text for part in ("reads English", "German", "Hund"))


def test_measured_anyway(planted) -> None:
    model = planted([("red meadow", "stone castle")])
    found = alignment_quality(model, model.picture(0), GERMAN, measure_anyway=True)
    (phrase,) = found.phrases[0]
    assert phrase.map is not None
