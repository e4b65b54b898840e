"""A defect map becomes two masks: what is sampled anew, and how softly it is pasted back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import choice, number
from ..tensors import as_masks, fit_empty, match_masks
from . import morphology
from .threshold import above_otsu, above_threshold, worst_share

METHODS = ("threshold", "otsu", "top")


@dataclass(frozen=True)
class Mask:
    """What is to be repainted in a batch of pictures.

    Two masks, so that the softness of the edge never changes what is denoised.
    """

    denoise: Tensor
    """(B, H, W) float32, 0 or 1: what is sampled anew."""
    composite: Tensor
    """(B, H, W) float32 in [0, 1]: how much of it is pasted. 0 wherever ``denoise`` is 0, 1 in the core."""
    area: Tensor
    """(B,) float32 in [0, 1]: share of the picture that is denoised; 0 = nothing is to be done."""


def binarize_map(
    map: Tensor,  # noqa: A002 - the public name
    method: str = "threshold",
    threshold: float = 0.5,
    top: float = 0.2,
    *,
    floor: float = 0.3,
    contrast: float = 0.1,
    min_area: float = 0.001,
    grow: float = 0.02,
    feather: float = 0.02,
    fill_holes: bool = True,
    protect: Tensor | None = None,
    interrupt: Callable[[], None] | None = None,
) -> Mask:
    """Turn a defect map into masks (method, section 5). Every picture is judged by itself; a clean one gives nothing.

    In this order: binarise, fill holes, take the protected out, drop specks, grow, take the protected out again,
    feather inward. With ``grow`` as wide as ``feather`` or wider, all that was found is replaced entirely.

    Args:
        map: ``(B, H, W)`` or ``(H, W)`` in [0, 1], high = defect.
        method: ``"threshold"``: all above ``threshold``. ``"otsu"``: a threshold for each picture by Otsu's
            method, nothing if the map is (nearly) constant. ``"top"``: the worst ``top`` of the area, and ties.
        threshold: for ``"threshold"``, in [0, 1].
        top: share of the area, for ``"top"``, in [0, 1].
        floor: for ``"otsu"`` and ``"top"``: what is not above it is never taken, in [0, 1].
        contrast: for ``"otsu"``: how far apart the means of both classes must be, in [0, 1].
        min_area: connected parts smaller than this share of the picture are dropped, in [0, 1].
        grow: by how much the mask grows, as a share of the picture's shorter side, in [0, 1].
        feather: width of the composite mask's soft edge, as a share of the shorter side, in [0, 1].
        fill_holes: whether what is enclosed by defects is repainted with them.
        protect: ``(B, H, W)`` or ``(H, W)``; wherever it is above 0 both masks are 0, whatever grows around it.
        interrupt: called before each picture; what it raises stops the work.

    Returns:
        The masks, on the map's device.

    Raises:
        InputError: a map or mask of the wrong shape or with NaN, sizes that do not fit, numbers out of range.
    """
    maps = as_masks(map, "map")
    method = choice(method, "method", METHODS)
    threshold = number(threshold, "threshold", 0.0, 1.0)
    top = number(top, "top", 0.0, 1.0)
    floor = number(floor, "floor", 0.0, 1.0)
    contrast = number(contrast, "contrast", 0.0, 1.0)
    if protect is not None:
        protect = as_masks(protect, "protect")
        maps = fit_empty(maps, protect.shape[1:])
    shorter = min(maps.shape[1:])
    speck = number(min_area, "min_area", 0.0, 1.0) * maps[0].numel()
    grow_pixels = round(number(grow, "grow", 0.0, 1.0) * shorter)
    feather_pixels = round(number(feather, "feather", 0.0, 1.0) * shorter)
    shields = None if protect is None else match_masks(protect, maps, "protect", "map")

    denoise, composite = (torch.empty(maps.shape, device=maps.device) for _ in range(2))
    area = []
    for index, values in enumerate(maps.cpu()):
        if interrupt is not None:
            interrupt()
        if method == "threshold":
            chosen = above_threshold(values, threshold)
        elif method == "otsu":
            chosen = above_otsu(values, floor, contrast)
        else:
            chosen = worst_share(values, top, floor)
        mask = chosen.numpy()
        allowed = None if shields is None else shields[index].cpu().numpy() <= 0
        if fill_holes:
            mask = morphology.fill_holes(mask)
        if allowed is not None:
            mask = mask & allowed
        mask = morphology.grow(morphology.drop_specks(mask, speck), grow_pixels)
        if allowed is not None:
            mask = mask & allowed
        area.append(float(mask.mean()))
        denoise[index] = torch.from_numpy(mask)
        soft = composite[index].numpy() if composite.device.type == "cpu" else None
        edge = morphology.feather(mask, feather_pixels, soft)
        if soft is None:
            composite[index] = torch.from_numpy(edge)
    return Mask(
        denoise=denoise,
        composite=composite,
        area=torch.tensor(area, dtype=torch.float32, device=maps.device),
    )
