"""States of captions through the frozen text tower, each computed once: on a processor that is a quarter of a step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from grefine_core.miniature.networks import text_states

MOST = 60_000
"""Captions that are kept; 15 kB each."""


class TextCache:
    """Of one text tower, which has to stay as it is.

    Args:
        clip: an open_clip module, on the device where its states are wanted.
    """

    def __init__(self, clip: nn.Module) -> None:
        self._clip = clip
        self._known: dict[bytes, Tensor] = {}

    def __call__(self, tokens: Tensor) -> Tensor:
        """States (n, 77, w) float32 of ``tokens`` (n, 77), rounded to half precision."""
        keys = [row.tobytes() for row in tokens.cpu().numpy()]
        new = {key: place for place, key in enumerate(keys) if key not in self._known}
        found: dict[bytes, Tensor] = {}
        if new:
            device = next(self._clip.parameters()).device
            states = text_states(self._clip, tokens[list(new.values())].to(device)).half()
            found = dict(zip(new, states, strict=True))
            if len(self._known) < MOST:
                self._known.update({key: value.clone() for key, value in found.items()})
        return torch.stack([self._known[key] if key in self._known else found[key] for key in keys]).float()
