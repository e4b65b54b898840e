"""The pictures of a comparison sheet, at a size that can be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .text import ACCENT, BACKGROUND, BAD, GOOD, Run, text_block

if TYPE_CHECKING:
    from PIL import Image

    from .data import GuardEntry

_STRIP = 512
_NEAREST_FROM = 3.0  # from this enlargement on, pixels are shown as pixels


def to_pillow(image: Tensor) -> Image.Image:
    """Return a picture ``(H, W, 3)`` in [0, 1] for Pillow."""
    from PIL import Image

    picture = Image.new("RGB", (image.shape[1], image.shape[0]))
    top = 0
    for rows in image.detach().split(_STRIP):  # a large picture is not copied as floats once more
        values = (rows.float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
        picture.paste(Image.fromarray(values.contiguous().numpy()), (0, top))
        top += rows.shape[0]
    return picture


def to_tensor(image: Image.Image) -> Tensor:
    """Return a picture of Pillow's as ``(H, W, 3)`` float32 in [0, 1]."""
    data = torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8)
    return data.reshape(image.height, image.width, 3).to(torch.float32) / 255.0


def fit(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return ``image`` scaled to fit in the box, small pictures enlarged, large ones reduced."""
    from PIL import Image

    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    method = Image.Resampling.NEAREST if scale >= _NEAREST_FROM else Image.Resampling.LANCZOS
    return image.resize(size, method)


def small(picture: Tensor, longest: int) -> Image.Image:
    """Return a picture ``(H, W, 3)`` or a map ``(H, W)`` in [0, 1] for Pillow, reduced to at most ``longest`` pixels.

    A large picture is averaged one channel after the other, so that this costs no memory of its size.
    """
    height, width = picture.shape[:2]
    scale = min(1.0, longest / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    channels = picture.detach().unsqueeze(-1) if picture.ndim == 2 else picture.detach()
    if scale < 1.0:
        average = torch.nn.functional.adaptive_avg_pool2d  # copies all that it is given: one channel at a time
        planes = [average(plane[None, ..., 0].float(), size) for plane in channels.split(1, dim=-1)]
        channels = torch.cat(planes).permute(1, 2, 0)
    return to_pillow(channels.expand(*size, 3))


def resize_map(values: Tensor, height: int, width: int) -> Tensor:
    """Return a map ``(H, W)`` at another size, ``(1, height, width)`` in [0, 1]."""
    resized = torch.nn.functional.interpolate(
        values.detach().float().cpu()[None, None], size=(height, width), mode="bilinear", antialias=True
    )
    return resized[0].clamp(0.0, 1.0)


def outlined(picture: Image.Image, mask: Tensor, entries: Sequence[GuardEntry]) -> Image.Image:
    """Return ``picture`` with ``mask`` ``(H, W)`` outlined, the rest dimmed, and the guard's regions framed."""
    from PIL import Image, ImageChops, ImageDraw, ImageFilter

    inside = Image.fromarray(((mask.detach().float().cpu() > 0).to(torch.uint8) * 255).numpy())
    inside = inside.resize(picture.size, Image.Resampling.NEAREST)
    shaded = Image.composite(picture, Image.blend(picture, Image.new("RGB", picture.size, BACKGROUND), 0.6), inside)
    edge = ImageChops.subtract(inside.filter(ImageFilter.MaxFilter(5)), inside)
    shaded.paste(ACCENT, mask=edge)
    draw = ImageDraw.Draw(shaded)
    down, right = picture.height / mask.shape[0], picture.width / mask.shape[1]
    for entry in entries:
        if entry.region is None:
            continue
        top, left, bottom, end = entry.region
        frame = (left * right, top * down, max(end * right - 1, left * right), max(bottom * down - 1, top * down))
        draw.rectangle(frame, outline=GOOD if entry.accepted else BAD, width=2)
    return shaded


def row(panels: Sequence[tuple[Sequence[Run], Image.Image]], width: int, gap: int, tallest: int) -> Image.Image:
    """Return pictures side by side, each under its caption, all fitted into equal columns."""
    from PIL import Image

    column = (width - gap * (len(panels) - 1)) // len(panels)
    fitted = [fit(image, column, tallest) for _, image in panels]
    captions = [text_block(caption, column) for caption, _ in panels]
    top = max(caption.height for caption in captions) + 6
    sheet = Image.new("RGB", (width, top + max(image.height for image in fitted)), BACKGROUND)
    for index, (caption, image) in enumerate(zip(captions, fitted, strict=True)):
        left = index * (column + gap)
        sheet.paste(caption, (left, top - 6 - caption.height))
        sheet.paste(image, (left, top))
    return sheet
