"""The trunk of both judges: a small residual network down to cells of 32 pixels and back up to cells of 4."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grefine_core.miniature.world import SIDE

CELL = 4
"""Side in pixels of the cells that are judged."""
CELLS = SIDE // CELL
WIDTHS = (24, 48, 80, 112)
OUT = 64


class Residual(nn.Module):
    """Two 3×3 convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(y)))


class Trunk(nn.Module):
    """Features of every cell, and of the whole picture.

    The way down sees whole items (a doubled one cannot be told from its pixels), the way up brings back the places.
    """

    def __init__(self, widths: tuple[int, int, int, int] = WIDTHS, out: int = OUT) -> None:
        super().__init__()
        blocks = (1, 2, 2, 2)
        before = 3
        stages = []
        for width, count in zip(widths, blocks, strict=True):
            down = nn.Sequential(
                nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
            )
            stages.append(nn.Sequential(down, *(Residual(width) for _ in range(count))))
            before = width
        self.stages = nn.ModuleList(stages)
        self.lateral = nn.ModuleList(nn.Conv2d(width, out, 1) for width in widths[1:])
        self.smooth = nn.Sequential(nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU())

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) in [0, 1] -> cells (B, ``OUT``, H/4, W/4) and the whole picture (B, ``WIDTHS[-1]``)."""
        x = pictures * 4.0 - 2.0
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        y = self.lateral[2](levels[3])
        for index in (1, 0):
            y = F.interpolate(y, scale_factor=2.0, mode="nearest") + self.lateral[index](levels[index + 1])
        return self.smooth(y), x.mean(dim=(2, 3))


def planes(images: Tensor) -> Tensor:
    """Pictures (B, H, W, 3) as (B, 3, H, W), in the memory order that convolutions are quick in."""
    return images.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
