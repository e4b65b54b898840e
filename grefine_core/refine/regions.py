"""The connected regions of one picture's mask, and which of them every pixel belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..masks import connected_regions


@dataclass(frozen=True)
class Region:
    """One connected group of a mask, with every pixel that is nearer to it than to any other group.

    Attributes:
        core: ``(H, W)`` bool, the group itself.
        cell: ``(H, W)`` bool, its share of the picture; the cells of one picture cover it without overlap.
    """

    core: Tensor
    cell: Tensor


def split_regions(mask: Tensor, join: int) -> list[Region]:
    """Split ``mask`` ``(H, W)`` (anything above 0 counts) into groups and cells.

    Groups closer than ``join`` pixels are one. Every pixel of the picture belongs to its nearest group, so that
    feathered edges that touch are never blended twice. Empty mask: no regions.
    """
    occupied = mask > 0
    if not bool(occupied.any()):
        return []
    groups = connected_regions(occupied, join=join)
    cores = [group.to(device=mask.device, dtype=torch.bool) & occupied for group in groups]
    if len(cores) == 1:
        return [Region(core=cores[0], cell=torch.ones_like(cores[0]))]
    labels = _nearest(cores)
    return [Region(core=core, cell=labels == number) for number, core in enumerate(cores)]


def _nearest(cores: Sequence[Tensor]) -> Tensor:
    """Number of the nearest core for every pixel, ``(H, W)`` int64."""
    from scipy import ndimage

    numbers = torch.zeros(cores[0].shape, dtype=torch.int64)
    for number, core in enumerate(cores):
        numbers[core.cpu()] = number + 1
    flat = numbers.numpy()
    nearest = ndimage.distance_transform_edt(flat == 0, return_distances=False, return_indices=True)
    return torch.from_numpy(flat[tuple(nearest)] - 1).to(cores[0].device)
