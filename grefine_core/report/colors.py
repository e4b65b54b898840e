"""Maps in colour: heatmaps and overlays."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import number
from ..tensors import as_images, as_masks, match_masks, strips

# matplotlib's "inferno" (CC0) at 17 equally spaced values: perceptually uniform, and readable without colour vision.
_INFERNO = (
    (0, 0, 4),
    (11, 7, 36),
    (33, 12, 74),
    (61, 9, 101),
    (87, 16, 110),
    (113, 25, 110),
    (138, 34, 106),
    (163, 44, 97),
    (188, 55, 84),
    (208, 69, 69),
    (227, 89, 51),
    (241, 113, 31),
    (249, 140, 10),
    (252, 170, 15),
    (249, 201, 50),
    (242, 232, 101),
    (252, 255, 164),
)


def heatmap(map: Tensor) -> Tensor:  # noqa: A002 - the public name
    """Return a map in colour: black at 0, through red and orange, to pale yellow at 1 (inferno).

    Args:
        map: ``(B, H, W)`` or ``(H, W)`` in [0, 1].

    Returns:
        ``(B, H, W, 3)`` float32 in [0, 1], on the map's device.

    Raises:
        InputError: another shape, or NaN.
    """
    return _colored(as_masks(map, "map"))


def _colored(values: Tensor) -> Tensor:
    table = torch.tensor(_INFERNO, dtype=torch.float32, device=values.device) / 255.0
    place = values * (len(_INFERNO) - 1)
    lower = place.floor().clamp(max=len(_INFERNO) - 2)
    share = (place - lower).unsqueeze(-1)
    index = lower.long()
    return torch.lerp(table[index], table[index + 1], share)


def overlay(images: Tensor, map: Tensor, alpha: float = 0.75) -> Tensor:  # noqa: A002 - the public name
    """Return pictures with a map laid over them in colour; where the map is 0 the picture shows as it is.

    Args:
        images: ``(B, H, W, 3)`` in [0, 1].
        map: ``(B, H, W)``, or one for all, in [0, 1].
        alpha: opacity where the map is 1, in [0, 1]; it falls with the map.

    Returns:
        ``(B, H, W, 3)`` float32 in [0, 1], a new tensor on the pictures' device.

    Raises:
        InputError: sizes or batches that do not fit (both shapes are named), NaN, ``alpha`` out of range.
    """
    pictures = as_images(images, "images")
    values = match_masks(as_masks(map, "map"), pictures, "map", "images").to(pictures.device)
    strength = number(alpha, "alpha", 0.0, 1.0)
    drawn = torch.empty_like(pictures, memory_format=torch.contiguous_format)
    # In strips: the colours of a whole map, and the places in the table that they come from, are several pictures.
    for index, picture in enumerate(pictures):
        for rows in strips(picture.shape[0]):
            part = values[index, rows]
            # The square root keeps weak values visible; dark colours on a picture would hide more than they show.
            opacity = strength * part.sqrt().unsqueeze(-1)
            drawn[index, rows] = torch.lerp(picture[rows], _colored(part), opacity)
    return drawn
