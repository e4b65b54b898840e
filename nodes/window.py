"""The part of a picture that a model works on, and how everything else that lies over that picture is cut like it.

Hints, masks and latents come in sizes of their own. What lies where is the host's rule: it fits a hint by its middle to
the picture's proportions and stretches a mask, so that both cover the whole picture. Here the same rule says which of
their rows and columns belong to the part. Pure tensor code; imports without the host.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..grefine_core.errors import InputError
from ..grefine_core.refine.crops import Box, CropPlan, Place

#: How a plane lies over the picture: its middle, cut to the picture's proportions; all of it, stretched; cell by cell
#: from the picture's edge, as a VAE makes latents.
Fit = Literal["center", "stretch", "cells"]
#: What a value between two given ones is: the nearer one; on the straight line; on a smooth curve.
Kind = Literal["nearest", "linear", "cubic"]


@dataclass(frozen=True)
class Window:
    """What a model is shown of a picture: a part of a crop that was padded and resized to be sampled.

    Attributes:
        place: the crop and the size of the picture.
        part: (top, left, bottom, right) of the sampled crop's pixels: all of it, or a tile.
        number, count: which of how many pictures it is.
    """

    place: Place
    part: Box
    number: int = 0
    count: int = 1

    @classmethod
    def of(cls, place: Place, number: int = 0, count: int = 1) -> Window:
        """All of a crop."""
        return cls(place, (0, 0, *place.crop.sample), number, count)

    @classmethod
    def whole_of(cls, size: tuple[int, int]) -> Window:
        """All of a picture of `size` (height, width), as it is."""
        return cls.of(Place(size, CropPlan((0, 0, *size), size, size)))

    def tile(self, part: Box) -> Window:
        """A part of this one's crop."""
        return replace(self, part=part)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in sampled pixels."""
        top, left, bottom, right = self.part
        return bottom - top, right - left

    @property
    def everything(self) -> bool:
        """Whether it is the picture itself, neither cut nor padded nor resized."""
        crop = self.place.crop
        return self.size == crop.sample == crop.padded == self.place.size == crop.size

    def span(self, axis: int) -> tuple[float, float]:
        """Where it begins in the picture and how many of the picture's pixels one sampled pixel covers.

        axis: 0 for rows, 1 for columns.
        """
        step = self.place.crop.padded[axis] / self.place.crop.sample[axis]
        return self.place.crop.box[axis] + self.part[axis] * step, step

    def inside(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float] | None:
        """A rectangle of the picture (top, left, bottom, right) in sampled pixels of the window, clipped to it.

        None if nothing of it is inside.
        """
        sides: list[tuple[float, float]] = []
        for axis in (0, 1):
            start, step = self.span(axis)
            low, high = ((box[axis + 2 * end] - start) / step for end in (0, 1))
            sides.append((max(0.0, low), min(float(self.size[axis]), high)))
        if any(low >= high for low, high in sides):
            return None
        return sides[0][0], sides[1][0], sides[0][1], sides[1][1]

    def own(self, values: Tensor, what: str) -> Tensor:
        """The picture's own of `values` `(B, …)`: there is one for all pictures, or one for each.

        Raises:
            InputError: there are others.
        """
        if values.shape[0] == 1:
            return values
        if values.shape[0] != self.count:
            raise InputError(
                f"{what}: there are {values.shape[0]} of them for {self.count} picture(s). Give one, or one for each "
                "picture; Rebatch Images with batch_size 1 in front makes single pictures of a batch."
            )
        return values[self.number : self.number + 1]

    def on_grid(self, plane: tuple[int, int], fit: Fit, cell: int = 1, size: tuple[int, int] | None = None) -> bool:
        """Whether every value of the cut is one of the given ones; arguments as for `cut`."""
        pairs = zip((0, 1), plane, size or self.size, strict=True)
        axes = [self._axis(axis, length, count, plane, fit, cell) for axis, length, count in pairs]
        return all(_whole(start) and step == 1.0 for start, step, _, _ in axes)

    def cut(
        self, values: Tensor, kind: Kind, fit: Fit, *, cell: int = 1, size: tuple[int, int] | None = None
    ) -> Tensor:
        """The window's part of `values` `(…, h, w)` that lie over the whole picture: `(…, *size)`, a new tensor.

        Beyond the crop's edge (padding) the last row or column is repeated, as the picture's own is.

        Args:
            values: of any floating or other type, which it keeps; smooth kinds make floats of whole numbers.
            kind: see `Kind`.
            fit: see `Fit`.
            cell: with "cells", how many of the picture's pixels one value covers.
            size: (height, width) of the result; None = one value for each sampled pixel.
        """
        rows, columns = size or self.size
        plane = (values.shape[-2], values.shape[-1])
        values = _along(values, -2, rows, *self._axis(0, plane[0], rows, plane, fit, cell), kind)
        return _along(values, -1, columns, *self._axis(1, plane[1], columns, plane, fit, cell), kind).contiguous()

    def _axis(
        self, axis: int, length: int, count: int, plane: tuple[int, int], fit: Fit, cell: int
    ) -> tuple[float, float, float, float]:
        """In values: the window's begin, its step from one result to the next, and the crop's begin and end."""
        whole = self.place.size[axis]
        low, scale = _lies(axis, plane, self.place.size, fit, cell)
        start, step = self.span(axis)
        covered = step * self.size[axis]
        begin, end = self.place.crop.box[axis], min(self.place.crop.box[axis + 2], whole)
        return (
            low + start * scale,
            covered * scale / count,
            max(0.0, low + begin * scale),
            min(float(length), low + end * scale),
        )


def grid_of(picture: tuple[int, int], plane: tuple[int, int], cell: int) -> bool:
    """Whether `plane` (rows, columns) is that of the picture's latents: a last cell that is not full may be missing."""
    return all(had in (side // cell, math.ceil(side / cell)) for side, had in zip(picture, plane, strict=True))


def _lies(axis: int, plane: tuple[int, int], picture: tuple[int, int], fit: Fit, cell: int) -> tuple[float, float]:
    """Where the picture's edge lies in the plane, and how many of its values one of the picture's pixels is."""
    length, side = plane[axis], picture[axis]
    if fit == "cells":
        # A VAE that wants full cells takes them from the middle.
        dropped = max(0, side - length * cell) // 2
        return -dropped / cell, 1.0 / cell
    cut = 0
    if fit == "center":
        wide, wanted = plane[1] / plane[0], picture[1] / picture[0]
        if wide > wanted and axis == 1:
            cut = round((length - length * (wanted / wide)) / 2)
        elif wide < wanted and axis == 0:
            cut = round((length - length * (wide / wanted)) / 2)
    return float(cut), (length - 2 * cut) / side


def _whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-9


def _along(
    values: Tensor, dim: int, count: int, start: float, step: float, low: float, high: float, kind: Kind
) -> Tensor:
    """`count` values along one dimension, the middles of the steps from `start` on, none from outside low … high."""
    length = values.shape[dim]
    middles = start + (torch.arange(count, dtype=torch.float64) + 0.5) * step
    first, last = max(0, math.floor(low + 1e-9)), min(length, math.ceil(high - 1e-9))
    if last <= first:  # the plane does not reach this far: its nearest edge
        first = min(max(first, 0), length - 1)
        last = first + 1
    if kind == "nearest" or (_whole(start) and step == 1.0):
        places = middles.floor().long().clamp_(first, last - 1)
        return values.index_select(dim, places.to(values.device))
    widened = max(1.0, step)
    middles = middles.clamp(min(first + 0.5, last - 0.5), last - 0.5)
    away = (torch.arange(first, last, dtype=torch.float64) + 0.5 - middles.unsqueeze(1)) / widened
    weights = _KERNELS[kind](away.abs())
    weights = (weights / weights.sum(dim=1, keepdim=True)).float().to(values.device)
    given = values.narrow(dim, first, last - first)
    mixed = given.float()
    mixed = weights @ mixed if dim == -2 else mixed @ weights.T
    return mixed.to(values.dtype) if values.is_floating_point() else mixed


def _linear(away: Tensor) -> Tensor:
    return (1.0 - away).clamp_min(0.0)


def _cubic(away: Tensor) -> Tensor:
    """Keys' kernel with a = -0.5, as Pillow's and torch's antialiased bicubic have it."""
    near = (1.5 * away - 2.5) * away**2 + 1.0
    far = ((-0.5 * away + 2.5) * away - 4.0) * away + 2.0
    return torch.where(away <= 1.0, near, torch.where(away < 2.0, far, torch.zeros_like(away)))


_KERNELS = {"linear": _linear, "cubic": _cubic}
