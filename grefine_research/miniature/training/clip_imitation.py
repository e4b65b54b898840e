"""How far the features of the miniature CLIP are from its guide's."""

from __future__ import annotations

from torch import Tensor


def patch_distance(patches: Tensor, guide: Tensor) -> Tensor:
    """Mean cosine distance of patches; half of the weight goes to those that differ from the rest of their picture.

    Most patches show the ground: without that the forms on it would hardly count.

    Args:
        patches: (B, n, C) unit features.
        guide: (B, n, C) unit features to learn.
    """
    distance = 1 - (patches * guide).sum(-1)
    apart = 1 - (guide * guide.mean(1, keepdim=True)).sum(-1)
    return (distance * (0.5 + 0.5 * apart / apart.mean(1, keepdim=True).clamp_min(1e-6))).mean()


def answer_distance(patches: Tensor, guide: Tensor, texts: Tensor, sharpness: float = 15.0) -> Tensor:
    """Mean squared difference of what patches answer to texts, in units of the logits that decide whether one holds.

    Args:
        patches: (B, n, C) unit features.
        guide: (B, n, C) unit features to learn.
        texts: (T, C) unit features.
        sharpness: logits per similarity.
    """
    return (sharpness * ((patches - guide) @ texts.T)).square().mean()
