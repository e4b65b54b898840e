"""How well a score follows the labels."""

from __future__ import annotations

from torch import Tensor


def srocc(scores: Tensor, labels: Tensor) -> float:
    """Spearman's rank correlation of scores (N,) with labels (N,), ties at their mean rank; labels that are NaN do not
    count. 0 where it is not defined: fewer than two labels, or one of both is constant."""
    from scipy.stats import rankdata

    known = ~labels.isnan()
    first, second = (rankdata(values[known].double().numpy()) for values in (scores, labels))
    if len(first) < 2:
        return 0.0
    first, second = first - first.mean(), second - second.mean()
    norm = float((first**2).sum() * (second**2).sum()) ** 0.5
    return float((first * second).sum()) / norm if norm > 0 else 0.0
