"""A picture without a thing of its prompt does not have an alignment score of 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grefine_core.alignment import assess
from grefine_core.miniature.loading import SHIPPED, load_choices, load_miniature_quality_model
from grefine_core.miniature.world import EXAMPLE
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


def test_the_shipped_example_lacks_its_fish(monkeypatch):
    """What everybody sees first: the picture of the first template, whose fish was left out."""
    monkeypatch.delenv("GREFINE_MINIATURE", raising=False)
    quality, chosen = load_miniature_quality_model(), load_choices().assessment()
    example = load_picture(EXAMPLE)
    found = assess(quality, example.image, [example.text["parameters"]], **chosen).alignment
    (phrases,) = found.phrases
    assert [phrase.phrase.head.text for phrase in phrases if phrase.unmatched] == ["fish"]
    assert float(found.score[0]) < 1.0
