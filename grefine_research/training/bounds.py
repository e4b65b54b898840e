"""The bounds β of trained prompts: what they prefer where nothing is wrong (method, section 2)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from grefine_core.clip.embeddings import FACTORS, PerceptualBounds

from .targets import Targets

Statistic = Literal["mean", "quantile"]

_SMALLEST = 0.05
_FEW = 20


def good_rows(targets: Targets, tie: float) -> Tensor:
    """Which pictures (N,) bool have nothing wrong with them by any of their labels; where these are fewer than twenty,
    because ratings hardly ever are perfect, the best quarter by their mean."""
    columns = torch.stack(list(targets.columns().values()))
    known = ~columns.isnan()
    labelled = known.any(0)
    good = ((columns >= 1.0 - tie) | ~known).all(0) & labelled
    if int(good.sum()) >= _FEW:
        return good
    mean = columns.nanmean(0)
    return (mean >= mean[labelled].quantile(0.75)) & labelled


def measured_bounds(score: Tensor, patches: Tensor | None, statistic: Statistic, quantile: float) -> PerceptualBounds:
    """β from the preferences of good pictures.

    Args:
        score: (4, N) at the class token.
        patches: (4, N, P) at the patches; None: their bounds are those of the score.
        statistic: "mean", as the paper has it, overall factor unbounded; or "quantile", under which few good pictures
            fall, for all four factors: then nearly all of them get a score and a map of exactly 1.
        quantile: share of good pictures (of good patches) below the bounds.
    """

    def bounds(values: Tensor) -> dict[str, float]:
        flat = values.flatten(1).double().sort(1).values
        if statistic == "mean":
            found = flat.mean(1)
            found[FACTORS.index("overall")] = 1.0
        else:
            # By rank: torch.quantile refuses more than 16 million values.
            found = flat[:, min(int(quantile * flat.shape[1]), flat.shape[1] - 1)]
        return {
            name: round(min(max(float(value), _SMALLEST), 1.0), 4) for name, value in zip(FACTORS, found, strict=True)
        }

    own = bounds(score)
    return PerceptualBounds(own, own if patches is None else bounds(patches))
