"""From defect maps to masks: merge, binarise, clean, feather, and split into regions (method, section 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .checks import choice, number
from .errors import InputError
from .tensors import as_masks, fit_empty, match_masks, strips

__all__ = [
    "METHODS",
    "MODES",
    "Mask",
    "binarize_map",
    "bounding_box",
    "connected_regions",
    "label_regions",
    "merge_maps",
    "otsu_threshold",
]


# Cleaning one binary mask: holes, specks, growing, the soft edge. Exact distances, whatever the picture's size: growing
# 2 % of 4096² is a disc of 163 pixels across, for which kornia's dilation would need a plane for every one of its
# pixels (10 pixels at 1024²: nine times as long already); its distances are ten pixels and more off, and it takes a
# hundred times as long as scipy to miscount the connected parts (benchmarks/libraries.py).

Bool = NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)
_EIGHT = np.ones((3, 3), dtype=bool)  # corners touch


def fill_mask_holes(mask: Bool) -> Bool:
    """Return ``mask`` with all holes filled; what is open to the picture's border is no hole.

    Args:
        mask: ``(H, W)`` bool.

    Returns:
        ``(H, W)`` bool; ``mask`` itself where nothing changes.

    Source: method, section 5.
    """
    from scipy import ndimage

    window = _window(mask, 1)
    if window is None:
        return mask
    filled = mask.copy()
    filled[window] = ndimage.binary_fill_holes(mask[window])
    return filled


def drop_specks(mask: Bool, pixels: float) -> Bool:
    """Return ``mask`` without the connected parts of fewer than ``pixels`` pixels (corners connect).

    Args:
        mask: ``(H, W)`` bool.
        pixels: the smallest area that stays, in pixels.

    Returns:
        ``(H, W)`` bool; ``mask`` itself where nothing changes.

    Source: method, section 5.
    """
    from scipy import ndimage

    if pixels <= 1 or not mask.any():
        return mask
    labels, count = ndimage.label(mask, structure=_EIGHT)
    # numpy indexes and counts by int64, twice the labels' own size.
    sizes = np.zeros(count + 1, np.int64)
    for rows in strips(len(labels)):
        sizes += np.bincount(labels[rows].ravel(), minlength=count + 1)
    keep = sizes >= pixels
    keep[0] = False
    return looked_up(keep, labels)


def grow_mask(mask: Bool, pixels: float) -> Bool:
    """Return ``mask`` with everything that is at most ``pixels`` away from it.

    Args:
        mask: ``(H, W)`` bool.
        pixels: distance, Euclidean, in pixels; 0 or more.

    Returns:
        ``(H, W)`` bool.

    Source: method, section 5, by an exact Euclidean distance transform.
    """
    window = _window(mask, int(pixels) + 1)
    if window is None or pixels < 1:
        return mask
    grown = np.zeros_like(mask)
    grown[window] = _squared_distances(~mask[window]) <= pixels * pixels
    return grown


def feather_mask(mask: Bool, pixels: float, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Return ``mask`` with a soft edge of ``pixels`` going **inward**: 0 outside, rising to 1 in the core.

    Nothing outside the mask is ever blended, and the border of the picture is no edge. The edge of a part too small
    for it is narrower, so that every part has a core that is exactly 1. ``out``: what it is written to and returned as.
    """
    from scipy import ndimage

    soft = np.empty(mask.shape, np.float32) if out is None else out
    soft[...] = mask
    window = _window(mask, 1)
    if window is None or pixels < 1 or mask.all():
        return soft
    inside = mask[window]
    depth = soft[window]
    np.sqrt(_squared_distances(inside), out=depth, casting="unsafe", dtype=np.float32)
    labels, count = ndimage.label(inside, structure=_EIGHT)
    deepest = np.ones(count + 1, dtype=np.float32)
    for rows in strips(len(labels)):
        np.maximum.at(deepest, labels[rows].ravel(), depth[rows].ravel())
    # Squares of distances are whole numbers: this is the next one after ``pixels``, so growing as far as is feathered
    # leaves all that was there before at exactly 1.
    full = np.float32(np.sqrt(pixels * pixels + 1.0))
    width = np.minimum(deepest, full)
    for rows in strips(len(labels)):
        ramp = np.minimum(depth[rows] / width[labels[rows]], 1.0)
        depth[rows] = ramp * ramp * (3.0 - 2.0 * ramp)
    return soft


def looked_up(table: NDArray[Scalar], labels: NDArray[np.int32]) -> NDArray[Scalar]:
    """``table[labels]`` without numpy's copy of all labels as int64."""
    result = np.empty(labels.shape, dtype=table.dtype)
    for rows in strips(len(labels)):
        result[rows] = table[labels[rows]]
    return result


def nearest(mask: Bool) -> NDArray[np.int32]:
    """Row and column (2, H, W) of the nearest pixel that is **not** set, for every pixel; there must be one."""
    from scipy import ndimage

    found: NDArray[np.int32] = ndimage.distance_transform_edt(mask, return_distances=False, return_indices=True)
    return found


def _squared_distances(mask: Bool) -> NDArray[np.int32]:
    """Squared distance of every set pixel to the nearest that is not (there must be one), 0 elsewhere.

    Whole numbers, so that rounding decides nothing, and a third of the memory of scipy's own float64 distances.
    """
    found = nearest(mask)
    for axis, places in enumerate(np.ogrid[: mask.shape[0], : mask.shape[1]]):
        found[axis] -= places.astype(np.int32)
    found *= found
    found[0] += found[1]
    return found[0]


def _window(mask: Bool, margin: int) -> tuple[slice, slice] | None:
    """Return the bounding box of what is set, ``margin`` wider where the picture goes on; ``None`` if nothing is."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return (
        slice(max(int(rows[0]) - margin, 0), min(int(rows[-1]) + 1 + margin, mask.shape[0])),
        slice(max(int(columns[0]) - margin, 0), min(int(columns[-1]) + 1 + margin, mask.shape[1])),
    )


# Which pixels of one defect map are defects: three ways that all find nothing in a clean map.

_BINS = 256


def above_threshold(values: Tensor, threshold: float) -> Tensor:
    """Return where ``values`` ``(H, W)`` is above ``threshold``, ``(H, W)`` bool."""
    return values > threshold


def above_otsu(values: Tensor, floor: float, contrast: float) -> Tensor:
    """Return where ``values`` ``(H, W)`` is above Otsu's threshold *and* above ``floor``.

    Otsu's method splits anything into two, a clean map as well. Unless the means of both classes are ``contrast``
    apart there are no two classes, and nothing is returned.

    Source: Otsu (IEEE Transactions on Systems, Man, and Cybernetics 9(1), 1979); ``floor`` and ``contrast``, without
        which a clean map would be split as well, are ours.
    """
    split = otsu_threshold(values)
    if split is None:
        return torch.zeros_like(values, dtype=torch.bool)
    chosen = values > split
    if not bool(chosen.any()) or float(values[chosen].mean() - values[~chosen].mean()) < contrast:
        return torch.zeros_like(chosen)
    return chosen & (values > floor)


def worst_share(values: Tensor, share: float, floor: float) -> Tensor:
    """Return the worst ``share`` of the pixels of ``values`` ``(H, W)`` that are above ``floor``.

    Pixels that tie with the last one taken are taken as well: any choice among them would be arbitrary.

    Source: method, section 5; that only what is above ``floor`` counts is ours.
    """
    count = round(share * values.numel())
    if count == 0:
        return torch.zeros_like(values, dtype=torch.bool)
    flat = values.flatten()
    last = flat.kthvalue(flat.numel() - count + 1).values
    return (values >= last) & (values > floor)


def otsu_threshold(values: Tensor) -> float | None:
    """Return the threshold in [0, 1] that splits ``values`` (any shape, in [0, 1]) best in two classes, or ``None``.

    Otsu, *A threshold selection method from gray-level histograms* (1979), over 256 bins: the split with the largest
    variance between the classes, the middle one where several are equally good. Values above it are the upper class.
    ``None`` for values that all fall in one bin: there is nothing to split.

    Returns:
        In [0, 1]; None if all values are in one class.
    """
    # The histogram of a large picture has counts that float32 does not hold exactly.
    counts = torch.histc(values.detach().float().cpu(), bins=_BINS, min=0.0, max=1.0).double()
    centres = (torch.arange(_BINS, dtype=torch.float64) + 0.5) / _BINS
    below = counts.cumsum(0)
    total = below[-1]
    sums = (counts * centres).cumsum(0)
    above = total - below
    inside = (below > 0) & (above > 0)
    if not bool(inside.any()):
        return None
    mean_below = sums / below.clamp(min=1)
    mean_above = (sums[-1] - sums) / above.clamp(min=1)
    variance = torch.where(inside, below * above * (mean_below - mean_above) ** 2, -1.0)
    best = torch.nonzero(variance >= variance.max() * (1 - 1e-12)).flatten()
    return (int(best[len(best) // 2]) + 1) / _BINS


# A defect map becomes two masks: what is sampled anew, and how softly it is pasted back.

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

    Source: method, section 5; G-Refine (arXiv 2404.18343), refiner.
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
            mask = fill_mask_holes(mask)
        if allowed is not None:
            mask = mask & allowed
        mask = grow_mask(drop_specks(mask, speck), grow_pixels)
        if allowed is not None:
            mask = mask & allowed
        area.append(float(mask.mean()))
        denoise[index] = torch.from_numpy(mask)
        soft = composite[index].numpy() if composite.device.type == "cpu" else None
        edge = feather_mask(mask, feather_pixels, soft)
        if soft is None:
            composite[index] = torch.from_numpy(edge)
    return Mask(
        denoise=denoise,
        composite=composite,
        area=torch.tensor(area, dtype=torch.float32, device=maps.device),
    )


# Several defect maps become one.

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

    Source: method, section 5; G-Refine (arXiv 2404.18343), refiner.
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


# The connected groups of one mask, for the crops of stage 1 and for the guard's decisions.


def connected_regions(mask: Tensor, join: float = 0) -> list[Tensor]:
    """Split a mask in groups that belong together.

    Args:
        mask: ``(H, W)``, bool or numbers; everything above 0 is set.
        join: parts with a gap of about this many pixels or fewer between them are one group; at 0 they must touch
            (corners do).

    Returns:
        One ``(H, W)`` bool mask for each group, on the mask's device, from top to bottom and left to right by the
        corner of their bounding boxes. Together they are exactly what is set; an empty mask gives an empty list.

    Raises:
        InputError: a mask of another rank, or ``join`` below 0.
    """
    labels, count = label_regions(mask, join)
    return [labels == number for number in range(1, count + 1)]


def label_regions(mask: Tensor, join: float = 0) -> tuple[Tensor, int]:
    """As :func:`connected_regions`, all groups in one map: many groups of a large mask take no more memory than one.

    Returns:
        ``(H, W)`` int32 on the mask's device, 0 outside and 1, 2, … in the groups in their order; their number.

    Raises:
        InputError: as :func:`connected_regions`.
    """
    from scipy import ndimage

    if not isinstance(mask, Tensor) or mask.ndim != 2:
        shape = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise InputError(f"mask: expected one mask of shape (H, W), got {shape}.")
    occupied = (mask > 0).cpu().numpy()
    # Two discs of half the gap touch where the parts are the whole gap apart.
    bridged = grow_mask(occupied, number(join, "join", 0.0, 1e6) / 2)
    labels, _ = ndimage.label(bridged, structure=np.ones((3, 3), dtype=bool))
    labels *= occupied
    boxes = [
        (box[0].start, box[1].start, index + 1)
        for index, box in enumerate(ndimage.find_objects(labels))
        if box is not None
    ]
    ranks = np.zeros(len(boxes) + 1, dtype=np.int32)
    for rank, (_, _, label) in enumerate(sorted(boxes), start=1):
        ranks[label] = rank
    return torch.from_numpy(looked_up(ranks, labels)).to(mask.device), len(boxes)


def bounding_box(mask: Tensor) -> tuple[int, int, int, int] | None:
    """Return ``(top, left, bottom, right)`` in pixels, the last two exclusive, of what is set in ``mask`` ``(H, W)``.

    ``None`` for an empty mask.
    """
    occupied = mask > 0
    rows = torch.nonzero(occupied.any(dim=1)).flatten()
    columns = torch.nonzero(occupied.any(dim=0)).flatten()
    if not len(rows):
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
