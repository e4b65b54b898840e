"""Prompts of many thousand words, as scripts paste them: the work grows with the length, not with its square."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from grefine_core import QualityModel, assess, emphasize

from ..effort import EFFORTS
from ..tiny_models import build_clip, build_embeddings

SHORT, LONG = 5_000, 20_000
#: How much more a character may cost in the long prompt than in the short one. When the work of every phrase grew with
#: their number it was four times as much, and more.
GROWTH = 2.0


def _judge(quality: QualityModel, prompt: str) -> None:
    quality.clear_cache()
    found = assess(quality, torch.rand(1, 32, 32, 3), prompt)
    emphasised = emphasize(prompt, found.alignment.phrases[0])
    assert len(emphasised) >= len(prompt)
    assert found.alignment.defect_map.isfinite().all()


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize(
    ("unit", "end"),
    [
        ("a red cat beside an old stone castle, ", ""),
        ("(a small dog:1.1) with (a hat), ", ""),
        ("(a small dog:1.1) with (a hat), ", "(and a stray (parenthesis)"),
        ("漢字と猫🐈 ", ""),
    ],
)
def test_a_character_costs_no_more_in_a_very_long_prompt(unit, end, effort):
    quality = QualityModel(build_clip(), build_embeddings())
    _judge(quality, unit)  # what is loaded on first use is not the prompt's cost
    prompts = (unit * (length // len(unit)) + end for length in (SHORT, LONG))
    short, long = (effort(partial(_judge, quality, prompt)) for prompt in prompts)
    assert long / LONG < GROWTH * short / SHORT
