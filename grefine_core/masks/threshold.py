"""Which pixels of one defect map are defects: three ways that all find nothing in a clean map."""

from __future__ import annotations

import torch
from torch import Tensor

_BINS = 256


def above_threshold(values: Tensor, threshold: float) -> Tensor:
    """Return where ``values`` ``(H, W)`` is above ``threshold``, ``(H, W)`` bool."""
    return values > threshold


def above_otsu(values: Tensor, floor: float, contrast: float) -> Tensor:
    """Return where ``values`` ``(H, W)`` is above Otsu's threshold *and* above ``floor``.

    Otsu's method splits anything into two, a clean map as well. Unless the means of both classes are ``contrast``
    apart there are no two classes, and nothing is returned.
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
