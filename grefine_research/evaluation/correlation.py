"""How well an indicator follows human ratings: the paper's Tables 6 and 7."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grefine_core.errors import InputError

from .statistics import SEED, UNDEFINED, Estimate, Floats, bootstrap, pearson, spearman

PARAMETERS = 4
"""Of the logistic curve; fewer pictures than one more than that are not fitted."""


@dataclass(frozen=True)
class Correlation:
    """Of one indicator with one rating, over ``count`` pictures."""

    count: int
    srocc: Estimate
    """Spearman's rank correlation."""
    plcc: Estimate
    """Pearson's correlation of the raw scores."""
    plcc_fitted: Estimate
    """Pearson's correlation after the logistic fit."""
    curve: tuple[float, float, float, float] | None = None
    """β of :func:`logistic`, fitted to all pictures; None where the fit failed."""


def logistic(scores: Floats, b1: float, b2: float, b3: float, b4: float) -> Floats:
    """The customary monotonic curve with four parameters (Video Quality Experts Group, 2000):
    ``β2 + (β1 - β2) / (1 + exp(-(x - β3) / |β4|))``."""
    from scipy.special import expit

    return np.asarray(b2 + (b1 - b2) * expit((scores - b3) / (abs(b4) + 1e-12)), np.float64)


def _gradient(scores: Floats, b1: float, b2: float, b3: float, b4: float) -> Floats:
    """Derivatives of :func:`logistic` by β, (N, 4)."""
    from scipy.special import expit

    width = abs(b4) + 1e-12
    share = expit((scores - b3) / width)
    slope = (b1 - b2) * share * (1.0 - share) / width
    return np.stack([share, 1.0 - share, -slope, -slope * (scores - b3) / width * np.sign(b4)], axis=1)


def fit_logistic(scores: Floats, ratings: Floats) -> tuple[float, float, float, float] | None:
    """Fit :func:`logistic` by least squares (``scipy.optimize.curve_fit``).

    From the customary start, the ranges of both, upside down where the scores fall with the ratings.

    Args:
        scores: (N,) of the indicator.
        ratings: (N,).

    Returns:
        β1 … β4, or None: fewer than five pictures, constant scores, or no convergence.
    """
    from scipy.optimize import OptimizeWarning, curve_fit

    if len(scores) <= PARAMETERS or np.ptp(scores) == 0 or np.ptp(ratings) == 0:
        return None
    # On standardised scores: the indicators' scales differ by orders of magnitude.
    middle, spread = float(np.mean(scores)), float(np.std(scores))
    high, low = float(np.max(ratings)), float(np.min(ratings))
    if spearman(scores, ratings) < 0:
        high, low = low, high
    first = (high, low, 0.0, 0.25)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)  # says that the covariance, unused here, is not known
            warnings.simplefilter("ignore", RuntimeWarning)
            x = (scores - middle) / spread
            found, _ = curve_fit(logistic, x, ratings, p0=first, jac=_gradient, maxfev=10_000)
    except RuntimeError:
        return None
    b1, b2, b3, b4 = (float(value) for value in found)
    return b1, b2, b3 * spread + middle, abs(b4) * spread


def correlate(
    scores: Sequence[float] | Floats, ratings: Sequence[float] | Floats, resamples: int = 1000, seed: int = SEED
) -> Correlation:
    """Correlations of an indicator's scores with ratings, with intervals over resampled pictures.

    Args:
        scores: (N,); higher is meant to be better.
        ratings: (N,). Pictures for which one of both is NaN do not count.
        resamples: of the bootstrap. The curve stays the one that was fitted to all pictures: fitted anew to a resample
            of few, it would follow each of them.
        seed: of the bootstrap.

    Raises:
        InputError: different lengths.
    """
    one, two = np.asarray(scores, np.float64), np.asarray(ratings, np.float64)
    if one.shape != two.shape or one.ndim != 1:
        raise InputError(f"scores, ratings: expected one number each for every picture, got {one.shape}, {two.shape}.")
    known = np.isfinite(one) & np.isfinite(two)
    one, two = one[known], two[known]
    count = len(one)
    if count < 2:
        return Correlation(count, UNDEFINED, UNDEFINED, UNDEFINED)
    curve = fit_logistic(one, two)

    plcc_fitted = UNDEFINED
    if curve is not None:
        mapped = logistic(one, *curve)
        plcc_fitted = bootstrap(count, lambda rows: pearson(mapped[rows], two[rows]), resamples, seed)
    return Correlation(
        count,
        bootstrap(count, lambda rows: spearman(one[rows], two[rows]), resamples, seed),
        bootstrap(count, lambda rows: pearson(one[rows], two[rows]), resamples, seed),
        plcc_fitted,
        curve,
    )
