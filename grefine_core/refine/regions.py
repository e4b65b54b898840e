"""The connected regions of one picture's mask, and which of them every pixel belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..masks import label_regions
from ..masks.morphology import nearest, strips

_NUMBERS = (torch.uint8, torch.int16, torch.int32)


@dataclass(frozen=True)
class Region:
    """One connected group of a mask, with every pixel that is nearer to it than to any other group.

    The regions of a picture share two maps ``(H, W)`` of group numbers: masks of their own would fill the memory where
    a large mask has hundreds of specks. ``alone``: it is the picture's only group.
    """

    number: int
    cores: Tensor
    cells: Tensor
    alone: bool

    @property
    def core(self) -> Tensor:
        """``(H, W)`` bool, the group itself."""
        return self.cores == self.number

    @property
    def cell(self) -> Tensor:
        """``(H, W)`` bool, its share of the picture; the cells of one picture cover it without overlap."""
        return self.cells == self.number


def split_regions(mask: Tensor, join: int) -> list[Region]:
    """Split ``mask`` ``(H, W)`` (anything above 0 counts) into groups and cells.

    Groups closer than ``join`` pixels are one. Every pixel of the picture belongs to its nearest group, so that
    feathered edges that touch are never blended twice. Empty mask: no regions.
    """
    cores, count = label_regions(mask, join)
    cores = cores.to(next(dtype for dtype in _NUMBERS if count <= torch.iinfo(dtype).max))
    cells = _nearest(cores) if count > 1 else torch.ones((), dtype=cores.dtype, device=cores.device).expand_as(cores)
    return [Region(number, cores, cells, count == 1) for number in range(1, count + 1)]


def _nearest(numbers: Tensor) -> Tensor:
    """For every pixel the number ``(H, W)`` of the nearest pixel that has one."""
    flat = numbers.cpu().numpy()
    rows, columns = nearest(flat == 0)
    result = np.empty_like(flat)
    for part in strips(len(flat)):  # numpy would make all places int64 at once
        result[part] = flat[rows[part], columns[part]]
    return torch.from_numpy(result).to(numbers.device)
