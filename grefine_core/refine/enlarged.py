"""The guard over pictures that came back at another size, as upscale models and restorers like SeedVR2 give them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..tensors import as_canvas, as_images
from .crops import resize_images
from .guard import GuardResult

#: A picture whose proportions are further off than this was cut, not enlarged. Sides are rounded to multiples.
_PROPORTIONS = 0.03


def fits(before: Tensor, after: Tensor) -> bool:
    """Whether ``after`` ``(1, h, w, C)`` can be ``before`` ``(1, H, W, C)`` at another size: by their proportions."""
    return abs(after.shape[2] / after.shape[1] * before.shape[1] / before.shape[2] - 1.0) <= _PROPORTIONS


def guard_resized(
    before: Tensor, after: Tensor, judge: Callable[[Tensor, Tensor], GuardResult]
) -> tuple[Tensor, GuardResult]:
    """Judge a picture that has another size than the one it was made from.

    It is judged at the size of ``before``: the same detail is asked for, and a mask of that size fits. The answer has
    the size of ``after``: what was accepted as it is, what was refused enlarged from ``before`` (bicubic).

    Args:
        before: ``(1, H, W, C)``.
        after: ``(1, h, w, C)``.
        judge: a guard, given ``before`` and ``after`` ``(1, H, W, 3)``.

    Returns:
        The picture ``(1, h, w, C)``, ``after`` itself if nothing was refused, and what the guard said.

    Raises:
        InputError: other proportions.
    """
    drawn = as_canvas(after, "after")
    if not fits(before, drawn):
        raise InputError(
            f"after: is {drawn.shape[2]}×{drawn.shape[1]}, which is not {before.shape[2]}×{before.shape[1]} at another "
            "size: other proportions. Cut nothing off between before and after."
        )
    size = (int(drawn.shape[1]), int(drawn.shape[2]))
    # As both look: colours under alpha would differ where nothing was refused.
    seen = as_images(before, "before")
    small = resize_images(as_images(drawn, "after"), (int(before.shape[1]), int(before.shape[2])))
    result = judge(seen, small)
    refused = (result.image != small).any(dim=-1)
    if not bool(refused.any()):
        return after, result
    asked = refused.float().unsqueeze(1)
    if size[0] < asked.shape[-2] or size[1] < asked.shape[-1]:
        # The nearest pixel would lose what is refused between those of a smaller picture.
        asked = F.adaptive_max_pool2d(asked, (min(size[0], asked.shape[-2]), min(size[1], asked.shape[-1])))
    where = F.interpolate(asked, size=size, mode="nearest")[:, 0].unsqueeze(-1) > 0
    both = before.shape[-1] == drawn.shape[-1] == 4
    # With alpha on both sides it is the old colours under the old alpha: seen over white they would be faded twice.
    old = resize_images(as_canvas(before, "before") if both else seen, size).to(drawn)
    if both:
        return torch.where(where, old, drawn), result
    colors = torch.where(where, old, drawn[..., :3])
    return torch.cat([colors, drawn[..., 3:]], dim=-1), result
