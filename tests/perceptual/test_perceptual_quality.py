"""PQ-Map: shapes, ranges, batches, the cask effect, bad input."""

from __future__ import annotations

import pytest
import torch

from grefine_core import alignment_quality, assess, perceptual_quality
from grefine_core.clip.embeddings import BOUNDS, FACTORS
from grefine_core.errors import InputError


@pytest.mark.parametrize("formula", ["paper", "released"])
def test_shapes_and_ranges(quality, pictures, formula):
    kept = pictures.clone()
    found = perceptual_quality(quality, pictures, formula)
    assert found.score.shape == (3,)
    assert list(found.factors) == list(FACTORS)
    assert found.quality_map.shape == found.defect_map.shape == (3, 45, 70)
    for values in (found.score, found.quality_map, found.defect_map, *found.factors.values()):
        assert values.dtype == torch.float32
        assert values.min() >= 0
        assert values.max() <= 1
    torch.testing.assert_close(found.quality_map + found.defect_map, torch.ones(3, 45, 70))
    assert torch.equal(pictures, kept)


@pytest.mark.parametrize("formula", ["paper", "released"])
def test_a_batch_gives_what_single_pictures_give(quality, pictures, formula):
    together = perceptual_quality(quality, pictures, formula)
    quality.clear_cache()
    for index, picture in enumerate(pictures):
        alone = perceptual_quality(quality, picture, formula)
        torch.testing.assert_close(alone.score[0], together.score[index], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone.quality_map[0], together.quality_map[index], atol=1e-5, rtol=0)


def test_pictures_differ(quality, pictures):
    found = perceptual_quality(quality, pictures)
    assert found.score.unique().numel() == 3
    assert found.quality_map.flatten(1).std(dim=1).min() > 0


def test_the_cask_effect(quality, pictures):
    found = perceptual_quality(quality, pictures)
    expected = found.factors["overall"].clone()
    for name, bound in BOUNDS.items():
        expected *= (found.factors[name] / bound).clamp(max=1)
    torch.testing.assert_close(found.score, expected)
    assert (found.score <= found.factors["overall"] + 1e-6).all()


def test_importance(quality, pictures):
    full = perceptual_quality(quality, pictures)
    lenient = perceptual_quality(quality, pictures, importance=(1.0, 0.6, 0.8))
    expected = full.factors["overall"] * (full.factors["technical"] / 0.935).clamp(max=1)
    expected = expected * (full.factors["rational"] / (0.892 * 0.6)).clamp(max=1)
    expected = expected * (full.factors["natural"] / (0.826 * 0.8)).clamp(max=1)
    torch.testing.assert_close(lenient.score, expected)
    assert (lenient.quality_map.mean((1, 2)) > full.quality_map.mean((1, 2))).all()
    named = perceptual_quality(quality, pictures, importance={"rational": 0.6, "natural": 0.8})
    torch.testing.assert_close(named.score, lenient.score)
    none = perceptual_quality(quality, pictures, importance=(1e-6, 1e-6, 1e-6))
    torch.testing.assert_close(none.score, none.factors["overall"])


@pytest.mark.parametrize(
    "importance", [(1, 1), (0, 1, 1), (1, 1, float("nan")), "111", {"sharpness": 1}, None, ("1", 1, 1)]
)
def test_bad_importance(quality, pictures, importance):
    with pytest.raises(InputError, match="importance"):
        perceptual_quality(quality, pictures, importance=importance)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(1, 3, 8, 8), "channels"),
        (torch.zeros(8, 8), "shape"),
        (torch.zeros(0, 8, 8, 3), "empty"),
        (torch.full((1, 8, 8, 3), float("nan")), "NaN"),
        (torch.zeros(1, 8, 8, 3, dtype=torch.int64), "dtype"),
        ("picture", "tensor"),
    ],
)
def test_bad_pictures(quality, image, message):
    with pytest.raises(InputError, match=f"image.*{message}"):
        perceptual_quality(quality, image)


@pytest.mark.parametrize("model", [None, "ViT-B-16", torch.nn.Linear(2, 2)])
def test_not_a_model(pictures, model):
    with pytest.raises(InputError, match="model: expected a QualityModel"):
        perceptual_quality(model, pictures)
    for measure in (alignment_quality, assess):
        with pytest.raises(InputError, match="model: expected a QualityModel"):
            measure(model, pictures, "a cat")


def test_unknown_calibration(quality, pictures):
    with pytest.raises(InputError, match="formula"):
        perceptual_quality(quality, pictures, "newest")


def test_a_single_pixel_and_a_long_strip(quality):
    for shape in ((1, 1), (3, 200)):
        found = perceptual_quality(quality, torch.rand(1, *shape, 3))
        assert found.quality_map.shape == (1, *shape)
        assert torch.isfinite(found.quality_map).all()
