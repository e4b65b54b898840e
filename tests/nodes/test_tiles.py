"""Tiles of a large picture and their blend."""

from __future__ import annotations

import itertools

import pytest
import torch


@pytest.fixture(scope="module")
def tiles(pack):
    return pack("nodes.tiles")


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (200, 64), (264, 520), (1000, 96)])
@pytest.mark.parametrize(("side", "overlap"), [(64, 8), (96, 16), (512, 64)])
def test_tiles_cover_everything_and_overlap(tiles, size, side, overlap):
    planned = tiles.plan_tiles(size, side, overlap)
    count = torch.zeros(size)
    for tile in planned:
        assert (tile.bottom - tile.top, tile.right - tile.left) == (min(side, size[0]), min(side, size[1]))
        assert tile.top % 8 == tile.left % 8 == 0
        count[tile.top : tile.bottom, tile.left : tile.right] += 1
    assert count.min() >= 1
    for before, after in itertools.pairwise(planned):
        if before.top == after.top:
            assert before.right - after.left >= overlap - 8


def test_a_small_picture_is_one_tile_and_stays_as_it_is(tiles):
    image = torch.rand(1, 40, 48, 3)
    planned = tiles.plan_tiles((40, 48), 64, 8)
    assert len(planned) == 1
    part = planned[0].cut(image)
    assert torch.equal(tiles.blend(planned, [part], [tiles.feather(planned[0], 8, (40, 48))], image), image)


def test_a_picture_taken_apart_and_blended_is_the_same_picture(tiles):
    image = torch.rand(1, 120, 200, 3)
    planned = tiles.plan_tiles((120, 200), 64, 16)
    parts = [tile.cut(image) for tile in planned]
    weights = [tiles.feather(tile, 16, (120, 200)) for tile in planned]
    assert torch.allclose(tiles.blend(planned, parts, weights, image), image, atol=1e-6)


def test_between_two_tiles_the_blend_has_no_step(tiles):
    image = torch.zeros(1, 64, 112, 3)
    planned = tiles.plan_tiles((64, 112), 64, 16)
    parts = [torch.full((1, 64, 64, 3), float(number)) for number in range(len(planned))]
    weights = [tiles.feather(tile, 16, (64, 112)) for tile in planned]
    row = tiles.blend(planned, parts, weights, image)[0, 0, :, 0]
    assert row[0] == 0
    assert row[-1] == 1
    assert (row.diff() >= 0).all()
    assert row.diff().max() < 0.1


def test_the_outer_sides_have_full_weight(tiles):
    (first, *_) = tiles.plan_tiles((64, 200), 64, 16)
    weight = tiles.feather(first, 16, (64, 200))
    assert (weight[:, 0] == 1).all()
    assert weight[0, -1] < 0.1
