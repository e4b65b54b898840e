"""Tiled predictions: where the tiles lie, what they are given, how they are put together."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grefine_core.engines.pasd.sampling import Tiling, predict_tiled, tile_weights

SIZES = st.integers(1, 60)


@given(SIZES, SIZES, st.integers(1, 40), st.integers(0, 39))
def test_tiles_cover_everything_and_stay_inside(height, width, size, overlap):
    tiling = Tiling(size, min(overlap, size - 1))
    side, places = tiling.places(height, width)
    covered = torch.zeros(height, width)
    for top, left in places:
        assert 0 <= top <= height - side
        assert 0 <= left <= width - side
        covered[top : top + side, left : left + side] += 1
    assert covered.min() >= 1
    assert len(set(places)) == len(places)


def test_published_places():
    # A step of size less overlap, the last tile moved back to the edge.
    assert Tiling(12, 4).places(12, 12) == (12, [(0, 0)])
    assert Tiling(12, 4).places(16, 29)[1] == [(top, left) for top in (0, 4) for left in (0, 8, 16, 17)]
    # The latent's shorter side limits the tile.
    assert Tiling(12, 4).places(9, 20) == (9, [(0, 0), (0, 5), (0, 10), (0, 11)])


def test_overlap_of_tiles_that_had_to_shrink():
    side, places = Tiling(20, 15).places(4, 200)
    assert side == 4
    assert len(places) == 197  # one cell further each


def test_tiled_only_above_the_square_of_a_tile():
    assert not Tiling(12, 4).needed(9, 16)
    assert Tiling(12, 4).needed(9, 17)


@pytest.mark.parametrize("size", [(7, 25), (32, 20), (9, 40)])
@pytest.mark.parametrize("tile", [5, 8, 12])
def test_what_does_not_depend_on_neighbours_is_the_same(size, tile):
    latents = torch.randn(2, 4, *size)
    pictures = torch.rand(2, 3, size[0] * 8, size[1] * 8)
    sizes = []

    def predict(part, picture):
        sizes.append(part.shape[-2:])
        middles = picture[:, :1, 4::8, 4::8]  # the picture's part belongs to the latent's
        return torch.cat([part * 2, part + middles])

    out = predict_tiled(predict, latents, pictures, Tiling(tile, 3))
    expected = torch.cat([latents * 2, latents + pictures[:, :1, 4::8, 4::8]])
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
    assert len(sizes) > 1
    assert set(sizes) == {(min(tile, *size),) * 2}


def test_a_constant_prediction_stays_constant():
    out = predict_tiled(
        lambda part, _: torch.ones_like(part), torch.zeros(1, 4, 50, 70), _pictures(50, 70), Tiling(16, 4)
    )
    torch.testing.assert_close(out, torch.ones(1, 4, 50, 70))


def test_blended_by_weight():
    values = iter([1.0, 5.0])
    out = predict_tiled(
        lambda part, _: torch.full_like(part, next(values)), torch.zeros(1, 4, 4, 6), _pictures(4, 6), Tiling(4, 2)
    )
    weights = tile_weights(4, 4).float()
    first, second = weights[:, 2:], weights[:, :2]
    torch.testing.assert_close(out[0, 0, :, 2:4], (first + 5 * second) / (first + second))
    assert torch.allclose(out[..., :2], torch.ones(1))
    assert torch.allclose(out[..., 4:], torch.full((1,), 5.0))


def test_a_large_enough_tile_changes_nothing():
    latents, pictures = torch.randn(1, 4, 9, 13), _pictures(9, 13)
    seen = []

    def predict(part, picture):
        seen.append((part, picture))
        return part * 3

    out = predict_tiled(predict, latents, pictures, Tiling(13, 4))
    assert torch.equal(out, latents * 3)
    assert len(seen) == 1
    assert seen[0][0] is latents
    assert seen[0][1] is pictures


def test_half_precision_is_blended_in_single():
    out = predict_tiled(lambda part, _: part.half(), torch.rand(1, 4, 20, 20), _pictures(20, 20), Tiling(8, 2))
    assert out.dtype == torch.float32
    assert torch.isfinite(out).all()


def _pictures(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height * 8, width * 8)
