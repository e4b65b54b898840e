"""The losses of the miniature CLIP: captions may hold of several pictures of a batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...training.precision import quick_type


def contrastive(logits: Tensor, holds: Tensor, unsure: Tensor | None = None) -> Tensor:
    """CLIP's loss with several right answers.

    Args:
        logits: (B, T), pictures by captions.
        holds: (B, T) bool, at least one of every row and column: the caption holds of the picture.
        unsure: (B, T) bool, pairs that count neither as right nor as wrong.

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


def presence(logits: Tensor, holds: Tensor, unsure: Tensor) -> Tensor:
    """Whether each caption holds of each picture, as a question of its own (SigLIP's loss, arXiv 2303.15343).

    Unlike :func:`contrastive` it makes the similarities of different captions comparable, which one threshold for all
    phrases needs. The pictures of which a caption holds weigh as much as all others together.

    Args:
        logits: (B, T), pictures by captions.
        holds, unsure: (B, T) bool as above.

    Returns:
        Mean over captions.
    """
    right = F.softplus(-logits) * holds
    wrong = F.softplus(logits) * ~(holds | unsure)
    others = (~(holds | unsure)).sum(0).clamp_min(1)
    return (right.sum(0) / holds.sum(0).clamp_min(1) + wrong.sum(0) / others).mean() / 2


def local_similarity(patches: Tensor, texts: Tensor, sharpness: float = 15.0) -> Tensor:
    """How well each caption matches some region of each picture.

    Args:
        patches: (B, n, C) unit features.
        texts: (T, C) unit features.
        sharpness: of the softmax over patches by which their similarities are averaged.

    Returns:
        (B, T): similarity over the patches where it is high. Nobody says which patches these are.
    """
    # Half precision, patches last: a fraction of the time on a CPU.
    quick = quick_type(texts.device)
    similarity = (texts.to(quick) @ patches.to(quick).transpose(1, 2)).contiguous()
    weight = torch.softmax(similarity * sharpness, dim=-1)
    return (weight * similarity).sum(-1, dtype=torch.float32)


def own_similarity(patches: Tensor, texts: Tensor, sharpness: float = 15.0) -> Tensor:
    """How well texts that differ in one word match each picture where all of them match it best.

    Args:
        patches: (B, n, C) unit features.
        texts: (B, T, C) unit features, each picture's own.
        sharpness: of the softmax over patches.

    Returns:
        (B, T): what the texts share says where to look, in what they differ, what is seen there.
    """
    similarity = texts @ patches.transpose(1, 2)
    weight = torch.softmax(sharpness * similarity.mean(1, keepdim=True), dim=-1)
    return (weight * similarity).sum(-1)


def right_word(logits: Tensor, wrong: Tensor) -> Tensor:
    """Cross entropy of the first text against those that are wrong of the picture.

    Args:
        logits: (B, T), each picture by its own texts.
        wrong: (B, T) bool; where none is, the picture does not count.
    """
    counted = wrong.clone()
    counted[:, 0] = True
    loss = -torch.log_softmax(logits.masked_fill(~counted, -1e4), 1)[:, 0]
    asked = wrong.any(1)
    return (loss * asked).sum() / asked.sum().clamp_min(1)
