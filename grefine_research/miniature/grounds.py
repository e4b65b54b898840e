"""Textured grounds: coarse enough for an autoencoder of factor 8, each with a look of its own."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from grefine_core.miniature.world import SIDE

from .worlds import SHIPPED, World

Array = NDArray[np.float32]
_Y, _X = (axis.astype(np.float32) + 0.5 for axis in np.mgrid[0:SIDE, 0:SIDE])

#: Two colours between which the texture moves, RGB in [0, 1].
_LOOKS = {
    "grass": ((0.20, 0.46, 0.13), (0.48, 0.70, 0.26)),
    "sand": ((0.78, 0.66, 0.44), (0.93, 0.84, 0.64)),
    "water": ((0.14, 0.46, 0.62), (0.42, 0.74, 0.82)),
    "snow": ((0.82, 0.88, 0.96), (0.98, 0.99, 1.00)),
    "wood": ((0.40, 0.25, 0.13), (0.62, 0.43, 0.24)),
    "stone": ((0.40, 0.40, 0.42), (0.64, 0.64, 0.65)),
}


def draw_ground(name: str, seed: int, world: World = SHIPPED) -> Array:
    """Draw a ground: ``(128, 128, 3)`` float32 in [0, 1]; ``name`` is one of ``world.GROUNDS``."""
    rng = np.random.default_rng(seed)
    texture = _smooth_texture if world.smooth else _texture
    share = np.clip(texture(name, rng), 0.0, 1.0)[..., None]
    dark, light = (np.asarray(colour, np.float32) for colour in _LOOKS[name])
    tint = rng.normal(0.0, 0.012, 3).astype(np.float32)
    return np.clip(dark + share * (light - dark) + tint, 0.0, 1.0).astype(np.float32)


def ground_colour(name: str) -> tuple[float, float, float]:
    """The colour in the middle of a ground's two."""
    dark, light = _LOOKS[name]
    return tuple(0.5 * (a + b) for a, b in zip(dark, light, strict=True))  # type: ignore[return-value]


def _smooth_texture(name: str, rng: np.random.Generator) -> Array:
    """Waves of 20 pixels and more, which the autoencoder's latents can say."""
    coarse = smooth_noise(rng, 4, 4)
    phase = np.float32(rng.uniform(0, 2 * np.pi))
    if name == "grass":
        return 0.5 + 0.14 * coarse + 0.18 * np.sin(_X / 3.6 + 0.9 * smooth_noise(rng, 4, 5) + phase)
    if name == "sand":
        return 0.55 + 0.12 * coarse + 0.16 * np.sin(_Y / 5.5 + 1.4 * coarse + 0.03 * _X + phase)
    if name == "water":
        return 0.45 + 0.08 * coarse + 0.26 * np.sin(_Y / 3.6 + 1.3 * smooth_noise(rng, 4, 5) + phase)
    if name == "snow":
        return 0.7 + 0.22 * coarse
    if name == "wood":
        return 0.5 + 0.10 * coarse + 0.22 * np.sin((_X + 5.0 * smooth_noise(rng, 3, 3)) / 5.0 + phase)
    return 0.5 + 0.26 * np.tanh(1.6 * smooth_noise(rng, 7, 7))


def _texture(name: str, rng: np.random.Generator) -> Array:
    coarse = smooth_noise(rng, 7, 7)
    phase = np.float32(rng.uniform(0, 2 * np.pi))
    if name == "grass":
        return 0.5 + 0.14 * coarse + 0.16 * smooth_noise(rng, 14, 36)
    if name == "sand":
        return 0.55 + 0.14 * coarse + 0.14 * np.sin(_Y / 4.2 + 1.6 * coarse + 0.03 * _X + phase)
    if name == "water":
        return 0.42 + 0.08 * coarse + 0.28 * np.sin(_Y / 3.0 + 2.2 * smooth_noise(rng, 5, 10) + phase)
    if name == "snow":
        return 0.72 + 0.18 * coarse + 0.06 * smooth_noise(rng, 24, 24)
    if name == "wood":
        plank = (_X + 8 * phase) % 32.0
        joint = np.clip(1.5 - np.minimum(plank, 32.0 - plank), 0.0, 1.0)
        return 0.55 + 0.22 * smooth_noise(rng, 5, 28) + 0.06 * coarse - 0.5 * joint
    row = np.floor((_Y + 6 * phase) / 22.0)
    across, down = (_X + 16.0 * (row % 2) + 5 * phase) % 32.0, (_Y + 6 * phase) % 22.0
    joint = np.clip(2.0 - np.minimum(np.minimum(across, 32.0 - across), np.minimum(down, 22.0 - down)), 0.0, 1.0)
    return 0.62 + 0.16 * coarse + 0.06 * smooth_noise(rng, 20, 20) - 0.5 * joint


def smooth_noise(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Noise of about unit variance, smooth at the scale of ``128 / rows`` by ``128 / columns`` pixels."""
    grid = rng.standard_normal((rows, columns)).astype(np.float32)
    return 1.3 * (_stretch(rows) @ grid @ _stretch(columns).T)


@lru_cache(maxsize=32)
def _stretch(count: int) -> Array:
    """``(128, count)``: cosine interpolation from ``count`` values to 128."""
    at = np.linspace(0, count - 1, SIDE)
    low = np.minimum(at.astype(int), count - 2)
    share = 0.5 - 0.5 * np.cos(np.pi * (at - low))
    matrix = np.zeros((SIDE, count), np.float32)
    matrix[np.arange(SIDE), low] = 1.0 - share
    matrix[np.arange(SIDE), low + 1] += share
    return matrix
