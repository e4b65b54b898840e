"""A diffusers VAE in tiles, for as long as it has to be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def tiled(vae: Any) -> Iterator[None]:
    """Inside, ``vae`` works in the library's tiles; behind, as it did before: a seed always gives the same picture."""
    before = vae.use_tiling
    vae.enable_tiling()
    try:
        yield
    finally:
        if not before:
            vae.disable_tiling()
