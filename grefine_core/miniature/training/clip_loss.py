"""The contrastive losses of the miniature CLIP: captions may hold of several pictures of a batch."""

from __future__ import annotations

import torch
from torch import Tensor


def contrastive(logits: Tensor, holds: Tensor, unsure: Tensor | None = None) -> Tensor:
    """CLIP's loss with several right answers.

    Args:
        logits: (B, B), pictures by captions.
        holds: (B, B) bool, at least one of every row and column: the caption holds of the picture.
        unsure: (B, B) bool, pairs that count neither as right nor as wrong.

    Returns:
        Mean over both directions of the cross entropy with the right answers, each as likely as the others.
    """
    if unsure is not None:
        logits = logits.masked_fill(unsure, -1e4)
    target = holds.to(logits.dtype)
    loss = logits.new_zeros(())
    for dim in (0, 1):
        share = target / target.sum(dim, keepdim=True)
        loss = loss - (share * torch.log_softmax(logits, dim)).sum(dim).mean() / 2
    return loss


def local_similarity(patches: Tensor, texts: Tensor, sharpness: float = 15.0) -> Tensor:
    """How well each caption matches some region of each picture.

    Args:
        patches: (B, n, C) unit features.
        texts: (T, C) unit features.
        sharpness: of the softmax over patches by which their similarities are averaged.

    Returns:
        (B, T): similarity over the patches where it is high. Nobody says which patches these are.
    """
    similarity = patches @ texts.T
    weight = torch.softmax(sharpness * similarity, dim=1)
    return (weight * similarity).sum(1)
