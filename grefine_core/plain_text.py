"""Text that came from outside: halves of characters, lines, and what a terminal would take for commands."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

#: Controls of terminals (C0, DEL, C1) but tab and end of line, and marks that turn the order of letters round.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LINE_END = re.compile(r"\r\n|\r|\n")


def mended(text: str) -> str:
    """Half a character (a lone surrogate, as of a cut emoji) becomes U+FFFD, two halves their character.

    Tokenizers, files and terminals take no halves.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def printable(text: str) -> str:
    """Bytes of a file name that are no text, and halves of characters, as escapes: valid UTF-8, and in JSON the same
    text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def visible(text: str) -> str:
    """Control characters as ``\\u001b``: nothing is done to a terminal by what a picture says. JSON stays the same."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def lines_of(text: str) -> list[str]:
    """The lines, as files have them. ``str.splitlines`` ends them at U+2028, form feeds and others as well, which are
    ordinary characters of prompts."""
    return _LINE_END.split(text)


def finite(value: Any) -> Any:
    """JSON has no NaN: None in its place, everywhere in nested lists and dictionaries."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
