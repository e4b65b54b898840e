"""The connected groups of one mask, for the crops of stage 1 and for the guard's decisions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..checks import number
from ..errors import InputError
from . import morphology


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
    bridged = morphology.grow(occupied, number(join, "join", 0.0, 1e6) / 2)
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
    return torch.from_numpy(morphology.looked_up(ranks, labels)).to(mask.device), len(boxes)


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
