"""Pictures whose every value says where it lies, and the crops that they are tried with."""

from __future__ import annotations

import torch
from torch import Tensor

from grefine_core.refine.crops import CropOptions, CropPlan, plan_crop

#: (height, width) of the picture, (top, left, bottom, right) of a region in it, and how its crop is made.
CASES = {
    "inside": ((240, 320), (100, 120, 140, 180), {"min_side": 64}),
    "odd crop": ((241, 319), (101, 123, 138, 177), {"min_side": 64}),
    "border": ((240, 320), (200, 290, 240, 320), {"min_side": 96}),
    "corner of an odd picture": ((101, 70), (0, 0, 20, 20), {"min_side": 16}),
    "whole odd picture": ((101, 70), (0, 0, 101, 70), {"min_side": 16}),
    "enlarged": ((240, 320), (100, 120, 140, 180), {"crop_size": "native", "native_side": 256}),
    "odd enlarged at the border": ((101, 170), (60, 131, 101, 170), {"crop_size": "native", "native_side": 200}),
    "reduced": ((512, 512), (0, 0, 512, 500), {"min_side": 16, "max_side": 128}),
    "tiny picture": ((17, 40), (0, 0, 17, 20), {"min_side": 64}),
}


def crop_of(case: str) -> tuple[tuple[int, int], CropPlan]:
    """The picture's size and the crop of one of the `CASES`."""
    size, region, options = CASES[case]
    options = dict(options)
    chosen = {name: options.pop(name) for name in ("crop_size", "max_side") if name in options}
    return size, plan_crop(region, size, CropOptions(**chosen, min_context=8), size_multiple=8, **options)


def ramp(height: int, width: int, size: tuple[int, int] | None = None) -> Tensor:
    """`(2, height, width)`: y and x of every value's middle, in pixels of a picture of `size` that it lies over."""
    tall, wide = size or (height, width)
    y = (torch.arange(height) + 0.5) * tall / height
    x = (torch.arange(width) + 0.5) * wide / width
    return torch.stack([y.unsqueeze(1).expand(height, width), x.unsqueeze(0).expand(height, width)])


def expected(crop: CropPlan, size: tuple[int, int] | None = None, part: tuple[int, ...] | None = None) -> Tensor:
    """`(2, *size)`: where the values of a cut should say that they lie; beyond the crop at its last pixel."""
    top, left, bottom, right = part or (0, 0, *crop.sample)
    rows, columns = size or (bottom - top, right - left)
    sides = []
    for axis, (begin, end, count) in enumerate(((top, bottom, rows), (left, right, columns))):
        step = crop.padded[axis] / crop.sample[axis]
        places = crop.box[axis] + (begin + (torch.arange(count) + 0.5) * (end - begin) / count) * step
        sides.append(places.clamp(crop.box[axis] + 0.5, crop.box[axis + 2] - 0.5))
    y, x = sides
    return torch.stack([y.unsqueeze(1).expand(rows, columns), x.unsqueeze(0).expand(rows, columns)])
