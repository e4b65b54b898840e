"""Encoding texts, and sequences of token embeddings, with the text encoder of an open_clip model.

A causal text encoder never looks behind the token whose feature is taken, so everything behind the longest text is left
out: a phrase of six tokens costs six, not seventy-seven. The features are those of the model's own ``encode_text``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError


@dataclass(frozen=True)
class TextTower:
    """The parts of a text encoder, whichever of open_clip's classes holds them."""

    token_embedding: nn.Embedding
    positional_embedding: Tensor
    transformer: Any
    ln_final: nn.Module
    projection: Tensor | nn.Linear | None
    attn_mask: Tensor | None
    pool_type: str
    eos_id: int | None

    @property
    def width(self) -> int:
        """Width of the token embeddings."""
        return int(self.token_embedding.weight.shape[1])

    @property
    def context_length(self) -> int:
        """Number of positions."""
        return int(self.positional_embedding.shape[0])


def text_tower(clip: nn.Module) -> TextTower | None:
    """Return the parts of an open_clip text encoder, or None for one of another kind (Hugging Face, class token)."""
    text: Any = getattr(clip, "text", clip)
    needed = ("token_embedding", "positional_embedding", "transformer", "ln_final", "text_projection")
    if any(not hasattr(text, name) for name in needed) or not hasattr(text.transformer, "resblocks"):
        return None
    if getattr(text, "cls_emb", None) is not None or getattr(text, "use_pad_mask", False):
        return None
    return TextTower(
        token_embedding=text.token_embedding,
        positional_embedding=text.positional_embedding,
        transformer=text.transformer,
        ln_final=text.ln_final,
        projection=text.text_projection,
        attn_mask=getattr(text, "attn_mask", None),
        pool_type=str(getattr(text, "pool_type", None) or getattr(text, "text_pool_type", "argmax")),
        eos_id=getattr(text, "eos_id", None) or getattr(text, "text_eos_id", None),
    )


def encode_embeddings(clip: nn.Module, sequences: Tensor, position: int) -> Tensor:
    """Encode sequences of token embeddings (n, L, W) and take the feature at ``position``: (n, C) float32.

    The positional embedding is added here. Not normalised.

    Raises:
        InputError: the text encoder is of another kind, or of another width or length.
    """
    tower = text_tower(clip)
    if tower is None:
        raise InputError("clip: its text encoder takes no token embeddings; PQ-Map needs one of open_clip's own kind.")
    if sequences.shape[-1] != tower.width or sequences.shape[1] > tower.context_length:
        raise InputError(
            f"embeddings: {tuple(sequences.shape)} for a text encoder of width {tower.width} with "
            f"{tower.context_length} positions."
        )
    length = position + 1 if tower.attn_mask is not None else sequences.shape[1]
    hidden = _run(tower, sequences[:, :length].to(tower.token_embedding.weight.device))
    return _project(tower, hidden[:, position])


def encode_tokens(clip: nn.Module, tokens: Tensor) -> Tensor:
    """Encode token ids (n, context) as ``clip.encode_text`` does: (n, C) float32, not normalised."""
    tower = text_tower(clip)
    if tower is None or tower.pool_type not in ("argmax", "eos") or tower.attn_mask is None:
        device = next(clip.parameters()).device
        model: Any = clip
        return model.encode_text(tokens.to(device)).float()
    tokens = tokens.to(tower.token_embedding.weight.device)
    ends = end_positions(tower, tokens)
    length = int(ends.max()) + 1
    hidden = _run(tower, tower.token_embedding(tokens[:, :length]))
    return _project(tower, hidden[torch.arange(len(tokens), device=tokens.device), ends])


def end_positions(tower: TextTower, tokens: Tensor) -> Tensor:
    """Where each text ends (n,): the token whose feature stands for the whole text."""
    if tower.pool_type == "eos" and tower.eos_id is not None:
        return (tokens == tower.eos_id).int().argmax(dim=-1)
    return tokens.argmax(dim=-1)


def _run(tower: TextTower, embedded: Tensor) -> Tensor:
    """Positions, transformer, final norm over (n, L, W), in the type of the model's weights."""
    blocks = list(tower.transformer.resblocks)
    dtype = tower.transformer.get_cast_dtype()
    length = embedded.shape[1]
    x = embedded.to(dtype) + tower.positional_embedding[:length].to(dtype)
    mask = None if tower.attn_mask is None else tower.attn_mask[:length, :length].to(device=x.device, dtype=dtype)
    transposed = not getattr(blocks[0].attn, "batch_first", True)
    x = x.transpose(0, 1) if transposed else x
    for block in blocks:
        x = block(x, attn_mask=mask)
    x = x.transpose(0, 1) if transposed else x
    return tower.ln_final(x)


def _project(tower: TextTower, features: Tensor) -> Tensor:
    if tower.projection is None:
        return features.float()
    if isinstance(tower.projection, nn.Linear):
        return tower.projection(features).float()
    return (features.to(tower.projection.dtype) @ tower.projection).float()
