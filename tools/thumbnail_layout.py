"""How the shipped workflows' thumbnails look: a dark card with two rows of two pictures, and a title at its foot.

Not at its head: editors lay a badge over that.

Pillow alone; what the pictures show is decided in ``build_thumbnails.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from grefine_core.report.text import fonts

SIDE = 512
_STRIP, _GAP = 64, 16
_PANEL = ((SIDE - 3 * _GAP) // 2, (SIDE - _STRIP - 2 * _GAP) // 2)
_BACK, _TEXT, _FAINT, _ACCENT = (24, 25, 31), (242, 242, 244), (160, 164, 172), (249, 140, 10)
_GOOD, _BAD = (87, 192, 128), (240, 98, 82)
_ROUND = 10


class Panel(NamedTuple):
    """One picture of a card: ``caption`` in its corner, ``mark`` true or false for a green or a red frame."""

    picture: Image.Image
    caption: str
    mark: bool | None = None


class Bar(NamedTuple):
    """A named value in [0, 1] on a card, with the value that it should reach."""

    name: str
    value: float
    wanted: float


def card(title: str, subtitle: str, panels: Sequence[Panel]) -> Image.Image:
    """Draw a thumbnail of four pictures, row by row.

    Returns:
        An RGB picture of ``SIDE`` × ``SIDE`` pixels.
    """
    sheet = _titled(title, subtitle)
    for number, panel in enumerate(panels):
        _place(sheet, panel, _corner(number), _PANEL)
    return sheet


def score_card(
    title: str, subtitle: str, panel: Panel, bars: Sequence[Bar], phrases: Sequence[tuple[str, bool]]
) -> Image.Image:
    """Draw a thumbnail of one picture with its scores, and under it the prompt's phrases, shown or not.

    Returns:
        An RGB picture of ``SIDE`` × ``SIDE`` pixels.
    """
    sheet = _titled(title, subtitle)
    _place(sheet, panel, _corner(0), _PANEL)
    draw = ImageDraw.Draw(sheet)
    left, top = _corner(1)
    for bar in bars:
        draw.text((left, top + 8), bar.name, _FAINT, fonts(18)[0])
        color = _GOOD if bar.value >= bar.wanted else _BAD
        draw.text((left + _PANEL[0], top), f"{bar.value:.2f}", color, fonts(32)[0], anchor="ra")
        _bar(draw, (left, top + 46), _PANEL[0], bar, color)
        top += 100
    left, top = _corner(2)
    for text, shown in phrases:
        mark = _GOOD if shown else _BAD
        width = draw.textlength(text, fonts(22)[0]) + 58
        draw.rounded_rectangle((left, top, left + width, top + 42), 21, _mixed(mark, 0.3))
        draw.ellipse((left + 14, top + 14, left + 28, top + 28), mark)
        draw.text((left + 40, top + 21), text, _TEXT, fonts(22)[0], anchor="lm")
        top += 54
    return sheet


def _titled(title: str, subtitle: str) -> Image.Image:
    sheet = Image.new("RGB", (SIDE, SIDE), _BACK)
    draw = ImageDraw.Draw(sheet)
    top = SIDE - _STRIP
    draw.rectangle((0, top, 6, SIDE - 1), _ACCENT)
    draw.text((_GAP + 4, top + 6), title, _TEXT, _fitting(draw, title, 30))
    draw.text((_GAP + 4, top + 41), subtitle, _FAINT, _fitting(draw, subtitle, 17))
    return sheet


def _fitting(draw: ImageDraw.ImageDraw, text: str, size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """The font in which a line fits into the card."""
    while draw.textlength(text, fonts(size)[0]) > SIDE - 2 * _GAP - 4:
        size -= 1
    return fonts(size)[0]


def _corner(number: int) -> tuple[int, int]:
    across, down = number % 2, number // 2
    return _GAP + across * (_PANEL[0] + _GAP), _GAP + down * (_PANEL[1] + _GAP)


def _place(sheet: Image.Image, panel: Panel, corner: tuple[int, int], size: tuple[int, int]) -> None:
    """A picture with round corners, its middle if it has another shape."""
    picture = panel.picture.convert("RGB")
    scale = max(size[0] / picture.width, size[1] / picture.height)
    width, height = size[0] / scale, size[1] / scale
    left, top = (picture.width - width) / 2, (picture.height - height) / 2
    picture = picture.resize(size, Image.Resampling.BICUBIC, (left, top, left + width, top + height))
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), _ROUND, 255)
    sheet.paste(picture, corner, mask)
    draw = ImageDraw.Draw(sheet)
    right, bottom = corner[0] + size[0] - 1, corner[1] + size[1] - 1
    color = None if panel.mark is None else (_GOOD if panel.mark else _BAD)
    if color:
        draw.rounded_rectangle((*corner, right, bottom), _ROUND, outline=color, width=4)
    font = fonts(17)[0]
    draw.rounded_rectangle(
        (corner[0] + 8, bottom - 34, corner[0] + 24 + draw.textlength(panel.caption, font), bottom - 8), 8, _BACK
    )
    draw.text((corner[0] + 16, bottom - 21), panel.caption, color or _TEXT, font, anchor="lm")


def _bar(draw: ImageDraw.ImageDraw, corner: tuple[int, int], width: int, bar: Bar, color: tuple[int, int, int]) -> None:
    left, top = corner
    draw.rounded_rectangle((left, top, left + width - 1, top + 14), 7, (52, 54, 63))
    draw.rounded_rectangle((left, top, left + max(14, width * bar.value) - 1, top + 14), 7, color)
    at = left + width * bar.wanted
    draw.rectangle((at - 1, top - 4, at + 1, top + 18), _TEXT)


def _mixed(color: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    """``color`` over the card's own, by ``share``."""
    red, green, blue = (round(back + share * (front - back)) for front, back in zip(color, _BACK, strict=True))
    return red, green, blue
