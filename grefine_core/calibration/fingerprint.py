"""Whether embeddings and activation are those of the weights: what shapes and names cannot tell."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..clip.embeddings import END_POSITION
from ..clip.quality_model import QualityModel
from ..clip.surgery import encode_image
from ..clip.text_encoder import encode_tokens, text_tower

START_TOKEN, END_TOKEN, PADDING_TOKEN = 49406, 49407, 0
"""Of CLIP's vocabulary."""

Belonging = Literal["same", "other", "unknown"]


@dataclass(frozen=True)
class TokenRows:
    """What the frozen tokens inside embeddings say of the text encoder they were learned with."""

    belonging: Belonging
    """"same": they are this model's; "other": they are another model's; "unknown": there is nothing to compare."""
    distance: float
    """Largest difference to the model's own rows, in units of these rows' length."""


#: Half precision on the way moves a row by some 1e-3 of its length; another model's row is about 1.4 away.
_SAME = 0.02


def compare_token_rows(model: QualityModel) -> TokenRows:
    """Compare the frozen tokens of the embeddings (start at 0, end at 20, padding from 21) with the model's own.

    Learned pairs keep start, end and padding as the text encoder had them, so these are a fingerprint of it: in another
    model of the same width the learned words mean nothing.
    """
    tower = text_tower(model.module)
    if tower is None or not model.embeddings or tower.token_embedding.weight.shape[0] <= END_TOKEN:
        return TokenRows("unknown", 0.0)
    own = tower.token_embedding.weight.detach().float().cpu()
    largest = 0.0
    for pair in model.embeddings.values():
        for place, token in ((0, START_TOKEN), (END_POSITION, END_TOKEN), (END_POSITION + 1, PADDING_TOKEN)):
            row = own[token]
            difference = (pair[:, place].float().cpu() - row).norm(dim=-1).max()
            largest = max(largest, float(difference / row.norm().clamp(min=1e-12)))
    return TokenRows("same" if largest < _SAME else "other", largest)


@dataclass(frozen=True)
class ActivationFit:
    """How far pictures tell their captions from those of others, with the model's activation and with the other one."""

    own: str
    other: str
    distance: float
    """With the model's own: mean distance between its own caption and the others, in standard deviations of these."""
    gain: float
    """By how much the other activation increases it."""
    error: float
    """Standard error of the gain."""

    @property
    def wrong(self) -> bool:
        """Whether the weights were surely made with the other one: by more than chance, and by more than what is
        nothing to worry about."""
        return self.gain > max(_WORTH * abs(self.distance), 3.0 * self.error)


_WORTH = 0.02


def activation_of(clip: nn.Module) -> str | None:
    """ "QuickGELU" or "GELU"; None for neither, or both."""
    kinds = {type(module).__name__ for module in clip.modules()} & {"QuickGELU", "GELU"}
    return kinds.pop() if len(kinds) == 1 else None


def with_other_activation(clip: nn.Module) -> nn.Module | None:
    """The same weights (the same tensors) between the other activation; None for a model with neither.

    The model itself is not changed.
    """
    from open_clip.transformer import QuickGELU

    own = activation_of(clip)
    if own is None:
        return None
    shared: dict[int, Any] = {id(tensor): tensor for tensor in (*clip.parameters(), *clip.buffers())}
    twin = copy.deepcopy(clip, shared)
    for module in list(twin.modules()):
        for name, child in list(module.named_children()):
            if type(child).__name__ == own:
                setattr(module, name, nn.GELU() if own == "QuickGELU" else QuickGELU())
    return twin.eval()


@torch.no_grad()
def compare_activations(
    model: QualityModel, pixels: Tensor, class_features: Tensor, captions: Sequence[str]
) -> ActivationFit | None:
    """Ask both activations which caption belongs to which picture.

    Args:
        model: the quality model.
        pixels: normalised pictures (n, 3, h, w).
        class_features: their unit class features (n, C) by the model itself.
        captions: what each of them shows, all different.

    Returns:
        None where there is no other activation, or nothing to compare.
    """
    own = activation_of(model.module)
    twin = with_other_activation(model.module) if len(captions) > 2 else None
    if own is None or twin is None:
        return None
    texts = model.text_features(captions)
    batches = pixels.split(8)
    pictures = torch.cat([encode_image(twin, batch.to(model.device), 0)[:, 0].cpu() for batch in batches])
    tokens = model.tokenizer(list(captions))
    others = torch.cat([encode_tokens(twin, part).cpu() for part in tokens.split(64)])
    pairs = ((class_features, texts), (F.normalize(pictures, dim=-1), F.normalize(others, dim=-1)))
    own_distances, other_distances = (_distances(images @ written.T) for images, written in pairs)
    gains = other_distances - own_distances
    other = "GELU" if own == "QuickGELU" else "QuickGELU"
    error = float(gains.std() / len(gains) ** 0.5)
    return ActivationFit(own, other, float(own_distances.mean()), float(gains.mean()), error)


def _distances(cosines: Tensor) -> Tensor:
    """For every picture (n,), from (n, n). Unlike a cross entropy it does not saturate where all are found."""
    others = ~torch.eye(len(cosines), dtype=torch.bool)
    apart = cosines[others].view(len(cosines), -1)
    return (cosines.diag() - apart.mean(1)) / apart.std(1).clamp(min=1e-6)
