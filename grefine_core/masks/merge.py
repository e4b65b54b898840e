"""Several defect maps become one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ..checks import choice, number
from ..errors import InputError
from ..tensors import as_masks, fit_empty

MODES = ("max", "mean", "noisy_or")


def merge_maps(maps: Sequence[Tensor], mode: str = "max", weights: Sequence[float] | None = None) -> Tensor:
    """Merge defect maps into one (method, section 5).

    Args:
        maps: one or more maps ``(B, H, W)`` or ``(H, W)`` in [0, 1] of one size (one of zeros: of any); a single map
            serves a whole batch.
        mode: ``"max"`` (the worst map counts), ``"mean"`` (weighted mean) or ``"noisy_or"``: ``1 - prod(1 - m)``, each
            map being one more independent chance that something is wrong.
        weights: one for each map, from 0 up; ``None`` = all 1. They scale a map before ``max`` and ``noisy_or``, and
            are its share of the ``mean``. A weight of 0 leaves the map out.

    Returns:
        ``(B, H, W)`` float32 in [0, 1], a new tensor on the first map's device.

    Raises:
        InputError: no maps, sizes or batches that do not fit (both shapes are named), weights that do not fit, an
            unknown mode.
    """
    mode = choice(mode, "mode", MODES)
    if isinstance(maps, Tensor) or not isinstance(maps, Sequence) or not maps:
        raise InputError("maps: expected a list of one or more maps (B, H, W) or (H, W).")
    stack = _common([as_masks(value, f"maps[{index}]") for index, value in enumerate(maps)])
    shares = _weights(weights, len(stack))
    # One map after the other into one that is ours: all of them at once would be one more copy of each.
    merged = stack[0] * shares[0]
    if mode == "max":
        for value, share in zip(stack[1:], shares[1:], strict=True):
            torch.maximum(merged, value * share, out=merged)
        return merged.clamp_(0.0, 1.0)
    if mode == "mean":
        if sum(shares) == 0:
            raise InputError("weights: all are 0, so there is no mean; give at least one map a weight.")
        for value, share in zip(stack[1:], shares[1:], strict=True):
            merged.add_(value, alpha=share)
        return merged.div_(sum(shares)).clamp_(0.0, 1.0)
    merged.clamp_(0.0, 1.0).neg_().add_(1.0)
    for value, share in zip(stack[1:], shares[1:], strict=True):
        merged.mul_(value.mul(share).clamp_(0.0, 1.0).neg_().add_(1.0))
    return merged.neg_().add_(1.0)


def _common(maps: list[Tensor]) -> list[Tensor]:
    """Bring the maps to one batch size and one device."""
    first = next((index for index, value in enumerate(maps) if bool(value.any())), 0)
    device, size = maps[0].device, maps[first].shape[1:]
    maps = [fit_empty(value, size) for value in maps]
    batch = max(value.shape[0] for value in maps)
    largest = next(index for index, value in enumerate(maps) if value.shape[0] == batch)
    for index, value in enumerate(maps):
        if value.shape[1:] != size:
            raise InputError(
                f"maps[{index}]: shape {tuple(value.shape)} does not fit maps[{first}] {tuple(maps[first].shape)}: "
                "height and width must be equal. Make all maps from the same picture, or resize them first."
            )
        if value.shape[0] not in (1, batch):
            raise InputError(
                f"maps[{index}]: shape {tuple(value.shape)} does not fit maps[{largest}] "
                f"{tuple(maps[largest].shape)}: give one map, or one for each picture."
            )
    return [value.to(device).expand(batch, -1, -1) for value in maps]


def _weights(weights: Sequence[float] | None, count: int) -> list[float]:
    if weights is None:
        return [1.0] * count
    if not isinstance(weights, Iterable):
        raise InputError(f"weights: expected a list of numbers, one for each map, got {type(weights).__name__}.")
    values = list(weights)
    if len(values) != count:
        raise InputError(f"weights: {len(values)} numbers for {count} maps; give one for each map.")
    return [number(value, f"weights[{index}]", 0.0, 1e6) for index, value in enumerate(values)]
