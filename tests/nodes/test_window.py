"""Cutting what lies over a picture like the picture itself."""

from __future__ import annotations

import pytest
import torch

from grefine_core.refine.crops import CropPlan, Place, cut, to_sample

from .ramps import CASES, crop_of, expected, ramp


@pytest.fixture(scope="module")
def windows(pack):
    return pack("nodes.window")


def window_of(windows, case):
    size, crop = crop_of(case)
    return size, crop, windows.Window.of(Place(size, crop))


@pytest.mark.parametrize("kind", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("case", CASES)
def test_a_ramp_of_the_pictures_size_arrives_as_the_crops_own(windows, case, kind):
    size, crop, window = window_of(windows, case)
    cut_ = window.cut(ramp(*size), kind, "center")
    assert cut_.shape[-2:] == crop.sample
    step = max(crop.padded[axis] / crop.sample[axis] for axis in (0, 1))
    tolerance = 0.51 if kind == "nearest" else 0.51 * max(step, 1.0)
    assert (cut_ - expected(crop)).abs().max() <= tolerance
    if not crop.resized:
        assert torch.equal(cut_, expected(crop)), "nothing is mixed where nothing is resized"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("scale", [0.5, 1.7])
def test_hints_of_another_size_lie_over_the_same_picture(windows, case, scale):
    size, crop, window = window_of(windows, case)
    rows, columns = (max(2, round(side * scale)) for side in size)
    for kind in ("nearest", "linear"):
        found = window.cut(ramp(rows, columns, size), kind, "stretch")
        assert (found - expected(crop)).abs().max() <= max(1.0, 1.05 / scale, crop.padded[0] / crop.sample[0])


@pytest.mark.parametrize("case", CASES)
def test_a_picture_is_cut_as_the_stage_cuts_it(windows, case):
    size, crop, window = window_of(windows, case)
    picture = torch.rand(1, *size, 3, generator=torch.Generator().manual_seed(1))
    stage, _ = to_sample(cut(picture, crop.box), None, crop)
    own = window.cut(picture.movedim(-1, 1), "cubic", "center").clamp(0, 1).movedim(1, -1)
    if not crop.resized:
        assert torch.equal(own, stage)
    else:
        assert (own - stage).abs().mean() < 0.02
        assert (own - stage)[:, 8:-8, 8:-8].abs().max() < 0.02


@pytest.mark.parametrize("case", CASES)
def test_latents_follow_within_half_a_cell(windows, case):
    size, crop, window = window_of(windows, case)
    rows, columns = size[0] // 8, size[1] // 8
    grid = (crop.sample[0] // 8, crop.sample[1] // 8)
    y, x = ramp(rows * 8, columns * 8)[:, 4::8, 4::8] - 0.5  # the cells' middles
    offset = torch.tensor([(side % 8) // 2 for side in size]).view(2, 1, 1)
    found = window.cut(torch.stack([y, x]) + offset, "nearest", "cells", cell=8, size=grid)
    wanted = expected(crop, grid)
    inside = (wanted > 12) & (wanted < torch.tensor(size).view(2, 1, 1) - 12)
    assert ((found - wanted).abs()[inside] <= 4.01).all()


def test_tiles_put_together_are_the_whole(windows):
    size, _, window = window_of(windows, "whole odd picture")
    whole = window.cut(ramp(*size), "nearest", "center")
    for part in ((0, 0, 64, 40), (40, 32, 104, 72)):
        top, left, bottom, right = part
        assert torch.equal(window.tile(part).cut(ramp(*size), "nearest", "center"), whole[:, top:bottom, left:right])


def test_by_its_middle_as_the_host_does_it(windows):
    """A square hint of a wide picture: the host takes the middle rows of it."""
    window = windows.Window.whole_of((32, 64))
    hint = ramp(64, 64)
    assert torch.equal(window.cut(hint, "nearest", "center"), hint[:, 16:48])


def test_inside(windows):
    window = windows.Window.of(Place((512, 1536), CropPlan((0, 768, 512, 1280), (512, 512), (256, 256))))
    assert window.inside((0, 768, 512, 1536)) == (0.0, 0.0, 256.0, 256.0)
    assert window.inside((100, 1024, 200, 1100)) == (50.0, 128.0, 100.0, 166.0)
    assert window.inside((0, 0, 512, 768)) is None


def test_of_several_the_pictures_own_is_taken(windows, input_error):
    size, crop, _ = window_of(windows, "inside")
    window = windows.Window.of(Place(size, crop), 1, 3)
    values = torch.arange(3.0).view(3, 1, 1, 1)
    assert window.own(values, "x").item() == 1
    assert window.own(values[:1], "x").item() == 0
    with pytest.raises(input_error, match=r"x: there are 2 of them for 3 picture\(s\)"):
        window.own(values[:2], "x")


def test_everything(windows):
    assert windows.Window.whole_of((32, 64)).everything
    assert not windows.Window.whole_of((32, 64)).tile((0, 0, 32, 32)).everything
    assert not window_of(windows, "whole odd picture")[2].everything
    assert not window_of(windows, "inside")[2].everything
