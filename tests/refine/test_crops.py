"""Which rectangle is sampled, at what size."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grefine_core.errors import InputError
from grefine_core.refine.crops import CropOptions, plan_crop

LARGE = {"size_multiple": 8, "min_side": 512, "native_side": 1024}


@settings(deadline=None, max_examples=300)
@given(
    data=st.data(),
    height=st.integers(1, 1500),
    width=st.integers(1, 1500),
    crop_size=st.sampled_from(["source", "native"]),
    multiple=st.sampled_from([1, 8, 16, 32, 64]),
    min_side=st.sampled_from([1, 64, 512]),
    context=st.floats(0, 2),
    min_context=st.integers(0, 100),
)
def test_always_a_valid_crop(data, height, width, crop_size, multiple, min_side, context, min_context):
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    region = top, left, data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    options = CropOptions(crop_size, context, min_context, max_side=2048)
    plan = plan_crop(region, (height, width), options, size_multiple=multiple, min_side=min_side)
    for axis, limit in enumerate((height, width)):
        start, end = plan.box[axis], plan.box[axis + 2]
        assert 0 <= start <= region[axis]
        assert region[axis + 2] <= end <= limit
        assert plan.sample[axis] % multiple == 0
        assert plan.padded[axis] >= end - start
        if crop_size == "source" and plan.padded[axis] > end - start and not plan.resized:
            assert end - start == limit  # padding only where the picture has no more to give
    large = plan.sample[0] * plan.sample[1] >= 2048**2
    if crop_size == "source":
        assert min(plan.sample) >= min_side or large


@pytest.mark.parametrize("region", [(400, 400, 440, 440), (0, 0, 20, 20), (1000, 1000, 1024, 1024), (0, 500, 5, 520)])
def test_small_regions_take_in_surroundings_instead_of_being_enlarged(region):
    plan = plan_crop(region, (1024, 1024), **LARGE)
    assert plan.size == plan.padded == plan.sample == (512, 512)


def test_context_is_the_larger_of_share_and_pixels():
    plan = plan_crop((400, 400, 500, 600), (1000, 1000), CropOptions(context=0.5, min_context=10), size_multiple=1)
    assert plan.box == (300, 300, 600, 700)
    plan = plan_crop((400, 400, 500, 600), (1000, 1000), CropOptions(context=0.0, min_context=10), size_multiple=1)
    assert plan.box == (390, 390, 510, 610)


def test_odd_small_picture_is_padded_and_enlarged():
    plan = plan_crop((10, 10, 20, 20), (101, 70), **LARGE)
    assert plan.box == (0, 0, 101, 70)
    assert plan.resized
    assert min(plan.sample) == 512
    assert plan.sample[0] % 8 == plan.sample[1] % 8 == 0
    scale = plan.sample[0] / plan.padded[0], plan.sample[1] / plan.padded[1]
    assert scale[0] == pytest.approx(scale[1], rel=0.02)  # the picture is not stretched


@pytest.mark.parametrize("picture", [(1, 4097), (4097, 3), (2, 257)])
def test_a_picture_of_a_few_lines_is_padded_and_not_blown_up(picture):
    plan = plan_crop((0, 0, *picture), picture, CropOptions(max_side=1 << 30), min_side=512)
    assert min(plan.sample) == 512
    assert max(plan.sample) <= max(4096, max(picture) + 8)
    assert plan.size == picture
    scale = max(plan.sample) / max(plan.padded)
    assert abs(min(plan.sample) / min(plan.padded) - scale) < 0.01 * scale  # in proportion


def test_odd_picture_at_its_own_scale_is_only_padded():
    plan = plan_crop((0, 0, 101, 70), (101, 70), size_multiple=8)
    assert plan.box == (0, 0, 101, 70)
    assert plan.padded == plan.sample == (104, 72)
    assert not plan.resized


def test_native_enlarges_to_the_models_area():
    plan = plan_crop((100, 100, 200, 200), (1024, 1024), CropOptions("native", 0.0, 0), **LARGE)
    assert plan.size == (104, 104)
    assert plan.sample == (1024, 1024)
    wide = plan_crop((100, 100, 200, 300), (1024, 1024), CropOptions("native", 0.0, 0), **LARGE)
    assert wide.sample[0] * wide.sample[1] == pytest.approx(1024**2, rel=0.05)
    assert wide.sample[1] / wide.sample[0] == pytest.approx(2, rel=0.1)


def test_native_avoids_long_thin_crops():
    plan = plan_crop((500, 100, 510, 900), (1024, 1024), CropOptions("native", 0.0, 0), **LARGE)
    assert max(plan.sample) / min(plan.sample) < 2.1


def test_huge_crops_are_sampled_smaller():
    plan = plan_crop((0, 0, 4000, 6000), (4000, 6000), CropOptions(max_side=2048), **LARGE)
    assert plan.box == (0, 0, 4000, 6000)
    assert plan.sample[0] * plan.sample[1] == pytest.approx(2048**2, rel=0.01)
    assert plan.sample[1] / plan.sample[0] == pytest.approx(1.5, rel=0.01)


@pytest.mark.parametrize("region", [(0, 0, 0, 5), (5, 5, 5, 5), (-1, 0, 5, 5), (0, 0, 11, 5)])
def test_bad_regions(region):
    with pytest.raises(InputError, match="region"):
        plan_crop(region, (10, 10))


@pytest.mark.parametrize(
    "options",
    [
        {"crop_size": "huge"},
        {"context": -1.0},
        {"context": float("nan")},
        {"min_context": -1},
        {"join": -1},
        {"max_side": 8},
    ],
)
def test_bad_options(options):
    with pytest.raises(InputError):
        CropOptions(**options)
