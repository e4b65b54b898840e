"""PQ-Map against the golden numbers, both calibrations, with the published embeddings."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from grefine_core import QualityModel, perceptual_quality
from grefine_core.clip.embeddings import BOUNDS, FACTORS
from grefine_core.clip.quality_model import ImageFeatures

TIGHT = {"atol": 1e-4, "rtol": 0}


@pytest.fixture
def model(golden_clip):
    return QualityModel(golden_clip)


@pytest.fixture
def image(golden):
    return golden.image[None].float() / 255


@pytest.fixture
def features(golden):
    """The golden image features."""
    return ImageFeatures(golden.image_features, (14, 14))


def test_text_features_of_the_published_embeddings(model, golden):
    ours = torch.stack([model.factor_features()[name] for name in FACTORS])
    torch.testing.assert_close(ours, golden.pq_text_features, **TIGHT)


def test_paper_scores_and_patches(model, golden, image, features):
    found = perceptual_quality(model, image, "paper", features=features)
    scores = torch.stack([found.factors[name][0] for name in FACTORS])
    torch.testing.assert_close(scores, golden.paper_scores.float(), **TIGHT)

    patches = golden.paper_patch_logits.softmax(-1)[..., 0]
    expected = patches[0].clone()
    for index, name in enumerate(FACTORS[1:], start=1):
        expected *= (patches[index] / BOUNDS[name]).clamp(max=1)
    large = F.interpolate(expected.reshape(1, 1, 14, 14), size=(240, 320), mode="bicubic").clamp(0, 1)[0]
    torch.testing.assert_close(found.quality_map, large, **TIGHT)
    torch.testing.assert_close(found.defect_map, 1 - large, **TIGHT)

    overall, technical, rational, natural = golden.paper_scores.tolist()
    cask = overall * min(technical / 0.935, 1) * min(rational / 0.892, 1) * min(natural / 0.826, 1)
    assert found.score[0].item() == pytest.approx(cask, abs=1e-4)


def test_released_scores_and_map(model, golden, image, features):
    found = perceptual_quality(model, image, "released", features=features)
    scores = torch.stack([found.factors[name][0] for name in FACTORS])
    torch.testing.assert_close(scores, golden.released_scores, **TIGHT)
    assert found.score[0].item() == pytest.approx(golden.released_multi_score.item(), abs=1e-4)
    torch.testing.assert_close(found.quality_map[0], golden.released_map_overall, **TIGHT)


def test_from_the_picture_itself(model, golden, image):
    """The whole way from 8-bit pixels."""
    paper = perceptual_quality(model, image)
    ours = torch.stack([paper.factors[name][0] for name in FACTORS])
    torch.testing.assert_close(ours, golden.paper_scores.float(), **TIGHT)
    released = perceptual_quality(model, image, "released")
    ours = torch.stack([released.factors[name][0] for name in FACTORS])
    torch.testing.assert_close(ours, golden.released_scores, **TIGHT)
    torch.testing.assert_close(released.quality_map[0], golden.released_map_overall, **TIGHT)
    assert model.encoder_calls == 1
