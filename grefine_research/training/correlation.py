"""How well a score follows the labels."""

from __future__ import annotations

import math

from torch import Tensor

from ..evaluation.statistics import spearman


def srocc(scores: Tensor, labels: Tensor) -> float:
    """Spearman's rank correlation of scores (N,) with labels (N,), ties at their mean rank; labels that are NaN do not
    count. 0 where it is not defined: fewer than two labels, or one of both is constant."""
    known = ~labels.isnan()
    found = spearman(scores[known].double().numpy(), labels[known].double().numpy())
    return 0.0 if math.isnan(found) else found
