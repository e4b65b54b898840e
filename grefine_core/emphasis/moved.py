"""Finding a prompt's phrases in the same prompt with other weights: in what an earlier emphasis made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .weights import characters

Spans = tuple[tuple[int, int], ...]


def places(original: str, prompt: str) -> dict[int, int] | None:
    """Return offset in ``original`` -> offset in ``prompt`` of every character that the host reads as text.

    ``None`` if they are not the same text with other weights.
    """
    before, after = characters(original), characters(prompt)
    if [character for _, character, _ in before] != [character for _, character, _ in after]:
        return None
    return {old[0]: new[0] for old, new in zip(before, after, strict=True)}


def move(spans: Iterable[tuple[int, int]], where: Mapping[int, int]) -> Spans:
    """Return ``spans`` at their new places, as maximal ranges without markup in between."""
    moved: list[tuple[int, int]] = []
    for start, end in spans:
        for position in (where[old] for old in range(start, end) if old in where):
            if moved and moved[-1][1] == position:
                moved[-1] = (moved[-1][0], position + 1)
            else:
                moved.append((position, position + 1))
    return tuple(moved)
