"""Layout of the pictures on the help pages: captioned panels in rows, chips of text, bars, on one dark card.

Small on purpose: what is shown comes from ``help_scenes``; fonts and colours are those of the Quality Report.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from grefine_core.report import text as fonts
from grefine_core.report.sheet import to_pillow
from grefine_core.report.text import ACCENT, BACKGROUND, FAINT, PANEL, TEXT, Color, Run, text_block

#: The host's panel is narrow (200 to 500 pixels): few columns, large letters.
WIDTH = 520
_MARGIN, _GAP = 14, 12
INNER = WIDTH - 2 * _MARGIN
#: What a help page may weigh: it is fetched each time that somebody opens it.
LARGEST = 80_000


def panel(picture: Tensor) -> Image.Image:
    """A picture ``(H, W, 3)``, ``(1, H, W, 3)``, or a map ``(H, W)``, ``(1, H, W)`` in grey, for Pillow."""
    if picture.shape[-1] != 3:
        picture = picture.reshape(*picture.shape[-2:], 1).expand(-1, -1, 3)
    return to_pillow(picture.reshape(picture.shape[-3:]))


def outlined(picture: Tensor, mask: Tensor, side: int = 512) -> Image.Image:
    """A picture with the edge of a mask ``(1, H, W)`` in colour."""
    image = panel(picture)
    high = round(side * image.height / image.width)
    image = image.resize((side, high), Image.Resampling.BICUBIC)
    inside = Image.fromarray(((mask.reshape(mask.shape[-2:]) > 0).to(torch.uint8) * 255).numpy())
    inside = inside.resize(image.size, Image.Resampling.BILINEAR).point(lambda value: 255 if value > 127 else 0)
    edge = Image.composite(Image.new("L", image.size), inside.filter(ImageFilter.MaxFilter(7)), inside)
    image.paste(ACCENT, mask=edge)
    return image


def row(panels: Sequence[tuple[str, Image.Image]], columns: int | None = None) -> Image.Image:
    """Pictures side by side in equal columns, each under its caption; two or three to a row."""
    count = columns or (len(panels) if len(panels) < 4 else 2 if len(panels) % 2 == 0 else 3)
    column = (INNER - _GAP * (count - 1)) // count
    cells = []
    for text, image in panels:
        caption = text_block([Run(text)], column, 15)
        high = round(column * image.height / image.width)
        cells.append((caption, image.resize((column, high), _method(image, column))))
    return _stacked([_one_row(cells[first : first + count], column) for first in range(0, len(cells), count)])


def _one_row(cells: Sequence[tuple[Image.Image, Image.Image]], column: int) -> Image.Image:
    top = max(caption.height for caption, _ in cells) + 2
    sheet = Image.new("RGB", (INNER, top + max(image.height for _, image in cells)), BACKGROUND)
    for index, (caption, image) in enumerate(cells):
        left = index * (column + _GAP)
        sheet.paste(caption, (left, top - 2 - caption.height))
        sheet.paste(image, (left, top))
    return sheet


def _stacked(parts: Sequence[Image.Image]) -> Image.Image:
    image = Image.new("RGB", (INNER, sum(part.height for part in parts) + _GAP * (len(parts) - 1)), BACKGROUND)
    top = 0
    for part in parts:
        image.paste(part, (0, top))
        top += part.height + _GAP
    return image


def _method(image: Image.Image, column: int) -> Image.Resampling:
    return Image.Resampling.BICUBIC if column >= image.width else Image.Resampling.LANCZOS


def line(*runs: Run | str, size: int = 16) -> Image.Image:
    """Words over the whole width."""
    return text_block([Run(run) if isinstance(run, str) else run for run in runs], INNER, size)


def faint(text: str) -> Image.Image:
    """A remark."""
    return line(Run(text, FAINT), size=14)


def bars(values: Sequence[tuple[str, float]], color: Color = ACCENT) -> Image.Image:
    """Named values in [0, 1] as bars with figures."""
    step, label, wide = 24, 120, INNER - 120 - 60
    image = Image.new("RGB", (INNER, step * len(values)), BACKGROUND)
    draw = ImageDraw.Draw(image)
    for index, (name, value) in enumerate(values):
        top = index * step
        image.paste(text_block([Run(name)], label, 15), (0, top))
        draw.rectangle((label, top + 6, label + wide, top + 17), fill=PANEL)
        draw.rectangle((label, top + 6, label + round(wide * min(max(value, 0.0), 1.0)), top + 17), fill=color)
        image.paste(text_block([Run(f"{value:.2f}", TEXT)], 60, 15), (label + wide + 10, top))
    return image


def plain(text: str, at: tuple[int, int], image: Image.Image, color: Color = TEXT, size: int = 15) -> None:
    """Write on a picture."""
    ImageDraw.Draw(image).text(at, text, fill=color, font=fonts.fonts(size)[0])


def card(parts: Sequence[Image.Image]) -> Image.Image:
    """All parts under each other on one card."""
    inner = _stacked(parts)
    image = Image.new("RGB", (WIDTH, inner.height + 2 * _MARGIN), BACKGROUND)
    image.paste(inner, (_MARGIN, _MARGIN))
    return image


def save(image: Image.Image, path: Path) -> int:
    """Write as JPEG, as well as fits under ``LARGEST`` bytes; returns the bytes.

    Not as WebP, which is smaller: Python before 3.13, and so the host, serves that without its type.
    """
    for quality, subsampling in ((92, 0), (88, 0), (82, 0), (85, 2), (78, 2), (68, 2), (58, 2)):
        image.save(path, "JPEG", quality=quality, subsampling=subsampling, optimize=True)
        if path.stat().st_size < LARGEST:
            return path.stat().st_size
    raise ValueError(f"{path}: {path.stat().st_size} bytes, {LARGEST} are allowed")
