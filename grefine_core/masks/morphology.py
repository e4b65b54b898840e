"""Cleaning one binary mask: holes, specks, growing, the soft edge. Exact distances, whatever the picture's size.

Everything is Euclidean distance transforms on the bounding box of what is set: a growing kernel of 80 pixels on a
picture of 4096² would cost billions of comparisons, and would grow squares besides. What would need another large array
beside the distances or the labels is done in strips of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Bool = NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)
_EIGHT = np.ones((3, 3), dtype=bool)  # corners touch
_STRIP = 256


def fill_holes(mask: Bool) -> Bool:
    """Return ``mask`` with all holes filled; what is open to the picture's border is no hole."""
    from scipy import ndimage

    window = _window(mask, 1)
    if window is None:
        return mask
    filled = mask.copy()
    filled[window] = ndimage.binary_fill_holes(mask[window])
    return filled


def drop_specks(mask: Bool, pixels: float) -> Bool:
    """Return ``mask`` without the connected parts of fewer than ``pixels`` pixels (corners connect)."""
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


def grow(mask: Bool, pixels: float) -> Bool:
    """Return ``mask`` with everything that is at most ``pixels`` away from it."""
    window = _window(mask, int(pixels) + 1)
    if window is None or pixels < 1:
        return mask
    grown = np.zeros_like(mask)
    grown[window] = _squared_distances(~mask[window]) <= pixels * pixels
    return grown


def feather(mask: Bool, pixels: float, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
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


def strips(length: int) -> Iterator[slice]:
    """The rows of a picture, some at a time."""
    return (slice(start, start + _STRIP) for start in range(0, length, _STRIP))


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
