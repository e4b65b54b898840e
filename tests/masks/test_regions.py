from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grefine_core.errors import InputError
from grefine_core.masks import bounding_box, connected_regions, label_regions


def boxes(height: int, width: int, *where: tuple[int, int, int, int]) -> torch.Tensor:
    mask = torch.zeros(height, width)
    for top, left, bottom, right in where:
        mask[top:bottom, left:right] = 1
    return mask


FAR = [(50, 10, 60, 20), (5, 70, 15, 80), (5, 10, 15, 20)]


def test_far_apart_parts_are_groups_from_top_left_on():
    mask = boxes(101, 90, *FAR)
    found = connected_regions(mask, join=8)
    assert [bounding_box(group) for group in found] == [FAR[2], FAR[1], FAR[0]]
    assert all(group.dtype == torch.bool for group in found)
    assert torch.equal(torch.stack(found).sum(0).float(), mask)


@pytest.mark.parametrize(("join", "count"), [(0, 3), (30, 3), (40, 2), (60, 1)])
def test_parts_within_the_gap_are_one_group(join, count):
    assert len(connected_regions(boxes(101, 90, *FAR), join=join)) == count


def test_gap_of_exactly_that_many_pixels():
    for gap in (2, 10, 24):
        mask = boxes(60, 100, (20, 20, 30, 30), (20, 30 + gap, 30, 40 + gap))
        assert len(connected_regions(mask, join=gap)) == 1
        assert len(connected_regions(mask, join=gap - 2)) == 2


def test_corners_touch():
    assert len(connected_regions(torch.eye(5))) == 1
    assert len(connected_regions(torch.eye(5)[:, [0, 2, 4, 1, 3]])) > 1


def test_empty_and_full():
    assert connected_regions(torch.zeros(5, 5), join=4) == []
    assert bounding_box(torch.zeros(5, 5)) is None
    assert len(connected_regions(torch.ones(1, 1, dtype=torch.bool))) == 1


@settings(max_examples=100)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 999), st.sampled_from([0, 1, 3, 8]))
def test_groups_share_the_mask_out(height, width, seed, join):
    mask = torch.rand(height, width, generator=torch.Generator().manual_seed(seed)) > 0.85
    found = connected_regions(mask, join=join)
    total = sum((group.int() for group in found), torch.zeros(height, width, dtype=torch.int32))
    assert torch.equal(total, mask.int())
    labels, count = label_regions(mask, join=join)
    assert count == len(found)
    for number, group in enumerate(found, start=1):
        assert torch.equal(labels == number, group)


def test_bad_input():
    with pytest.raises(InputError, match=r"one mask of shape \(H, W\), got \(1, 4, 4\)"):
        connected_regions(torch.zeros(1, 4, 4))
    with pytest.raises(InputError, match="join"):
        connected_regions(torch.zeros(4, 4), join=-1)
