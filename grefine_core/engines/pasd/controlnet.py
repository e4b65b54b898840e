"""PASD's ControlNet: diffusers' own, and for the rrdb variants a deeper encoder of the condition.

Source of the dense blocks: Wang et al., "ESRGAN" (2018), section 3.1.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROWTH = 16
_SHARE = 0.2


class DenseBlock(nn.Module):
    """Five 3x3 convolutions, each of which sees the outputs of all before it; a fifth of the result is added."""

    def __init__(self, channels: int, growth: int = GROWTH) -> None:
        super().__init__()
        for i in range(1, 6):
            out = growth if i < 5 else channels
            setattr(self, f"conv{i}", nn.Conv2d(channels + (i - 1) * growth, out, kernel_size=3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """``(b, c, h, w)`` to the same shape."""
        *convolutions, last = (getattr(self, f"conv{i}") for i in range(1, 6))
        seen = x
        for convolution in convolutions:
            seen = torch.cat([seen, F.leaky_relu(convolution(seen), 0.2)], dim=1)
        out: Tensor = x + _SHARE * last(seen)
        return out


class ResidualDenseBlock(nn.Module):
    """Three dense blocks in a row; a fifth of the result is added (RRDB)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(channels) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """``(b, c, h, w)`` to the same shape."""
        out: Tensor = x + _SHARE * self.rdb3(self.rdb2(self.rdb1(x)))
        return out


class DenseConditioningEmbedding(nn.Module):
    """The stock encoder of the condition with two residual dense blocks after its first convolution.

    ``stock`` is the encoder whose layers are used; its class lies elsewhere in each version of diffusers.
    """

    def __init__(self, stock: Any) -> None:
        super().__init__()
        self.conv_in, self.blocks, self.conv_out = stock.conv_in, stock.blocks, stock.conv_out
        # The name is that of the published weights.
        self.preprocesser = nn.Sequential(*(ResidualDenseBlock(stock.conv_in.out_channels) for _ in range(2)))

    def forward(self, conditioning: Tensor) -> Tensor:
        """``(b, 3, 8h, 8w)`` to ``(b, c, h, w)``."""
        x = self.preprocesser(F.silu(self.conv_in(conditioning)))
        for block in self.blocks:
            x = F.silu(block(x))
        out: Tensor = self.conv_out(x)
        return out


def build_controlnet(config: dict[str, Any], *, rrdb: bool = False) -> Any:
    """A ControlNet from the arguments of diffusers' ``ControlNetModel``, untrained.

    The six ``to_rgbs`` tensors of the published files belong to heads that only training uses, and are not built.
    """
    from diffusers import ControlNetModel

    network: Any = ControlNetModel(**config)
    if rrdb:
        network.controlnet_cond_embedding = DenseConditioningEmbedding(network.controlnet_cond_embedding)
    return network
