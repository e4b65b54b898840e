"""The four pairs of prompts while they learn: context free, everything else as the model's own tokens have it.

Layout of a sequence, as in the published embeddings (method, section 2): start token, 8 of the context, the name with
its full stop (3), the other 8 of the context, end token at position 20, padding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from grefine_core.clip.embeddings import CONTEXT_LENGTH, END_POSITION, FACTORS, assemble
from grefine_core.clip.text_encoder import TextTower, encode_embeddings, end_positions, text_tower
from grefine_core.errors import InputError

from .options import PromptTuningOptions
from .text_copy import TextCopy

CONTEXT = 16
NAME = 3


class PromptPairs(nn.Module):
    """Good and bad prompt of every factor; ``context`` (4, 2, 16, W) learns, and with ``train="text-encoder"`` a copy
    of the text encoder.

    Args:
        clip: the open_clip model, whose text encoder reads the prompts. It is used as it is and not a part of this
            module: it neither learns nor is it saved.
        tokenizer: texts -> token ids (n, 77), as of the model.
        options: what learns, names, start and seed.

    Raises:
        InputError: a text encoder of another kind or length, or a name that is not three tokens long.
    """

    def __init__(self, clip: nn.Module, tokenizer: Any, options: PromptTuningOptions) -> None:
        super().__init__()
        tower = text_tower(clip)
        if tower is None or tower.context_length < CONTEXT_LENGTH:
            raise InputError("clip: prompts are tuned for open_clip's own text encoders with 77 positions.")
        self.tower = TextCopy(clip) if options.train == "text-encoder" else None
        # In a tuple: as an attribute it would become a part of this module.
        self._reader: tuple[nn.Module] = (clip if self.tower is None else self.tower,)
        weight = tower.token_embedding.weight.detach().float()
        texts = [text for name in FACTORS for text in options.names[name]]
        tokens = tokenizer(texts).to(weight.device)[:, :CONTEXT_LENGTH]
        for text, end in zip(texts, end_positions(tower, tokens).tolist(), strict=True):
            if end != NAME + 1:
                raise InputError(f"names: {text!r} is {end - 1} tokens long; they have to be {NAME}: two words, stop.")
        sequences = weight[tokens].unflatten(0, (len(FACTORS), 2))
        # From "start, name (3), end, padding": without the context's places the padding is cut at the end.
        self.prefix: Tensor
        self.suffix: Tensor
        self.register_buffer("prefix", sequences[:, :, :1].clone())
        self.register_buffer("suffix", sequences[:, :, 1 : CONTEXT_LENGTH - CONTEXT].clone())
        self.context = nn.Parameter(_start(tower, tokenizer, options).to(weight.device))

    def sequences(self) -> Tensor:
        """Token embeddings of all prompts: (4, 2, 77, W)."""
        pairs = zip(self.prefix, self.context, self.suffix, strict=True)
        return torch.stack([assemble(prefix, context, suffix) for prefix, context, suffix in pairs])

    def features(self) -> Tensor:
        """Features of all prompts as projected, not normalised: (4, 2, C)."""
        # Behind the end token a causal encoder's feature depends on nothing: 21 positions are enough.
        flat = self.sequences().flatten(0, 1)
        return encode_embeddings(self._reader[0], flat, END_POSITION).unflatten(0, (len(FACTORS), 2))

    def forward(self) -> Tensor:
        """Features of all prompts at unit length: (4, 2, C)."""
        return nn.functional.normalize(self.features(), dim=-1)

    def learned(self) -> dict[str, nn.Parameter]:
        """What learns, by name: ``context``, and with the text encoder ``tower.…``."""
        return dict(self.named_parameters())

    def take(self, values: Mapping[str, Tensor]) -> None:
        """Write what was kept of :meth:`learned`."""
        with torch.no_grad():
            for name, parameter in self.learned().items():
                parameter.copy_(values[name])

    def embeddings(self) -> dict[str, Tensor]:
        """Factor -> (2, 77, W) float32 on the CPU, as ``save_embedding_set`` takes them."""
        return {name: pair.detach().cpu().clone() for name, pair in zip(FACTORS, self.sequences(), strict=True)}


def _start(tower: TextTower, tokenizer: Any, options: PromptTuningOptions) -> Tensor:
    """The context to start from, (4, 2, 16, W) float32 on the CPU."""
    weight = tower.token_embedding.weight.detach().float().cpu()
    generator = torch.Generator().manual_seed(options.seed)
    noise = torch.randn(len(FACTORS), 2, CONTEXT, tower.width, generator=generator)
    scale = options.noise * weight.std()
    if options.start == "noise":
        return noise * scale
    texts = [text for name in FACTORS for text in options.words[name]]
    tokens = tokenizer(texts).cpu()
    rows = []
    for text, row, end in zip(texts, tokens, end_positions(tower, tokens).tolist(), strict=True):
        if end < 2:
            raise InputError(f"words: {text!r} says nothing to start from.")
        # Without start and end; the words are said again and again until the context is full.
        rows.append(weight[row[1:end].repeat(CONTEXT)[:CONTEXT]])
    # Equal words have equal gradients but for their places; a tenth of the noise tells them apart.
    return torch.stack(rows).unflatten(0, (len(FACTORS), 2)) + 0.1 * scale * noise
