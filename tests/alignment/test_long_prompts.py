"""Prompts of many thousand words, as scripts paste them: seconds, not minutes."""

from __future__ import annotations

import time

import pytest
import torch

from grefine_core import QualityModel, assess, emphasize
from grefine_core.standins import build_clip, build_embeddings

LENGTH = 50_000
#: Seconds of this process. It takes some three; when the work of every phrase grew with their number, it took a hundred.
MOST = 25.0


@pytest.mark.parametrize(
    "unit", ["a red cat beside an old stone castle, ", "(a small dog:1.1) with (a hat), ", "漢字と猫🐈 "]
)
def test_a_very_long_prompt_is_measured_and_emphasised_in_seconds(unit):
    prompt = (unit * (LENGTH // len(unit) + 1))[:LENGTH]
    quality = QualityModel(build_clip(), build_embeddings())
    start = time.process_time()
    found = assess(quality, torch.rand(1, 32, 32, 3), prompt)
    emphasised = emphasize(prompt, found.alignment.phrases[0])
    assert time.process_time() - start < MOST
    assert len(emphasised) >= len(prompt)
    assert found.alignment.defect_map.isfinite().all()
