"""Figures and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grefine_research.evaluation.statistics import Estimate, Floats, bootstrap, spearman
from grefine_research.evaluation.statistics import mean as mean

BINS = 200
"""Of the histograms of maps: thresholds are multiples of 1/200."""


def ratio(parts: Sequence[float], wholes: Sequence[float], resamples: int = 2000) -> Estimate:
    """Sum of parts over sum of wholes, pictures resampled."""
    over, under = np.asarray(parts, np.float64), np.asarray(wholes, np.float64)
    if not len(over):
        return Estimate(float("nan"), float("nan"), float("nan"))
    return bootstrap(len(over), lambda rows: _divide(over[rows].sum(), under[rows].sum()), resamples)


def f1(hits: Sequence[int], false: Sequence[int], missed: Sequence[int], resamples: int = 2000) -> Estimate:
    """F1 from counts of each picture."""
    tp, fp, fn = (np.asarray(values, np.float64) for values in (hits, false, missed))
    return bootstrap(
        len(tp), lambda r: _divide(2 * tp[r].sum(), 2 * tp[r].sum() + fp[r].sum() + fn[r].sum()), resamples
    )


def srocc(first: Sequence[float], second: Sequence[float], resamples: int = 2000) -> Estimate:
    """Spearman's rank correlation."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return bootstrap(len(a), lambda rows: spearman(a[rows], b[rows]), resamples)


def histogram(values: NDArray[np.float32], where: NDArray[np.bool_]) -> list[int]:
    """Counts of ``BINS`` bins of the values in [0, 1] at some places."""
    found: list[int] = np.histogram(values[where], bins=BINS, range=(0.0, 1.0))[0].tolist()
    return found


def auroc(inside: Floats, outside: Floats) -> float:
    """Area under the ROC curve from two histograms; ties in a bin count half."""
    below = np.concatenate([[0.0], np.cumsum(outside)[:-1]])
    return _divide(float((inside * (below + 0.5 * outside)).sum()), float(inside.sum() * outside.sum()))


def ious(inside: Floats, outside: Floats) -> Floats:
    """IoU of "above the threshold" with the mask, for all thresholds 0, 1/BINS, …; histograms (…, BINS)."""
    hit = np.cumsum(inside[..., ::-1], axis=-1)[..., ::-1]
    false = np.cumsum(outside[..., ::-1], axis=-1)[..., ::-1]
    total = inside.sum(axis=-1, keepdims=True) + false
    return np.where(total > 0, hit / np.maximum(total, 1.0), 0.0)


def psnr(first: Floats, second: Floats, where: NDArray[np.bool_]) -> float:
    """Peak signal-to-noise ratio in dB over a mask, at most 60; NaN for an empty one."""
    if not where.any():
        return float("nan")
    error = float(np.mean((first[where] - second[where]) ** 2))
    return min(60.0, -10.0 * np.log10(max(error, 1e-6)))


def ssim(first: Floats, second: Floats, where: NDArray[np.bool_]) -> float:
    """Mean structural similarity (Gaussian window of 1.5 pixels) over a mask, grey values; NaN for an empty one."""
    from scipy.ndimage import gaussian_filter

    if not where.any():
        return float("nan")
    a, b = first.mean(axis=2), second.mean(axis=2)

    def smooth(x: Floats) -> Floats:
        return gaussian_filter(x, 1.5, truncate=3.5)

    ma, mb = smooth(a), smooth(b)
    va, vb, cov = smooth(a * a) - ma * ma, smooth(b * b) - mb * mb, smooth(a * b) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    values = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    return float(values[where].mean())


def ranks(values: Floats, digits: int) -> Floats:
    """Ranks in every row (pictures, ways), 1 for the highest, ties sharing their mean."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(-np.round(values, digits), axis=1), np.float64)


def _divide(over: float, under: float) -> float:
    return float(over / under) if under else float("nan")
