"""From features to preferences, from patches to a picture, and what is lost against the labels.

Everything is computed in log-odds x of *good*, p = 1 / (1 + exp(-x)): CLIP's temperature (about 100) saturates the
probabilities, not their logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from grefine_core.clip.embeddings import FACTORS, log_cask

from .options import PromptTuningOptions, Ranking, Regression
from .targets import PS

_SMALLEST = 1e-6
"""PS is kept this far from 1, where its log-odds have no end."""


class LossOptions(Protocol):
    """The choices of :func:`loss_of`; see ``PromptTuningOptions``."""

    @property
    def ranking_weight(self) -> float: ...  # noqa: D102
    @property
    def regression_weight(self) -> float: ...  # noqa: D102
    @property
    def ranking(self) -> Ranking: ...  # noqa: D102
    @property
    def regression(self) -> Regression: ...  # noqa: D102
    @property
    def margin(self) -> float: ...  # noqa: D102
    @property
    def tie(self) -> float: ...  # noqa: D102


def factor_odds(features: Tensor, texts: Tensor, temperature: float) -> Tensor:
    """Log-odds (4, …) of good: features (…, C) and texts (4, 2, C), both at unit length."""
    return torch.movedim(temperature * (features @ (texts[:, 0] - texts[:, 1]).T), -1, 0)


def score_odds(odds: Tensor, bounds: Mapping[str, float]) -> Tensor:
    """Log-odds of PS (…) by the cask formula, from those of the factors (4, …)."""
    total = log_cask(F.logsigmoid(odds), bounds).clamp(max=-_SMALLEST)
    return total - torch.log(-torch.expm1(total))


def all_odds(odds: Tensor, bounds: Mapping[str, float]) -> dict[str, Tensor]:
    """Log-odds of the factors and of PS, by name."""
    return {**dict(zip(FACTORS, odds, strict=True)), PS: score_odds(odds, bounds)}


def pool(odds: Tensor, options: PromptTuningOptions) -> Tensor:
    """From log-odds of the patches (n, P) to log-odds of the picture (n,)."""
    if options.pool == "worst":
        count = max(1, round(options.pool_share * odds.shape[-1]))
        return odds.topk(count, dim=-1, largest=False).values.mean(-1)
    if options.pool == "softmin":
        weights = torch.softmax(-options.pool_sharpness * odds, dim=-1)
        return (weights * odds).sum(-1)
    # log of the mean of p minus log of the mean of 1 - p.
    return torch.logsumexp(F.logsigmoid(odds), -1) - torch.logsumexp(F.logsigmoid(-odds), -1)


def loss_of(odds: Tensor, labels: Tensor, options: LossOptions) -> Tensor:
    """Ranking and regression of log-odds (n,) against labels (n,) in [0, 1]; those that are NaN do not count."""
    known = ~labels.isnan()
    odds, labels = odds[known], labels[known]
    if len(labels) == 0:
        return odds.sum()
    total = odds.new_zeros(())
    if options.regression_weight > 0:
        total = total + options.regression_weight * _regression(odds, labels, options)
    if options.ranking_weight > 0:
        total = total + options.ranking_weight * _ranking(odds, labels, options)
    return total


def patch_labels(labels: Tensor, options: PromptTuningOptions) -> Tensor:
    """What the pooled patches should come to: the picture's label, or whether nothing at all is wrong with it."""
    if options.patch_target == "same":
        return labels
    present = (labels >= 1.0 - options.tie).to(labels.dtype)
    return torch.where(labels.isnan(), labels, present)


def _regression(odds: Tensor, labels: Tensor, options: LossOptions) -> Tensor:
    if options.regression == "mse":
        return F.mse_loss(torch.sigmoid(odds), labels)
    # Less the labels' own entropy: 0 where all are met.
    entropy = F.binary_cross_entropy(labels, labels)
    return F.binary_cross_entropy_with_logits(odds, labels) - entropy


def _ranking(odds: Tensor, labels: Tensor, options: LossOptions) -> Tensor:
    """Mean over all pairs of the batch whose labels differ; the first of a pair is the better one."""
    better, worse = torch.nonzero(labels[:, None] - labels[None, :] > options.tie, as_tuple=True)
    if len(better) == 0:
        return odds.sum() * 0.0
    if options.ranking == "margin":
        scores = torch.sigmoid(odds)
        return F.relu(options.margin - (scores[better] - scores[worse])).mean()
    return F.softplus(odds[worse] - odds[better]).mean() / math.log(2.0)
