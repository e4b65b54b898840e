"""Wrapped, coloured text as a block of pixels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import fonts

if TYPE_CHECKING:
    from PIL import Image

Color = tuple[int, int, int]

BACKGROUND: Color = (22, 24, 29)
PANEL: Color = (34, 37, 45)
FAINT: Color = (138, 145, 158)
TEXT: Color = (226, 229, 235)
ACCENT: Color = (255, 186, 73)
GOOD: Color = (86, 192, 128)
BAD: Color = (240, 98, 88)


@dataclass(frozen=True)
class Run:
    """A stretch of text of one look; ``mark`` is the colour behind it."""

    text: str
    color: Color = TEXT
    mark: Color | None = None


def text_block(runs: Iterable[Run], width: int, size: int = 20, background: Color = BACKGROUND) -> Image.Image:
    """Return ``runs`` set one behind the other, wrapped at ``width`` pixels (and at every line break), as a picture."""
    from PIL import Image, ImageDraw

    lines = _lines(runs, width, size)
    step = round(size * 1.5)
    image = Image.new("RGB", (width, max(step * len(lines), 1)), background)
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        x, top = 0.0, row * step
        for word in line:
            end = x + fonts.length(word.text, size)
            if word.mark is not None:
                draw.rectangle((x - 1, top + 2, end + 1, top + step - 4), fill=word.mark)
            x = end
        x = 0.0
        for word in line:
            for piece, font in fonts.pieces(word.text, size):
                draw.text((x, top + step * 0.72), piece, fill=word.color, font=font, anchor=_anchor(font))
                x += font.getlength(piece)
    return image


def _anchor(font: fonts.Font) -> str | None:
    """The base line, so that fonts mix; the bitmap font of old Pillows has none."""
    return "ls" if hasattr(font, "font") and hasattr(font, "set_variation_by_axes") else None


def _lines(runs: Iterable[Run], width: int, size: int) -> list[list[Run]]:
    lines: list[list[Run]] = [[]]
    x = 0.0
    for run in runs:
        for text in re.findall(r"\n|[^\S\n]+|\S+", run.text):
            if text == "\n":
                lines.append([])
                x = 0.0
                continue
            blank = text.isspace()
            text = " " * len(text) if blank else text
            for part in _parts(text, width, size):
                wide = fonts.length(part, size)
                if x + wide > width and x > 0:
                    lines.append([])
                    x = 0.0
                    if blank:
                        continue
                lines[-1].append(Run(part, run.color, run.mark))
                x += wide
    return lines


def _parts(word: str, width: int, size: int) -> list[str]:
    """Cut a word that is wider than a line."""
    if fonts.length(word, size) <= width:
        return [word]
    parts, current = [], ""
    for character in word:
        if current and fonts.length(current + character, size) > width:
            parts.append(current)
            current = ""
        current += character
    return [*parts, current]
