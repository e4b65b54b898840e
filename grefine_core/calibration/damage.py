"""Damage with exact masks, its strength relative to the picture's size: what a quality model has to find.

None of it is anatomy or lettering; of those nothing is measured.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

FINE = 6.0
"""Pixels: the size of what is damaged in a picture of ``size`` pixels. The same in a larger one is finer."""
SIZES = (512, 1024, 2048)
"""Sides of pictures that damage is made for."""


@dataclass(frozen=True)
class Damaged:
    """A damaged copy."""

    image: Tensor
    """(H, W, 3) float32 in [0, 1]."""
    mask: Tensor
    """(H, W) bool: the pixels that are damaged."""
    factor: str
    """Of PQ-Map: "technical", "rational" or "natural"."""
    name: str
    size: int
    """Side of the picture that its fineness is that of."""
    local: bool
    strength: float
    """In (0, 1]."""


Change = Callable[[Tensor, float, float, torch.Generator], Tensor]
"""(picture (1, 3, H, W), fineness in pixels of it, strength in (0, 1], generator) -> the whole of it changed."""


def _blur(x: Tensor, fine: float, strength: float, _: torch.Generator) -> Tensor:
    from kornia.filters import gaussian_blur2d

    sigma = max(0.4, 0.6 * fine * (0.5 + strength))
    kernel = 2 * math.ceil(2.5 * sigma) + 1
    kernel = max(3, min(kernel, 2 * ((min(x.shape[-2:]) - 1) // 2) - 1))
    # A side of one pixel has nothing to be reflected, and is not blurred along.
    height, width = (kernel if side > 1 else 1 for side in x.shape[-2:])
    return gaussian_blur2d(x, (height, width), (sigma, sigma), "reflect")


def _noise(x: Tensor, fine: float, strength: float, generator: torch.Generator) -> Tensor:
    grain = max(1, round(fine / 3))
    size = (max(1, x.shape[-2] // grain), max(1, x.shape[-1] // grain))
    noise = torch.randn(1, 3, *size, generator=generator)
    return x + (0.08 + 0.22 * strength) * F.interpolate(noise, size=x.shape[-2:], mode="nearest")


def _blocks(x: Tensor, fine: float, strength: float, _: torch.Generator) -> Tensor:
    """JPEG of a smaller copy, whose blocks of 8 pixels are as large as the damage is coarse."""
    from PIL import Image

    height, width = x.shape[-2:]
    scale = min(1.0, 8.0 / (2 * fine))
    size = (max(16, round(height * scale)), max(16, round(width * scale)))
    small = F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
    eight = small[0].permute(1, 2, 0).clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
    stream = io.BytesIO()
    Image.fromarray(eight).save(stream, "JPEG", quality=max(2, round(22 - 18 * strength)))
    coded = torch.frombuffer(bytearray(Image.open(stream).convert("RGB").tobytes()), dtype=torch.uint8)
    back = coded.reshape(*size, 3).permute(2, 0, 1).float().div(255).unsqueeze(0)
    detail = x - F.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)
    return F.interpolate(back, size=(height, width), mode="bilinear", align_corners=False) + detail * (1 - strength)


def _banding(x: Tensor, _: float, strength: float, __: torch.Generator) -> Tensor:
    steps = round(7 - 4 * strength)
    return (x * steps).round() / steps


def _exposure(x: Tensor, _: float, strength: float, generator: torch.Generator) -> Tensor:
    if torch.rand((), generator=generator) < 0.5:
        return x * (1.4 + 1.2 * strength) + 0.1 * strength
    return x * (0.5 - 0.35 * strength)


def _warp(x: Tensor, fine: float, strength: float, generator: torch.Generator) -> Tensor:
    """Smooth random displacement, as if the picture were of rubber."""
    height, width = x.shape[-2:]
    cells = max(3, round(max(height, width) / (6 * fine)))
    grid = torch.randn(1, 2, cells, cells, generator=generator)
    shift = F.interpolate(grid, size=(height, width), mode="bicubic", align_corners=False)
    amount = fine * (1.0 + 2.0 * strength)
    rows = torch.linspace(-1, 1, height).view(-1, 1).expand(height, width)
    columns = torch.linspace(-1, 1, width).view(1, -1).expand(height, width)
    places = torch.stack([columns + shift[0, 0] * 2 * amount / width, rows + shift[0, 1] * 2 * amount / height], -1)
    return F.grid_sample(x, places.unsqueeze(0), mode="bilinear", padding_mode="reflection", align_corners=True)


def _doubled(x: Tensor, fine: float, strength: float, generator: torch.Generator) -> Tensor:
    """The picture laid over itself, moved aside."""
    angle = float(torch.rand((), generator=generator)) * 2 * math.pi
    reach = fine * (3.0 + 3.0 * strength)
    moved = torch.roll(x, (round(reach * math.sin(angle)), round(reach * math.cos(angle))), (-2, -1))
    return x * 0.5 + moved * 0.5


def _cut(x: Tensor, fine: float, strength: float, generator: torch.Generator) -> Tensor:
    """Strips that slipped against one another."""
    width = max(2, round(4 * fine))
    across = bool(torch.rand((), generator=generator) < 0.5)
    turned = x.transpose(-1, -2) if across else x
    strips = [
        torch.roll(strip, round(float(torch.randn((), generator=generator)) * fine * (2 + 3 * strength)), -1)
        for strip in turned.split(width, -2)
    ]
    joined = torch.cat(strips, -2)
    return joined.transpose(-1, -2) if across else joined


def _tint(x: Tensor, _: float, strength: float, generator: torch.Generator) -> Tensor:
    gains = 1.0 + (0.25 + 0.45 * strength) * _contrary(generator).view(1, 3, 1, 1)
    return x * gains


def _colours(x: Tensor, _: float, strength: float, generator: torch.Generator) -> Tensor:
    """Hues turned round."""
    from kornia.enhance import adjust_hue

    sign = 1.0 if torch.rand((), generator=generator) < 0.5 else -1.0
    return adjust_hue(x.clamp(0, 1), sign * (0.8 + 2.2 * strength))


def _texture(x: Tensor, fine: float, strength: float, generator: torch.Generator) -> Tensor:
    """A pattern over everything that no thing has."""
    height, width = x.shape[-2:]
    angle = float(torch.rand((), generator=generator)) * math.pi
    rows, columns = torch.arange(height).view(-1, 1), torch.arange(width).view(1, -1)
    waves = torch.sin((rows * math.sin(angle) + columns * math.cos(angle)) * (math.pi / max(1.0, fine)))
    cross = torch.sin((columns * math.sin(angle) - rows * math.cos(angle)) * (math.pi / max(1.0, fine)))
    return x + (0.1 + 0.2 * strength) * (waves * cross) * _contrary(generator).view(1, 3, 1, 1)


def _contrary(generator: torch.Generator) -> Tensor:
    """A direction in colour that is no shade of grey, (3,), of length about 1."""
    direction = torch.randn(3, generator=generator)
    direction = direction - direction.mean()
    return direction / direction.abs().max().clamp(min=1e-3)


#: Name -> factor of PQ-Map, and the change.
DAMAGES: dict[str, tuple[str, Change]] = {
    "blur": ("technical", _blur),
    "warp": ("rational", _warp),
    "tint": ("natural", _tint),
    "noise": ("technical", _noise),
    "doubled": ("rational", _doubled),
    "colours": ("natural", _colours),
    "blocks": ("technical", _blocks),
    "cut": ("rational", _cut),
    "texture": ("natural", _texture),
    "banding": ("technical", _banding),
    "exposure": ("technical", _exposure),
}


def damage(
    image: Tensor,
    name: str,
    *,
    size: int = SIZES[0],
    local: bool = True,
    strength: float = 0.7,
    generator: torch.Generator | None = None,
    mask: Tensor | None = None,
) -> Damaged:
    """Damage a copy of a picture.

    Args:
        image: (H, W, 3) float32 in [0, 1]; never written to.
        name: of ``DAMAGES``.
        size: side of the picture that it is to look like damage of ``FINE`` pixels in.
        local: in a blob, else everywhere.
        strength: in (0, 1].
        generator: of its random numbers; None for a new one.
        mask: (H, W) in [0, 1], where; None for a random blob.

    Returns:
        The copy, and which pixels are damaged.
    """
    draws = torch.Generator().manual_seed(0) if generator is None else generator
    factor, change = DAMAGES[name]
    height, width = image.shape[:2]
    x = image.permute(2, 0, 1).unsqueeze(0).float()
    changed = change(x, FINE * max(height, width) / size, strength, draws).clamp(0.0, 1.0)
    alpha = torch.ones(height, width)
    if local:
        alpha = blob(height, width, draws) if mask is None else mask.float()
    mixed = x * (1 - alpha) + changed * alpha
    return Damaged(mixed[0].permute(1, 2, 0).contiguous(), alpha > 0.5, factor, name, size, local, strength)


def blob(height: int, width: int, generator: torch.Generator, share: float = 0.12) -> Tensor:
    """A soft-edged ellipse at a random place, (H, W) in [0, 1]; about ``share`` of the picture."""
    draws = torch.rand(4, generator=generator)
    area = share * (0.6 + 0.8 * float(draws[0]))
    stretch = 2.0 ** (float(draws[1]) - 0.5)
    half_width, half_height = (math.sqrt(area / math.pi) * factor for factor in (stretch, 1 / stretch))
    half_width, half_height = min(half_width, 0.45), min(half_height, 0.45)
    centre_x = half_width + float(draws[2]) * (1 - 2 * half_width)
    centre_y = half_height + float(draws[3]) * (1 - 2 * half_height)
    rows = ((torch.arange(height) + 0.5) / height).view(-1, 1)
    columns = ((torch.arange(width) + 0.5) / width).view(1, -1)
    radius = (((columns - centre_x) / half_width) ** 2 + ((rows - centre_y) / half_height) ** 2).sqrt()
    return ((1.1 - radius) / 0.2).clamp(0.0, 1.0)
