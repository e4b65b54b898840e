"""When memory runs out: how to tell, and what to try instead."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from .settings import PasdSettings

#: Tiles are not made smaller than this many latent cells: the networks would see too little of the picture.
SMALLEST_TILE = 32


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether ``error`` says that memory ran out: torch has a class for some devices, and only words for others."""
    text = str(error).lower()
    return isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in text or "can't allocate memory" in text


def smaller_tiles(settings: PasdSettings, height: int, width: int) -> PasdSettings | None:
    """``settings`` with tiles of half the side of what was predicted at once in a latent of this size.

    None if they would be smaller than ``SMALLEST_TILE``.
    """
    tiled = height * width > settings.tile_size**2
    size = (min(settings.tile_size, height, width) if tiled else math.isqrt(height * width)) // 2
    if size < SMALLEST_TILE:
        return None
    return replace(settings, tile_size=size, tile_overlap=min(settings.tile_overlap, size // 2))


def empty_cache() -> None:
    """Give what torch keeps for later back to the device."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
