"""Weights that are the same on every machine: each tensor is drawn from a generator seeded by its name."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import torch
from torch import nn


def seed_weights(module: nn.Module, seed: int = 0, skip: Collection[int] = ()) -> nn.Module:
    """Fill all parameters in place: norms become 1 and 0, matrices keep the size of what flows through them.

    skip: ids of parameters that stay as they are.
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(False)
            if id(parameter) in skip:
                continue
            digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
            if parameter.ndim < 2:
                parameter.fill_(1.0 if name.endswith("weight") or name.endswith("scale") else 0.0)
                continue
            fan_in = parameter[0].numel()
            values = torch.randn(parameter.shape, generator=generator) * fan_in**-0.5
            parameter.copy_(values.to(parameter.dtype))
    return module.eval()
