"""Putting results into words for the user. Imports without the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..grefine_core.alignment.results import PhraseQuality


def phrase_lines(phrases: Sequence[PhraseQuality], include_style: bool = False) -> str:
    """The phrases of one picture in words, one to a line, in the prompt's order."""
    if not phrases:
        return "The prompt names nothing to look for."
    return "\n".join(_line(quality, phrases, include_style) for quality in phrases)


def _line(quality: PhraseQuality, phrases: Sequence[PhraseQuality], include_style: bool) -> str:
    text = quality.phrase.text
    if quality.phrase.is_style and not include_style:
        return f"{text}: style, left out"
    if quality.defect == "none":
        return f"{text}: matched ({quality.score:.2f})"
    place = "the whole picture" if quality.region is None else f"the region of '{phrases[quality.region].phrase.text}'"
    if quality.defect == "noun":
        return f"{text}: not there ({quality.head_score:.2f}), to be drawn in {place}"
    return f"{text}: there, but not as described ({quality.score:.2f}), to be redrawn in {place}"
