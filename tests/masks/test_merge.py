from __future__ import annotations

import pytest
import torch

from grefine_core.errors import InputError
from grefine_core.masks import merge_maps

A = torch.tensor([[[0.2, 0.8], [0.0, 1.0]]])
B = torch.tensor([[[0.5, 0.4], [0.0, 0.3]], [[0.0, 0.0], [1.0, 1.0]]])


def test_max_with_one_map_for_a_batch():
    merged = merge_maps([A, B])
    assert merged.shape == (2, 2, 2)
    assert torch.equal(merged, torch.maximum(A.expand(2, -1, -1), B))


def test_mean_is_weighted():
    merged = merge_maps([A, A * 0], mode="mean", weights=[3, 1])
    assert torch.allclose(merged, A * 0.75)


def test_noisy_or():
    merged = merge_maps([A[0], B[0], B[0]], mode="noisy_or")
    assert torch.allclose(merged[0], 1 - (1 - A[0]) * (1 - B[0]) ** 2)


def test_weights_scale_and_zero_leaves_out():
    assert torch.equal(merge_maps([A, B[:1]], weights=[0, 1]), B[:1])
    assert torch.allclose(merge_maps([A, B[:1]], mode="noisy_or", weights=[0.5, 0]), A * 0.5)
    assert float(merge_maps([A], weights=[100]).max()) == 1.0


@pytest.mark.parametrize("mode", ["max", "mean", "noisy_or"])
def test_a_map_of_zeros_has_every_size(mode):
    merged = merge_maps([torch.zeros(1, 64, 64), B], mode=mode)
    assert torch.equal(merged, merge_maps([torch.zeros(1, 2, 2), B], mode=mode))


@pytest.mark.parametrize("mode", ["max", "mean", "noisy_or"])
def test_inputs_stay_and_the_result_is_new(mode):
    kept = A.clone()
    merged = merge_maps([A], mode=mode)
    merged += 1
    assert torch.equal(A, kept)


@pytest.mark.parametrize("mode", ["max", "mean", "noisy_or"])
def test_stays_in_range(mode):
    maps = [torch.rand(2, 5, 7) for _ in range(4)]
    merged = merge_maps(maps, mode=mode, weights=[1, 0.5, 2, 0.1])
    assert float(merged.min()) >= 0
    assert float(merged.max()) <= 1


class TestBadInput:
    def test_sizes_name_both_shapes(self):
        with pytest.raises(InputError, match=r"maps\[1\]: shape \(1, 2, 3\).*maps\[0\] \(1, 2, 2\)"):
            merge_maps([A, torch.ones(2, 3)])

    def test_batches_name_both_shapes(self):
        with pytest.raises(InputError, match=r"maps\[0\]: shape \(2, 2, 2\).*maps\[1\] \(3, 2, 2\)"):
            merge_maps([B, torch.zeros(3, 2, 2)])

    @pytest.mark.parametrize("maps", [[], A, None])
    def test_no_list(self, maps):
        with pytest.raises(InputError, match="list of one or more maps"):
            merge_maps(maps)

    def test_nan(self):
        with pytest.raises(InputError, match=r"maps\[1\]: contains NaN"):
            merge_maps([A, A / 0])

    def test_weights(self):
        with pytest.raises(InputError, match="weights: 1 numbers for 2 maps"):
            merge_maps([A, A], weights=[1])
        with pytest.raises(InputError, match=r"weights\[0\]: -1 is out of range"):
            merge_maps([A], weights=[-1])
        with pytest.raises(InputError, match="weights: expected a list"):
            merge_maps([A], weights=0.5)
        with pytest.raises(InputError, match="all are 0"):
            merge_maps([A], mode="mean", weights=[0])
        with pytest.raises(InputError, match="mode: 'sum'"):
            merge_maps([A], mode="sum")
