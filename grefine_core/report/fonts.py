"""Fonts for any language a prompt may be in: Pillow's own, then what the system has, then code points in ASCII."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

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
            shown = f"<U+{ord(character):04X}>"
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
