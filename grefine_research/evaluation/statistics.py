"""Figures and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SEED = 20
"""Of the bootstrap, where none is given."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % bootstrap interval over pictures; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


UNDEFINED = Estimate(float("nan"), float("nan"), float("nan"))


def bootstrap(
    count: int, figure: Callable[[NDArray[np.int64]], float], resamples: int = 2000, seed: int = SEED
) -> Estimate:
    """``figure(rows)`` of all rows, and the 2.5 and 97.5 % quantiles of it over resampled rows (percentile bootstrap).

    The same arguments always give the same interval. Resamples in which the figure is not defined do not count.
    """
    value = float(figure(np.arange(count)))
    rng = np.random.default_rng(seed)
    drawn = np.asarray([figure(rng.integers(count, size=count)) for _ in range(resamples)], np.float64)
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return Estimate(value, float("nan"), float("nan"))
    return Estimate(value, float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975)))


def mean(values: Sequence[float] | Floats, resamples: int = 2000, seed: int = SEED) -> Estimate:
    """Of values that are numbers; NaN for none."""
    kept = np.asarray(values, np.float64)
    kept = kept[np.isfinite(kept)]
    if not len(kept):
        return UNDEFINED
    return bootstrap(len(kept), lambda rows: float(kept[rows].mean()), resamples, seed)


def spearman(first: Sequence[float] | Floats, second: Sequence[float] | Floats) -> float:
    """Spearman's rank correlation, ties at their mean rank; NaN for constant values or fewer than two."""
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic) if _vary(first, second) else float("nan")


def pearson(first: Sequence[float] | Floats, second: Sequence[float] | Floats) -> float:
    """Pearson's correlation; NaN for constant values or fewer than two."""
    from scipy.stats import pearsonr

    return float(pearsonr(first, second).statistic) if _vary(first, second) else float("nan")


def _vary(first: Sequence[float] | Floats, second: Sequence[float] | Floats) -> bool:
    return len(first) > 1 and bool(np.ptp(first)) and bool(np.ptp(second))


def auroc(scores: Sequence[float] | Floats, truth: Sequence[bool] | NDArray[np.bool_]) -> float:
    """Area under the ROC curve, ties counted half; NaN where there is but one class.

    That is the share of pairs in which the true one scores higher: Mann and Whitney's U over the number of pairs.
    """
    from scipy.stats import mannwhitneyu

    values, right = np.asarray(scores, np.float64), np.asarray(truth, bool)
    if right.all() or not right.any():
        return float("nan")
    pairs = int(right.sum()) * int((~right).sum())
    return float(mannwhitneyu(values[right], values[~right], method="asymptotic").statistic / pairs)
