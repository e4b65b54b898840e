"""Statistics of a calibration: quantiles with a smooth tail, areas under the curve, shares, each with its interval.

All of it is per *picture*: phrases or damages of one picture are no independent observations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..alignment.calibration import Figure

Values = NDArray[np.float64]
CONFIDENCE = 0.95
_ROUNDS = 400
_WIDTH = 0.53
"""Half of Silverman's rule: his width makes every tail a tenth longer."""
_NARROW = 1e-9
"""A kernel of less width smooths nothing."""


def per_check(share: float, checks: float) -> float:
    """The share that one of several independent checks may fail so that together they fail ``share``: for 5 % of good
    pictures and n phrases ``1 − 0.95^(1/n)``."""
    return float(1.0 - (1.0 - share) ** (1.0 / max(1.0, checks)))


def smoothed_quantile(values: Sequence[float] | Values, share: float) -> float:
    """The value below which ``share`` of a population lies, from a sample that may be too small to reach so far.

    The sample's distribution is smoothed by a narrow normal kernel. Below its lowest value the tail goes on as that of
    a normal distribution with the spread of the sample's lower half, if that is further: a narrow kernel's own would
    soon end, and prompts of forty phrases ask for one in a thousand.

    Args:
        values: at least one, of any range; log-odds rather than probabilities, whose ends are walls.
        share: in (0, 1).
    """
    sample = np.asarray(values, dtype=np.float64)
    width = _width(sample)
    if width < _NARROW:
        return float(np.quantile(sample, share))
    from scipy.optimize import brentq
    from scipy.special import ndtr, ndtri

    low, high = float(sample.min() - 10 * width), float(sample.max() + 10 * width)

    def smoothed(part: float) -> float:
        return float(brentq(lambda value: float(ndtr((value - sample) / width).mean()) - part, low, high, xtol=1e-11))

    found, lowest = smoothed(share), 1.0 / len(sample)
    if share >= lowest or lowest > 0.5:
        return found
    below = np.minimum(sample - np.median(sample), 0.0)
    spread = (2.0 * float((below**2).mean())) ** 0.5
    return min(found, smoothed(lowest) + spread * float(ndtri(share) - ndtri(lowest)))


def _width(sample: Values) -> float:
    """Of the kernel that smooths a sample."""
    spread = float(sample.std())
    quartiles = np.quantile(sample, [0.25, 0.75])
    robust = float(quartiles[1] - quartiles[0]) / 1.349
    return _WIDTH * (min(spread, robust) if robust > 0 else spread) * len(sample) ** -0.2


def auc_by_picture(good: Sequence[Sequence[float]], bad: Sequence[Sequence[float]], seed: int = 0) -> Figure | None:
    """How often something good scores above something bad (ties count half), with an interval over pictures.

    Args:
        good, bad: for each picture the scores of what is good and of what is bad in it; either may be empty.
        seed: of the resampling.

    Returns:
        The area under the ROC curve; None where there is nothing on one side.
    """
    above, good_count, bad_count = _comparisons(good, bad)
    pairs = good_count.sum() * bad_count.sum()
    if pairs == 0:
        return None
    value = float(above.sum() / pairs)
    rng = np.random.default_rng(seed)
    pictures = len(good_count)
    weights = rng.multinomial(pictures, np.full(pictures, 1.0 / pictures), size=_ROUNDS).astype(np.float64)
    weighed = (weights @ good_count) * (weights @ bad_count)
    found = np.einsum("rp,pq,rq->r", weights, above, weights)[weighed > 0] / weighed[weighed > 0]
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]) if len(found) else (0.0, 1.0)
    # Resampling sees no spread where all pairs are ordered: then the rule of three.
    room = 3.0 / min(good_count.sum(), bad_count.sum())
    low = min(float(low), max(0.0, value - room)) if value >= 1.0 else float(low)
    return Figure(value, float(low), float(high), int(min(good_count.sum(), bad_count.sum())))


def _comparisons(good: Sequence[Sequence[float]], bad: Sequence[Sequence[float]]) -> tuple[Values, Values, Values]:
    """(P, P) sums of comparisons between pictures, and how many values each picture has on either side."""
    pictures = len(good)
    counts = [np.array([len(values) for values in side], dtype=np.float64) for side in (good, bad)]
    flat = [np.array([value for values in side for value in values], dtype=np.float64) for side in (good, bad)]
    owner = [np.repeat(np.arange(pictures), count.astype(int)) for count in counts]
    compared = (flat[0][:, None] > flat[1][None, :]) + 0.5 * (flat[0][:, None] == flat[1][None, :])
    above = np.zeros((pictures, pictures))
    np.add.at(above, (owner[0][:, None], owner[1][None, :]), compared)
    return above, counts[0], counts[1]


def share_of(hits: int, count: int) -> Figure | None:
    """A share with Wilson's interval; None of nothing."""
    if count == 0:
        return None
    z = 1.959964
    value = hits / count
    middle = (value + z * z / (2 * count)) / (1 + z * z / count)
    room = z * math.sqrt(value * (1 - value) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return Figure(value, max(0.0, middle - room), min(1.0, middle + room), count)


def interval_of_quantile(by_picture: Sequence[Sequence[float]], share: float, seed: int = 0) -> Figure:
    """:func:`smoothed_quantile` over all values, with an interval from resampled pictures."""
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(values, dtype=np.float64) for values in by_picture if len(values)]
    value = smoothed_quantile(np.concatenate(arrays), share)
    found = [
        smoothed_quantile(np.concatenate([arrays[i] for i in rng.integers(0, len(arrays), len(arrays))]), share)
        for _ in range(100)
    ]
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Figure(value, float(low), float(high), len(arrays))


def sigmoid(value: float) -> float:
    """From log-odds to a probability."""
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, value))))


def log_odds(probability: float) -> float:
    """From a probability to log-odds, kept within what :func:`sigmoid` gives back."""
    clipped = min(max(probability, 1e-12), 1.0 - 1e-12)
    return math.log(clipped / (1.0 - clipped))
