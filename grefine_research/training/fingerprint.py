"""Telling models apart by the values of their weights."""

from __future__ import annotations

import hashlib

from torch import Tensor, nn


def model_fingerprint(module: nn.Module) -> str:
    """32 hexadecimal digits over names, shapes, types and values of all weights; where they are does not matter.

    Buffers that are in no weight file (the causal mask) do not count.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(module.state_dict().items()):
        _add(digest, name, tensor)
    return digest.hexdigest()


def tensor_fingerprint(**tensors: Tensor) -> str:
    """The same of single tensors."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(tensors.items()):
        _add(digest, name, tensor)
    return digest.hexdigest()


def _add(digest: hashlib.blake2b, name: str, tensor: Tensor) -> None:
    import torch

    digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
    data = tensor.detach().cpu().contiguous().reshape(-1)
    # Bytes: numpy knows no bfloat16.
    digest.update(data.view(torch.uint8).numpy().data)
