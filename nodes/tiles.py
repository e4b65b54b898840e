"""Overlapping tiles of a large picture and their seamless blend. Pure tensor code; imports without the host."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tile:
    """A rectangle of a picture in pixels; bottom and right are exclusive."""

    top: int
    left: int
    bottom: int
    right: int

    def cut(self, images: Tensor) -> Tensor:
        """The tile's part of `(B, H, W, …)`, contiguous."""
        return images[:, self.top : self.bottom, self.left : self.right].contiguous()


def plan_tiles(size: tuple[int, int], side: int, overlap: int) -> list[Tile]:
    """Cover a picture of `size` (height, width) with tiles of at most `side`, overlapping by `overlap` or more.

    Row by row. All tiles have the same size and start at multiples of the smallest common step of the sides and the
    picture, so that what was a multiple of something (a VAE's cell) stays one.
    """
    height, width = size
    step = math.gcd(math.gcd(height, width), math.gcd(side, overlap))
    return [
        Tile(top, left, top + min(side, height), left + min(side, width))
        for top in _starts(height, side, overlap, step)
        for left in _starts(width, side, overlap, step)
    ]


def feather(tile: Tile, overlap: int, size: tuple[int, int]) -> Tensor:
    """Weights `(h, w)` of a tile: 1 inside, falling linearly over `overlap` at sides where the picture goes on."""
    rows = _ramp(tile.bottom - tile.top, overlap, tile.top > 0, tile.bottom < size[0])
    columns = _ramp(tile.right - tile.left, overlap, tile.left > 0, tile.right < size[1])
    return rows.unsqueeze(1) * columns.unsqueeze(0)


def blend(tiles: Sequence[Tile], parts: Sequence[Tensor], weights: Sequence[Tensor], like: Tensor) -> Tensor:
    """The weighted mean of the tiles' pictures `(1, h, w, 3)` as one picture of the size of `like` `(1, H, W, 3)`."""
    if len(tiles) == 1:
        return parts[0]
    total = torch.zeros_like(like)
    weight = torch.zeros_like(like[..., :1])
    for tile, part, share in zip(tiles, parts, weights, strict=True):
        place = (slice(None), slice(tile.top, tile.bottom), slice(tile.left, tile.right))
        spread = share.to(like).unsqueeze(0).unsqueeze(-1)
        total[place] += part.to(like) * spread
        weight[place] += spread
    return total / weight


def _starts(length: int, side: int, overlap: int, step: int) -> list[int]:
    if length <= side:
        return [0]
    count = math.ceil((length - overlap) / max(step, side - overlap))
    # Spread evenly: the last one ends with the picture, none is a sliver.
    places = [round(number * (length - side) / (count - 1) / step) * step for number in range(count)]
    return list(dict.fromkeys(places))


def _ramp(length: int, overlap: int, before: bool, after: bool) -> Tensor:
    ramp = torch.ones(length)
    rise = (torch.arange(min(overlap, length)) + 0.5) / overlap
    if before:
        ramp[: len(rise)] = torch.minimum(ramp[: len(rise)], rise)
    if after:
        ramp[length - len(rise) :] = torch.minimum(ramp[length - len(rise) :], rise.flip(0))
    return ramp
