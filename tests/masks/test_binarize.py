from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grefine_core.errors import Cancelled, InputError
from grefine_core.masks import METHODS, binarize_map, otsu_threshold

PLAIN = {"min_area": 0.0, "grow": 0.0, "feather": 0.0, "fill_holes": False}


def spot(height: int, width: int, *boxes: tuple[int, int, int, int], value: float = 0.9, base: float = 0.05):
    values = torch.full((1, height, width), base)
    for top, left, bottom, right in boxes:
        values[:, top:bottom, left:right] = value
    return values


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("level", [0.0, 0.1, 0.3])
def test_a_clean_map_gives_an_empty_mask(method, level):
    values = (torch.rand(2, 40, 50, generator=torch.Generator().manual_seed(0)) * 0.05 + level).clamp(0, 0.3)
    mask = binarize_map(values, method=method)
    assert not mask.denoise.any()
    assert not mask.composite.any()
    assert mask.area.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("level", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_otsu_on_a_constant_map_is_empty(level):
    noise = torch.rand(1, 30, 30, generator=torch.Generator().manual_seed(1)) * 0.02
    assert not binarize_map(torch.full((30, 30), level), method="otsu", floor=0.0).denoise.any()
    assert not binarize_map((noise + level).clamp(0, 1), method="otsu", floor=0.0).denoise.any()


def test_otsu_finds_the_defect_and_judges_every_picture_by_itself():
    values = torch.cat(
        [
            spot(40, 40, (5, 5, 20, 20), value=0.95, base=0.6),
            spot(40, 40, (5, 5, 20, 20), value=0.5, base=0.1),
            spot(40, 40, (5, 5, 20, 20), value=0.28, base=0.0),  # two classes, but both under the floor
        ]
    )
    mask = binarize_map(values, method="otsu", **PLAIN)
    expected = spot(40, 40, (5, 5, 20, 20), value=1.0, base=0.0)[0]
    assert torch.equal(mask.denoise[0], expected)
    assert torch.equal(mask.denoise[1], expected)
    assert not mask.denoise[2].any()


def test_otsu_threshold_lies_between_two_modes():
    generator = torch.Generator().manual_seed(2)
    values = torch.cat(
        [0.2 + 0.03 * torch.randn(5000, generator=generator), 0.7 + 0.03 * torch.randn(800, generator=generator)]
    )
    threshold = otsu_threshold(values.clamp(0, 1))
    assert threshold is not None
    assert 0.3 < threshold < 0.62
    assert otsu_threshold(torch.full((9,), 0.4)) is None


def test_threshold_takes_what_is_above_it():
    values = torch.tensor([[0.0, 0.49, 0.5, 0.51, 1.0]])
    assert binarize_map(values, **PLAIN).denoise.tolist() == [[[0, 0, 0, 1, 1]]]
    assert not binarize_map(torch.zeros(4, 4), threshold=0.0).denoise.any()


def test_top_takes_its_share_and_never_what_is_under_the_floor():
    values = torch.linspace(0, 1, 100).reshape(10, 10)
    mask = binarize_map(values, method="top", top=0.2, **PLAIN)
    assert mask.area.tolist() == pytest.approx([0.2])
    assert torch.equal(mask.denoise[0] > 0, values > values.flatten()[79])
    assert binarize_map(values, method="top", top=0.9, floor=0.5, **PLAIN).area.tolist() == pytest.approx([0.5])
    assert not binarize_map(values, method="top", top=0.0, **PLAIN).denoise.any()
    assert binarize_map(values, method="top", top=1.0, floor=0.0, **PLAIN).area.tolist() == pytest.approx([0.99])


def test_top_takes_ties_along():
    values = spot(10, 10, (0, 0, 5, 10))
    assert binarize_map(values, method="top", top=0.2, **PLAIN).area.tolist() == [0.5]


def test_holes_are_filled_but_bays_are_not():
    values = spot(20, 20, (4, 4, 14, 14))
    values[:, 7:9, 7:9] = 0
    bay = spot(20, 20, (4, 0, 14, 14))
    bay[:, 7:9, 0:3] = 0
    assert binarize_map(values, **{**PLAIN, "fill_holes": True}).denoise.sum() == 100
    assert binarize_map(bay, **{**PLAIN, "fill_holes": True}).denoise.sum() == 140 - 6


def test_specks_are_dropped_before_growing():
    values = spot(100, 100, (10, 10, 12, 14), (50, 50, 60, 61))
    mask = binarize_map(values, min_area=0.001, grow=0.0, feather=0.0)
    assert mask.denoise.sum() == 110
    assert binarize_map(values, min_area=0.0008, grow=0.0, feather=0.0).denoise.sum() == 118
    diagonal = torch.eye(30).unsqueeze(0)  # corners connect
    assert binarize_map(diagonal, min_area=0.03, grow=0.0, feather=0.0).denoise.sum() == 30


def test_growing_is_round_and_in_shares_of_the_shorter_side():
    values = spot(100, 200, (50, 100, 51, 101))
    mask = binarize_map(values, min_area=0.0, grow=0.1, feather=0.0)
    ys, xs = torch.meshgrid(torch.arange(100), torch.arange(200), indexing="ij")
    assert torch.equal(mask.denoise[0] > 0, (ys - 50) ** 2 + (xs - 100) ** 2 <= 100)


def test_the_feather_goes_inward_and_never_changes_what_is_denoised():
    values = spot(100, 100, (20, 20, 70, 70))
    hard = binarize_map(values, grow=0.0, feather=0.0)
    soft = binarize_map(values, grow=0.0, feather=0.1)
    assert torch.equal(hard.denoise, soft.denoise)
    assert torch.equal(hard.denoise, hard.composite)
    assert torch.equal(soft.composite > 0, soft.denoise > 0)
    assert bool((soft.composite[0, 30:60, 30:60] == 1).all())
    row = soft.composite[0, 45, 20:31]
    assert bool((row.diff() > 0).all())
    assert 0 < float(row[0]) < 0.06


def test_with_growth_as_wide_as_the_feather_all_that_was_found_is_replaced():
    values = spot(101, 103, (20, 20, 40, 70))
    mask = binarize_map(values, grow=0.05, feather=0.05)
    assert bool((mask.composite[values > 0.5] == 1).all())


def test_every_part_has_a_core_however_small():
    values = spot(100, 100, (10, 10, 14, 14), (40, 40, 90, 90))
    mask = binarize_map(values, grow=0.0, feather=0.2)
    assert float(mask.composite[0, 10:14, 10:14].max()) == 1.0
    assert float(mask.composite[0, 40:90, 40:90].max()) == 1.0


def test_the_border_of_the_picture_is_no_edge():
    mask = binarize_map(spot(60, 60, (0, 0, 60, 30)), grow=0.0, feather=0.1)
    assert bool((mask.composite[0, :, :24] == 1).all())
    full = binarize_map(torch.ones(9, 7), grow=0.3, feather=0.3)
    assert bool((full.composite == 1).all())
    assert full.area.tolist() == [1.0]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (2, 3), (101, 70)])
@pytest.mark.parametrize("method", METHODS)
def test_any_size(size, method):
    values = torch.rand(2, *size, generator=torch.Generator().manual_seed(3))
    mask = binarize_map(values, method=method, grow=0.3, feather=0.3)
    assert mask.denoise.shape == mask.composite.shape == (2, *size)
    assert mask.area.shape == (2,)
    assert torch.allclose(mask.denoise.mean(dim=(1, 2)), mask.area)


MAPS = st.tuples(st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**31)).map(
    lambda t: torch.rand(1, t[0], t[1], generator=torch.Generator().manual_seed(t[2])).sqrt()
)


@settings(max_examples=150)
@given(
    values=MAPS,
    method=st.sampled_from(METHODS),
    grow=st.sampled_from([0.0, 0.1, 0.5]),
    feather=st.sampled_from([0.0, 0.1, 0.5]),
    min_area=st.sampled_from([0.0, 0.05]),
    share=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_the_protected_is_never_touched(values, method, grow, feather, min_area, share, seed):
    generator = torch.Generator().manual_seed(seed)
    protect = (torch.rand(values.shape, generator=generator) < share) * torch.rand(values.shape, generator=generator)
    kept = values.clone(), protect.clone()
    mask = binarize_map(values, method, grow=grow, feather=feather, min_area=min_area, protect=protect)
    assert not mask.denoise[protect > 0].any()
    assert not mask.composite[protect > 0].any()
    assert set(mask.denoise.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(mask.composite > 0, mask.denoise > 0)
    assert float(mask.composite.max()) in (0.0, 1.0)
    assert torch.equal(values, kept[0])
    assert torch.equal(protect, kept[1])


@settings(max_examples=60)
@given(values=MAPS, method=st.sampled_from(METHODS))
def test_a_batch_gives_what_single_pictures_give(values, method):
    other = values.flip(1) * 0.7
    both = binarize_map(torch.cat([values, other]), method)
    torch.testing.assert_close(both.composite[:1], binarize_map(values, method).composite)
    torch.testing.assert_close(both.composite[1:], binarize_map(other, method).composite)


def test_a_cancel_is_heard_between_pictures():
    asked = []

    def cancel() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        binarize_map(torch.ones(3, 4, 4), interrupt=cancel)
    assert len(asked) == 2


def test_a_mask_of_zeros_of_any_size_protects_nothing():
    values = torch.rand(2, 20, 30, generator=torch.Generator().manual_seed(4))
    free, shielded = binarize_map(values), binarize_map(values, protect=torch.zeros(1, 64, 64))
    assert free.area.min() > 0
    assert torch.equal(free.denoise, shielded.denoise)
    assert torch.equal(free.composite, shielded.composite)


def test_a_map_of_zeros_has_the_size_of_what_is_protected():
    assert binarize_map(torch.zeros(1, 64, 64), protect=torch.ones(1, 20, 30)).denoise.shape == (1, 20, 30)


def test_one_protect_mask_serves_a_batch():
    protect = spot(40, 40, (0, 0, 40, 20), base=0.0)[0]
    mask = binarize_map(torch.ones(3, 40, 40), protect=protect)
    assert mask.area.tolist() == pytest.approx([0.5] * 3)


class TestBadInput:
    def test_protect_of_another_size_names_both_shapes(self):
        with pytest.raises(InputError, match=r"protect: size \(4, 5\).*map \(4, 4\)"):
            binarize_map(torch.ones(4, 4), protect=torch.ones(4, 5))

    @pytest.mark.parametrize(
        "bad", [torch.zeros(2, 3, 4, 5), torch.zeros(0, 4, 4), torch.full((4, 4), float("nan")), "map"]
    )
    def test_maps(self, bad):
        with pytest.raises(InputError, match="map: "):
            binarize_map(bad)

    @pytest.mark.parametrize("name", ["threshold", "top", "floor", "contrast", "min_area", "grow", "feather"])
    @pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), "0.5", None, True])
    def test_numbers(self, name, value):
        with pytest.raises(InputError, match=f"{name}: "):
            binarize_map(torch.zeros(4, 4), **{name: value})

    def test_method(self):
        with pytest.raises(InputError, match="method: 'mean' is not known; choose one of 'threshold', 'otsu', 'top'"):
            binarize_map(torch.zeros(4, 4), method="mean")
