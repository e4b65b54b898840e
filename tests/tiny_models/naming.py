"""Weights drawn from the names of the tensors: the same on every machine, with nothing to download."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

#: ``scale(name, noise)`` turns unit noise into a weight.
Scale = Callable[[str, Tensor], Tensor]


def noise_for(name: str, shape: tuple[int, ...], salt: str = "standin.") -> Tensor:
    """Standard normal noise ``shape`` float32, seeded by ``crc32(salt + name)`` (PCG64)."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32((salt + name).encode())))
    return torch.from_numpy(np.asarray(generator.standard_normal(shape), dtype=np.float32))


@torch.no_grad()
def fill_by_name(module: nn.Module, scale: Scale, salt: str = "standin.", ignore: str = "") -> nn.Module:
    """Overwrite every floating parameter and buffer of the state dict; returns the module, in evaluation mode.

    ``ignore`` is a prefix of names that does not count: some libraries nest the same tensors deeper in some versions.
    """
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(scale(name, noise_for(name.removeprefix(ignore), tuple(tensor.shape), salt)))
    return module.eval()


def even_scale(name: str, noise: Tensor) -> Tensor:
    """Layers keep the size of what passes through them: norms about 1, biases small, the rest by fan-in."""
    if name.endswith("bias"):
        return 0.02 * noise
    if noise.ndim == 1:
        return 1.0 + 0.1 * noise
    if "embedding" in name:
        return 0.1 * noise
    return noise / float(np.sqrt(np.prod(noise.shape[1:])))
