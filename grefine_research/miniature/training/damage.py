"""Damage for training pictures of the autoencoder, so that defective pictures pass through it as well as clean ones."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Picture = NDArray[np.float32]


def damage(picture: Picture, rng: np.random.Generator) -> Picture:
    """Damage a picture (H, W, 3) in [0, 1], all of it or a rectangle: blur, noise, blocks, bands, light, colours."""
    height, width = picture.shape[:2]
    changed = _WAYS[rng.integers(len(_WAYS))](picture, rng)
    if rng.random() < 0.6:
        top, left = int(rng.integers(height // 2)), int(rng.integers(width // 2))
        bottom, right = (
            int(rng.integers(top + height // 4, height + 1)),
            int(rng.integers(left + width // 4, width + 1)),
        )
        patched = picture.copy()
        patched[top:bottom, left:right] = changed[top:bottom, left:right]
        changed = patched
    return np.clip(changed, 0, 1).astype(np.float32)


def _blur(picture: Picture, rng: np.random.Generator) -> Picture:
    from kornia.filters import filter2d

    planes = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    taps = torch.tensor([[[0.25, 0.5, 0.25]]])
    for kernel in (taps.mT, taps):
        for _ in range(int(rng.integers(1, 6))):
            planes = filter2d(planes, kernel, "circular")
    blurred: Picture = planes[0].permute(1, 2, 0).numpy()
    return blurred


def _noise(picture: Picture, rng: np.random.Generator) -> Picture:
    return picture + rng.normal(0, rng.uniform(0.03, 0.2), picture.shape).astype(np.float32)


def _blocks(picture: Picture, rng: np.random.Generator) -> Picture:
    size = int(rng.choice([4, 8]))
    return picture[::size, ::size].repeat(size, 0).repeat(size, 1)[: picture.shape[0], : picture.shape[1]]


def _bands(picture: Picture, rng: np.random.Generator) -> Picture:
    levels = int(rng.integers(3, 7))
    return (np.round(picture * levels) / levels).astype(np.float32)


def _light(picture: Picture, rng: np.random.Generator) -> Picture:
    return picture * float(rng.uniform(0.5, 1.8)) + float(rng.uniform(-0.2, 0.3))


def _colours(picture: Picture, rng: np.random.Generator) -> Picture:
    return picture[..., rng.permutation(3)] * rng.uniform(0.6, 1.2, 3).astype(np.float32)


_WAYS = (_blur, _noise, _blocks, _bands, _light, _colours)
