"""Wrapped, coloured text as a block of pixels."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
    from PIL import Image


# Fonts for any language a prompt may be in: Pillow's own, then what the system has, then code points in ASCII.

# By name: Pillow looks in the system's font folders. Latin, Greek and Cyrillic first, then the scripts of Asia.
_SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "segoeui.ttf",
    "Arial Unicode.ttf",
    "arial.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "msyh.ttc",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "malgun.ttf",
    "Nirmala.ttf",
    "Symbola.ttf",
    "NotoEmoji-Regular.ttf",
    "seguisym.ttf",
)


#: Signs that the project's own texts have and Pillow's font lacks, where nothing else is installed.
_PLAINLY = {"→": "->", "×": "x", "–": "-"}


@lru_cache(maxsize=16)
def fonts(size: int) -> tuple[Font, ...]:
    """Return the fonts to try at ``size`` pixels, in this order; the first is the one Pillow brings."""
    from PIL import ImageFont

    try:
        found: list[Font] = [ImageFont.load_default(size)]
    except (TypeError, OSError, ImportError):  # Pillow before 10.1, or without FreeType: one small bitmap font
        return (ImageFont.load_default(),)
    for name in _SYSTEM_FONTS:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return tuple(found)


def pieces(text: str, size: int) -> list[tuple[str, Font]]:
    """Return ``text`` in pieces with a font that has their glyphs; what no font has comes as ``<U+1F388>``.

    A word keeps to one font if it can. Joiners and variation selectors that no font shows are left out.
    """
    available = fonts(size)
    for font in available:
        if all(_has(character, font) for character in text):
            return [(text, font)]
    found: list[tuple[str, Font]] = []
    for character in text:
        shown, used = character, available[0]
        for font in available:
            if _has(character, font):
                used = font
                break
        else:
            if unicodedata.category(character) in ("Mn", "Me", "Cf", "Cc"):
                continue
            shown = _PLAINLY.get(character) or f"<U+{ord(character):04X}>"
        if found and found[-1][1] is used:
            found[-1] = (found[-1][0] + shown, used)
        else:
            found.append((shown, used))
    return found


def length(text: str, size: int) -> float:
    """Return the width of ``text`` in pixels."""
    return sum(font.getlength(piece) for piece, font in pieces(text, size))


@lru_cache(maxsize=8192)
def _has(character: str, font: Font) -> bool:
    """Whether ``font`` has a glyph for ``character``: it draws something else than for a code point nobody has."""
    if " " <= character <= "~":
        return True
    try:
        return bytes(font.getmask(character)) != _nothing(font)
    except (UnicodeEncodeError, ValueError, OSError):  # the bitmap font, which knows Latin-1 alone; a lone surrogate
        return False


@lru_cache(maxsize=64)
def _nothing(font: Font) -> bytes:
    return bytes(font.getmask("\U0010fffe"))


Color = tuple[int, int, int]

BACKGROUND: Color = (22, 24, 29)
PANEL: Color = (34, 37, 45)
FAINT: Color = (138, 145, 158)
TEXT: Color = (226, 229, 235)
ACCENT: Color = (255, 186, 73)
GOOD: Color = (86, 192, 128)
BAD: Color = (240, 98, 88)

MOST_LINES = 60
"""Of one text: nobody reads more in a picture, and a prompt of 100 kB would make one of gigabytes."""


@dataclass(frozen=True)
class Run:
    """A stretch of text of one look; ``mark`` is the colour behind it."""

    text: str
    color: Color = TEXT
    mark: Color | None = None


def text_block(
    runs: Iterable[Run], width: int, size: int = 20, background: Color = BACKGROUND, most: int = MOST_LINES
) -> Image.Image:
    """Return ``runs`` set one behind the other, wrapped at ``width`` pixels (and at every line break), as a picture.

    After ``most`` lines it says that there is more.
    """
    from PIL import Image, ImageDraw

    lines = list(islice(_lines(runs, width, size), most + 1))
    if len(lines) > most:
        lines[most] = [Run("... and more", FAINT)]
    step = round(size * 1.5)
    image = Image.new("RGB", (width, max(step * len(lines), 1)), background)
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        x, top = 0.0, row * step
        for word in line:
            end = x + length(word.text, size)
            if word.mark is not None:
                draw.rectangle((x - 1, top + 2, end + 1, top + step - 4), fill=word.mark)
            x = end
        x = 0.0
        for word in line:
            for piece, font in pieces(word.text, size):
                draw.text((x, top + step * 0.72), piece, fill=word.color, font=font, anchor=_anchor(font))
                x += font.getlength(piece)
    return image


def _anchor(font: Font) -> str | None:
    """The base line, so that fonts mix; the bitmap font of old Pillows has none."""
    return "ls" if hasattr(font, "font") and hasattr(font, "set_variation_by_axes") else None


def _lines(runs: Iterable[Run], width: int, size: int) -> Iterator[list[Run]]:
    """Line by line, so that nobody waits for those that are not shown."""
    line: list[Run] = []
    x = 0.0
    for run in runs:
        for found in re.finditer(r"\n|[^\S\n]+|\S+", run.text):
            text = found.group()
            if text == "\n":
                yield line
                line, x = [], 0.0
                continue
            blank = text.isspace()
            text = " " * len(text) if blank else text
            for part in _parts(text, width, size):
                wide = length(part, size)
                if x + wide > width and x > 0:
                    yield line
                    line, x = [], 0.0
                    if blank:
                        continue
                line.append(Run(part, run.color, run.mark))
                x += wide
    yield line


def _parts(word: str, width: int, size: int) -> Iterator[str]:
    """Cut a word that is wider than a line. Nothing is measured that has more characters than a line has pixels."""
    while len(word) > width or length(word, size) > width:
        fits, beyond = 1, min(len(word), width) + 1  # characters, the first is taken whatever its width
        while beyond - fits > 1:
            middle = (fits + beyond) // 2
            if length(word[:middle], size) <= width:
                fits = middle
            else:
                beyond = middle
        yield word[:fits]
        word = word[fits:]
    if word:
        yield word
