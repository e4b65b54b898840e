"""Large latents in overlapping tiles: each is predicted by itself, and the predictions are blended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

#: Variance of the weights around a tile's middle, in units of its side.
_VARIANCE = 0.01

#: ``predict(latents (B, 4, h, w), pictures (B, 3, H, W)) -> (B', 4, h, w)``.
Predict = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Tiling:
    """Which part of a latent is predicted at once.

    Attributes:
        size: side of a tile in latent cells.
        overlap: cells in common with the neighbour, less than ``size``.
    """

    size: int
    overlap: int

    def needed(self, height: int, width: int) -> bool:
        """Whether a latent of this size is tiled: when it has more cells than a tile."""
        return height * width > self.size**2

    def places(self, height: int, width: int) -> tuple[int, list[tuple[int, int]]]:
        """The side of the tiles, and top and left of each, row by row.

        All tiles are squares of the same side, at most the latent's shorter one, and start at multiples of that side
        less the overlap; the last of a row or column is moved back to end with the latent.
        """
        side = min(self.size, height, width)
        step = side - min(self.overlap, side - 1)
        return side, [(top, left) for top in _starts(height, side, step) for left in _starts(width, side, step)]


def tile_weights(height: int, width: int) -> Tensor:
    """Gaussian weights ``(height, width)`` float64 of a tile, highest in its middle.

    The middles are the published ones: (width - 1) / 2 across, height / 2 down.
    """
    return torch.outer(_bell(height, height / 2), _bell(width, (width - 1) / 2))


def predict_tiled(predict: Predict, latents: Tensor, pictures: Tensor, tiling: Tiling) -> Tensor:
    """Predict for ``latents`` at once, or tile after tile if they are large; the memory is that of one tile.

    Args:
        predict: gets a part of the latents and the part of the pictures that belongs to it. It may return more rows
            than it was given (both conditions of the guidance).
        latents: ``(B, 4, h, w)``.
        pictures: ``(B, 3, f·h, f·w)``.
        tiling: when and how.

    Returns:
        ``(B', 4, h, w)`` float32.
    """
    height, width = latents.shape[-2:]
    if not tiling.needed(height, width):
        return predict(latents, pictures).float()
    factor = pictures.shape[-1] // width
    side, places = tiling.places(height, width)
    weights = tile_weights(side, side).float().to(latents.device)
    total: Tensor | None = None
    weight = torch.zeros(height, width, device=latents.device)
    for top, left in places:
        bottom, right = top + side, left + side
        part = predict(
            latents[..., top:bottom, left:right].contiguous(),
            pictures[..., top * factor : bottom * factor, left * factor : right * factor].contiguous(),
        ).float()
        if total is None:
            total = part.new_zeros(*part.shape[:2], height, width)
        total[..., top:bottom, left:right] += part * weights
        weight[top:bottom, left:right] += weights
    assert total is not None  # a latent that has to be tiled has tiles
    return total / weight


def _starts(length: int, side: int, step: int) -> list[int]:
    starts = list(range(0, length - side, step))
    return [*starts, length - side]


def _bell(length: int, middle: float) -> Tensor:
    away = (torch.arange(length, dtype=torch.float64) - middle) / length
    return torch.exp(-(away**2) / (2.0 * _VARIANCE)) / (2.0 * torch.pi * _VARIANCE) ** 0.5
