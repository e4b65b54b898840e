"""When memory runs out: what to try instead."""

from __future__ import annotations

import math
from dataclasses import replace

from ...memory import empty_cache, is_out_of_memory
from .settings import PasdSettings

__all__ = ["SMALLEST_TILE", "empty_cache", "is_out_of_memory", "smaller_tiles"]

#: Tiles are not made smaller than this many latent cells: the networks would see too little of the picture.
SMALLEST_TILE = 32


def smaller_tiles(settings: PasdSettings, height: int, width: int) -> PasdSettings | None:
    """``settings`` with tiles of half the side of what was predicted at once in a latent of this size.

    None if they would be smaller than ``SMALLEST_TILE``.
    """
    tiled = height * width > settings.tile_size**2
    size = (min(settings.tile_size, height, width) if tiled else math.isqrt(height * width)) // 2
    if size < SMALLEST_TILE:
        return None
    return replace(settings, tile_size=size, tile_overlap=min(settings.tile_overlap, size // 2))
