"""Technical defects: a part of the picture blurred, noisy, blocky, banded or over-exposed."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from grefine_core.miniature.world import SIDE

from ..grounds import smooth_noise
from ..worlds import SHIPPED, World

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
_Y, _X = (axis.astype(np.float32) + 0.5 for axis in np.mgrid[0:SIDE, 0:SIDE])


def draw_region(rng: np.random.Generator, world: World = SHIPPED, blob: bool = False) -> Mask:
    """A box, a blob or a band of a world's size: ``(128, 128)`` bool; ``blob`` asks for a blob."""
    shape = 1 if blob else rng.integers(3)
    if shape == 2:
        angle, width = float(rng.uniform(0, np.pi)), float(rng.uniform(*world.band))
        away = float(rng.uniform(-30, 30))
        along = (_X - SIDE / 2) * np.float32(np.cos(angle)) + (_Y - SIDE / 2) * np.float32(np.sin(angle))
        return np.abs(along - away) < width
    width, height = rng.uniform(*world.box, 2)
    x, y = rng.uniform(width, SIDE - width), rng.uniform(height, SIDE - height)
    if shape == 0:
        return (np.abs(_X - x) < 0.9 * width) & (np.abs(_Y - y) < 0.9 * height)
    away = np.hypot((_X - x) / width, (_Y - y) / height)
    return away + 0.16 * smooth_noise(rng, 6, 6) < 0.95


def _blurred(image: Array, sigma: float) -> Array:
    from kornia.filters import gaussian_blur2d

    side = 2 * int(4.0 * sigma + 0.5) + 1
    planes = torch.from_numpy(image).permute(2, 0, 1)[None]
    blurred: Array = gaussian_blur2d(planes, (side, side), (sigma, sigma), "replicate")[0].permute(1, 2, 0).numpy()
    return blurred


def degrade(
    image: Array, mask: Mask, name: str, strength: float, rng: np.random.Generator, world: World = SHIPPED
) -> Array:
    """Return ``image`` with the pixels of ``mask`` degraded as a world has it; ``strength`` in (0, 1]."""
    amount = world.defects[name](strength)
    if name == "blur":
        changed: NDArray[np.floating] = _blurred(image, amount)
    elif name == "noise":
        changed = image + rng.standard_normal(image.shape).astype(np.float32) * amount
    elif name == "blocks":
        side = 8
        means = image.reshape(SIDE // side, side, SIDE // side, side, 3).mean(axis=(1, 3))
        flat = means.repeat(side, 0).repeat(side, 1)
        edges = ((_X - 0.5) % side == 0) | ((_Y - 0.5) % side == 0)
        changed = image + amount * (flat - image) - (0.12 * strength * edges)[..., None]
    elif name == "banding":
        levels = 3 if world.seen else 5 - round(2 * strength)
        changed = image + amount * (np.round(image * (levels - 1)) / (levels - 1) - image)
    else:
        light = world.defects[name]
        changed = image * world.defects["gain"](strength) + light.least + light.more * strength
    return np.where(mask[..., None], np.clip(changed, 0.0, 1.0), image).astype(np.float32)
