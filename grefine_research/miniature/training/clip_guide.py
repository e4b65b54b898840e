"""The guide of the miniature CLIP: a small convolutional network that learns, from captions alone, what is where.

A vision transformer needs far more pictures than a convolutional network to see forms. So the captions teach such a
network first, together with the text tower, and the transformer then learns from the guide's features of every patch,
which is many times as much to learn from as a caption is. The guide is no part of what is shipped.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...training.precision import quick, quick_type

PATCH = 8
"""Side of the patches that have a feature each, in pixels."""
WIDTHS = (24, 56, 112, 144)


class Residual(nn.Module):
    """Two 3×3 convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_convolution(width, width), nn.ReLU(), *_convolution(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        return F.relu(x + self.body(x))


class Guide(nn.Module):
    """Features of a picture's patches of 8×8 pixels and of the whole picture, comparable with those of texts.

    Args:
        embed_dim: length of a feature.
        widths: channels at a half, a quarter, an eighth and a sixteenth of the picture's side.
    """

    def __init__(self, embed_dim: int, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = widths
        self.fine = nn.Sequential(
            *_convolution(3, half, 2),
            nn.ReLU(),
            Residual(half),
            *_convolution(half, quarter, 2),
            nn.ReLU(),
            Residual(quarter),
            Residual(quarter),
            *_convolution(quarter, eighth, 2),
            nn.ReLU(),
            Residual(eighth),
            Residual(eighth),
        )
        # Wide enough to see whole items: that one is doubled cannot be told from its pixels.
        self.coarse = nn.Sequential(
            *_convolution(eighth, sixteenth, 2),
            nn.ReLU(),
            Residual(sixteenth),
            Residual(sixteenth),
            Residual(sixteenth),
        )
        self.back = nn.Conv2d(sixteenth, eighth, 1)
        self.joined = nn.Sequential(Residual(eighth), Residual(eighth))
        self.local = nn.Conv2d(eighth, embed_dim, 1)
        self.whole = nn.Sequential(nn.Linear(eighth, 2 * eighth), nn.ReLU(), nn.Linear(2 * eighth, embed_dim))
        # Of the question whether a caption holds of a picture, beside CLIP's own scale.
        self.sharpness = nn.Parameter(torch.tensor(2.7))
        self.bias = nn.Parameter(torch.tensor(-5.0))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encode pictures (B, H, W, 3) uint8: of the whole (B, C), of patches (B, h·w, C), unit length, float32."""
        planes = pixels.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        with quick(pixels.device):
            x = self.fine(planes.to(quick_type(pixels.device)) / 64.0 - 2.0)
            wide = self.back(self.coarse(x))
            x = self.joined(F.relu(x + F.interpolate(wide, scale_factor=2.0, mode="nearest")))
            local = self.local(x).flatten(2).transpose(1, 2)
            whole = self.whole(x.amax((2, 3)))
        return F.normalize(whole.float(), dim=-1), F.normalize(local.float(), dim=-1)


def _convolution(before: int, after: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
