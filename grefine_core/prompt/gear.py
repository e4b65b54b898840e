"""What a picture is said to be taken with: "shot on Kodak Portra 400", "Summilux 50mm", "ISO 100, f/2.8".

Cameras, lenses and films are style, and their names look like names of things to a tagger. A part of a prompt is gear
if it has a make, a focal length or an aperture, and nothing else but numbers, models and words about cameras.
"""

from __future__ import annotations

import re
from functools import lru_cache
from types import MappingProxyType

from .syntax.lexicon import common_words, read_sections

_LONGEST = 120  # characters; a list of gear is cut at its commas
_SIGN = re.compile(
    r"(?<![\w.])(?:\d{1,4}(?:\.\d)?(?:[-–]\d{1,4})?[ ]?mm|[fƒt][ ]?/?[ ]?\d{1,2}(?:\.\d)?"
    r"|iso[ ]?\d{2,6}|1/\d{2,5}s?)(?![\w-])",
    re.IGNORECASE,
)
_TAKEN = re.compile(
    r"\s*(?:(?:photo(?:graph)?|picture|image|footage)[ ])?(?:shot|taken|captured|photographed|filmed|recorded|made)[ ]"
    r"(?:on|with|using|by|through|in)[ ]",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"\s*(?:an?|the|my|his|her|their)\s", re.IGNORECASE)
_WORD = re.compile(r"[^\s,()\[\]/]+")


@lru_cache(maxsize=1)
def _lists() -> MappingProxyType[str, frozenset[str]]:
    sections = read_sections("parts.txt")
    return MappingProxyType({name: frozenset(sections[name]) for name in ("gear-makes", "gear-words", "gear-or-thing")})


def is_gear(piece: str) -> bool:
    """Whether a part of a prompt names cameras, lenses, films and their settings, and nothing else."""
    if not piece.strip() or len(piece) > _LONGEST:
        return False
    taken = _TAKEN.match(piece)
    if taken is None and _ARTICLE.match(piece):
        return False  # "a Leica camera" may lie on a table
    lists = _lists()
    sign = False
    rest = piece[taken.end() :] if taken is not None else piece
    for match in _SIGN.finditer(rest):
        sign = True
        rest = rest[: match.start()] + " " * (match.end() - match.start()) + rest[match.end() :]
    for word in _WORD.findall(rest):
        plain = word.strip(".:;'\"-–").lower()
        if plain in lists["gear-makes"] or (taken is not None and plain in lists["gear-or-thing"]):
            sign = True
        elif not (
            not plain
            or plain in lists["gear-words"]
            or plain in lists["gear-or-thing"]
            or _is_model(word, taken is not None)
        ):
            return False
    return sign


def _is_model(word: str, taken: bool) -> bool:
    """Whether a word looks like the name of a model: "R5", "GM", "XF", "Otus", "400"; behind "shot on" any capital."""
    if any(character.isdigit() for character in word):
        return True
    if word.isupper() and len(word) <= 4:
        return True
    return word[:1].isupper() and (taken or word.lower() not in common_words())
