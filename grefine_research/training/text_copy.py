"""A copy of a CLIP model's text encoder that may learn while the model itself stays as it is."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from grefine_core.clip.text_encoder import text_tower
from grefine_core.errors import InputError


class TextCopy(nn.Module):
    """The parts of an open_clip text encoder under the names by which :func:`text_tower` finds them, in float32.

    The table of tokens is shared and does not learn: what is read are sequences of embeddings.

    Raises:
        InputError: a text encoder of another kind.
    """

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        tower = text_tower(clip)
        if tower is None:
            raise InputError("clip: only open_clip's own text encoders can be trained here.")
        self._table = (tower.token_embedding,)  # In a tuple: as an attribute it would become a part of this module.
        self.positional_embedding = _learned(tower.positional_embedding)
        self.transformer = copy.deepcopy(tower.transformer).float().requires_grad_(True)
        self.ln_final = copy.deepcopy(tower.ln_final).float().requires_grad_(True)
        projection = tower.projection
        self.text_projection: nn.Module | nn.Parameter | None
        if isinstance(projection, nn.Linear):
            self.text_projection = copy.deepcopy(projection).float().requires_grad_(True)
        else:
            self.text_projection = None if projection is None else _learned(projection)
        self.attn_mask: Tensor | None
        self.register_buffer("attn_mask", tower.attn_mask, persistent=False)
        self.text_pool_type = tower.pool_type
        self.text_eos_id = tower.eos_id
        self.eval()

    @property
    def token_embedding(self) -> nn.Embedding:
        """The model's own table of tokens."""
        return self._table[0]


def _learned(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach().to(torch.float32).clone())
