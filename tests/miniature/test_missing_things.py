"""A picture without a thing of its prompt does not have an alignment score of 1."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from grefine_core.alignment import assess
from grefine_core.miniature.loading import SHIPPED, load_choices, load_miniature_quality_model
from grefine_core.miniature.world import DEMO_INDEX, EXAMPLE, EXAMPLE_INDEX
from grefine_core.pictures import load_picture
from grefine_research.miniature.generator import make_sample

pytestmark = pytest.mark.skipif(not SHIPPED.is_dir(), reason="MINIATURE MODELS MISSING: train them, see the recipe")
PICTURES = 10


def without_their_thing():
    number = 0
    while True:
        sample = make_sample("test", number, kinds=("alignment",))
        number += 1
        if [defect.name for defect in sample.defects] == ["missing"]:
            yield sample


def test_what_is_missing_costs_and_is_marked(monkeypatch):
    monkeypatch.delenv("GREFINE_MINIATURE", raising=False)
    quality, chosen = load_miniature_quality_model(), load_choices().assessment()
    samples = [sample for _, sample in zip(range(PICTURES), without_their_thing(), strict=False)]
    images = torch.from_numpy(np.stack([sample.image for sample in samples])).clamp(0.0, 1.0)
    found = assess(quality, images, [sample.caption.prompt for sample in samples], **chosen).alignment
    noticed = [bool(unmatched) for unmatched in found.unmatched]
    assert (found.score < 1.0).tolist() == noticed
    assert found.defect_map.flatten(1).any(dim=1).tolist() == noticed
    assert all(found.measured)
    assert sum(noticed) >= 0.7 * PICTURES


def test_the_demo_takes_the_first_whose_faults_are_clear_and_noticed(monkeypatch):
    monkeypatch.delenv("GREFINE_MINIATURE", raising=False)
    quality, chosen = load_miniature_quality_model(), load_choices().assessment()

    def noticed(sample):
        image = torch.from_numpy(sample.image).clamp(0.0, 1.0).unsqueeze(0)
        found = assess(quality, image, [sample.caption.prompt], **chosen)
        return (
            bool(found.alignment.unmatched[0]) and float(found.perceptual.score[0]) < quality.calibration.perceptual_bar
        )

    clear = (sample for number in itertools.count() if (sample := make_sample("test", number)).clear)
    first = next(sample for sample in clear if noticed(sample))
    assert first.index == DEMO_INDEX
    # What the first template opens with is a later one of them, as a file.
    shown = make_sample("test", EXAMPLE_INDEX)
    assert shown.clear
    assert noticed(shown)
    example = load_picture(EXAMPLE)
    torch.testing.assert_close(example.image[0], torch.from_numpy(shown.image).clamp(0.0, 1.0), rtol=0, atol=1 / 255)
    assert example.text["parameters"] == shown.caption.prompt
