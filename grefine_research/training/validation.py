"""How well prompts do on pictures that they were not trained on."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .correlation import srocc
from .feature_store import Features
from .losses import all_odds, factor_odds, pool
from .options import PromptTuningOptions
from .targets import Targets

_CHUNK = 256
_PATCHES = "patches "


@torch.no_grad()
def figures_of(
    features: Features, targets: Targets, rows: Tensor, texts: Tensor, tau: float, options: PromptTuningOptions
) -> dict[str, float]:
    """SROCC with every label: by factor and PS, and "patches <name>" for what is pooled from the patches if these take
    part in the training.

    Args:
        features, targets: pictures and labels.
        rows: which of them.
        texts: (4, 2, C) features of the prompts at unit length.
        tau: CLIP's temperature.
        options: bounds and pooling.
    """
    texts = texts.cpu()
    labels = {name: values[rows] for name, values in targets.columns().items()}
    odds = all_odds(factor_odds(features.class_tokens[rows], texts, tau), options.bounds.score)
    found = {name: srocc(odds[name], values) for name, values in labels.items()}
    if options.patch_weight > 0:
        pooled: dict[str, list[Tensor]] = {name: [] for name in labels}
        for chunk in rows.split(_CHUNK):
            odds = all_odds(factor_odds(features.patches(chunk), texts, tau), options.bounds.patches)
            for name in labels:
                pooled[name].append(pool(odds[name], options))
        found |= {_PATCHES + name: srocc(torch.cat(pooled[name]), labels[name]) for name in labels}
    return found


def monitor(figures: Mapping[str, float], options: PromptTuningOptions) -> float:
    """The one number that decides which epoch is the best: the mean of the figures, those of the patches together
    weighted as in the loss."""
    class_token = [value for name, value in figures.items() if not name.startswith(_PATCHES)]
    patches = [value for name, value in figures.items() if name.startswith(_PATCHES)]
    mean = sum(class_token) / len(class_token)
    if not patches:
        return mean
    return (mean + options.patch_weight * sum(patches) / len(patches)) / (1.0 + options.patch_weight)
