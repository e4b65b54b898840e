"""The worst region of the PQ map: the lowest mean over 3 × 3 patches, whatever the grid."""

from __future__ import annotations

import pytest
import torch

from grefine_core import alignment, perceptual_quality
from grefine_core.clip.quality_model import ImageFeatures
from grefine_core.perceptual import worst_region


def by_hand(grid: torch.Tensor) -> float:
    """Of a map (h, w): every patch with the neighbours that it has, one after the other."""
    height, width = grid.shape
    return min(
        float(grid[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean()) for y in range(height) for x in range(width)
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (2, 5), (1, 9), (3, 3), (7, 4), (14, 14)])
def test_it_is_the_lowest_mean_of_any_neighbourhood(size):
    maps = torch.rand(4, 1, *size, generator=torch.Generator().manual_seed(3))
    kept = maps.clone()
    found = worst_region(maps)
    assert found.shape == (4,)
    assert found.tolist() == pytest.approx([by_hand(each) for each in maps[:, 0]], abs=1e-6)
    assert torch.equal(maps, kept)


def test_a_hole_shows_and_a_single_patch_hardly():
    grid = torch.full((1, 1, 14, 14), 0.9)
    hole, speck, corner = grid.clone(), grid.clone(), grid.clone()
    hole[..., 4:7, 8:11] = 0.1
    speck[..., 5, 9] = 0.1
    corner[..., 0, 0] = 0.1
    assert float(worst_region(grid)) == pytest.approx(0.9)
    assert float(worst_region(hole)) == pytest.approx(0.1)
    assert float(hole.mean()) > 0.86  # what the average says of it
    assert float(worst_region(speck)) == pytest.approx((8 * 0.9 + 0.1) / 9)
    assert float(worst_region(corner)) == pytest.approx((3 * 0.9 + 0.1) / 4)  # over the patches that there are


@pytest.mark.parametrize("formula", ["paper", "released"])
def test_every_picture_has_its_own(quality, pictures, formula):
    together = perceptual_quality(quality, pictures, formula).worst_region
    assert (together.shape, together.dtype) == ((3,), torch.float32)
    assert together.min() >= 0
    assert together.max() <= 1
    assert together.unique().numel() == 3
    for index, picture in enumerate(pictures):
        alone = perceptual_quality(quality, picture, formula).worst_region
        torch.testing.assert_close(alone[0], together[index], atol=1e-5, rtol=0)


@pytest.mark.parametrize("formula", ["paper", "released"])
def test_it_is_that_of_the_map_before_it_is_enlarged(quality, pictures, formula):
    """With a picture of as many pixels as the model has patches nothing is enlarged: the map is the patches'."""
    features = quality.features_of(pictures)
    small = torch.zeros(3, *features.grid, 3)
    found = perceptual_quality(quality, small, formula, features=features)
    assert found.worst_region.tolist() == pytest.approx([by_hand(each) for each in found.quality_map], abs=1e-6)
    shown = perceptual_quality(quality, pictures, formula)
    torch.testing.assert_close(shown.worst_region, found.worst_region, rtol=0, atol=1e-5)


def test_importance_counts(quality, pictures):
    strict = perceptual_quality(quality, pictures).worst_region
    lenient = perceptual_quality(quality, pictures, importance=(1.0, 0.6, 0.8)).worst_region
    assert (lenient > strict).all()


def test_a_model_of_a_single_patch(quality, pictures):
    tokens = quality.features_of(pictures).tokens[:, :2]
    found = perceptual_quality(quality, pictures, features=ImageFeatures(tokens, (1, 1)))
    torch.testing.assert_close(found.worst_region, found.quality_map[:, 0, 0])


def test_assessing_both_gives_it_too(quality, pictures):
    both = alignment.assess(quality, pictures, "a cat").perceptual
    torch.testing.assert_close(both.worst_region, perceptual_quality(quality, pictures).worst_region, rtol=0, atol=1e-5)
