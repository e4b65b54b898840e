"""How much of a change of a picture is seen: in colour and in structure."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float32]
_PLAIN = 30.0  # a difference of this much in CIELAB cannot be overlooked
_WINDOW = 7  # of the structural similarity, in pixels


def lab(colours: Array) -> Array:
    """CIELAB of colours (…, 3) in [0, 1], the last axis as well."""
    from kornia.color import rgb_to_lab

    planes = torch.from_numpy(np.ascontiguousarray(colours, np.float32).reshape(-1, 3).T)[None, :, :, None]
    found: Array = rgb_to_lab(planes)[0, :, :, 0].numpy().T.reshape(colours.shape)
    return found


def seen_change(before: Array, after: Array) -> Array:
    """Return for every pixel how much its change is seen, in [0, 1]: (H, W) float32.

    The mean of the distance in CIELAB, up to one that cannot be overlooked, and of what the structural similarity
    (Wang et al. 2004, of lightness) falls short of 1: noise changes colours little and structure much, a tint the other
    way round.

    Args:
        before, after: (H, W, 3) float32 in [0, 1].
    """
    from kornia.metrics import ssim

    first, second = lab(before), lab(after)
    colour = np.minimum(np.linalg.norm(second - first, axis=-1) / _PLAIN, 1.0)
    light = [torch.from_numpy(np.ascontiguousarray(part[..., 0]) / 100.0)[None, None] for part in (first, second)]
    structure = 1.0 - ssim(light[0], light[1], _WINDOW, padding="same")[0, 0].numpy().clip(0.0, 1.0)
    # Rounding alone must not look like a change.
    structure[np.abs(after - before).max(axis=-1) == 0.0] = 0.0
    change: Array = (0.5 * (colour + structure)).astype(np.float32)
    return change
