"""Raising the weights of parts of a prompt, in the host's syntax and without touching anything else."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..markup import Reading, Segment, open_parentheses, read, spans
from .seams import Seams

_log = logging.getLogger(__name__)

CLOSE_ENOUGH = 0.005
"""Weights are written with two decimals; less than half of the last one is no difference."""


@dataclass(frozen=True)
class _Edit:
    """One change: ``prompt[start:end]`` gets the weight ``target``."""

    start: int
    end: int
    target: float
    writes: tuple[tuple[int, int, str], ...]
    """(from, to, text): what is put in the place of ``prompt[from:to]``, from left to right."""


def raise_weights(prompt: str, targets: Sequence[tuple[int, int, float]]) -> str:
    """Return ``prompt`` with every range ``(start, end, target)`` at an effective weight of ``target`` at least.

    A range that fills its own ``(…:w)`` group gets a new number there, any other its own parentheses; a number sets the
    weight whatever stands around it. The result is read the host's way once more, and an edit that would change
    anything but the weights it is for is left out.
    """
    edits = _edits(prompt, targets)
    if not edits:
        return prompt
    changed = _apply(prompt, edits)
    if not _harmless(prompt, edits, changed):
        edits = _harmless_ones(prompt, edits)
        changed = _apply(prompt, edits)
    return changed


def _edits(prompt: str, targets: Sequence[tuple[int, int, float]]) -> list[_Edit]:
    wanted = [0.0] * len(prompt)
    for start, end, target in targets:
        for position in range(start, end):
            wanted[position] = max(wanted[position], target)
    tags = spans(prompt)
    for span in tags:
        if span.kind not in ("text", "escape"):
            wanted[span.start : span.end] = [0.0] * (span.end - span.start)
    seams = Seams(prompt, tags)
    reading = read(prompt)
    edits = []
    for segment in reading.segments:
        level, counted = 0, segment.start
        for start, end in _runs(wanted, segment):
            target = wanted[start]
            # "not below" and not "at least": a weight of nan is nobody's to repair.
            if not segment.weight < target - CLOSE_ENOUGH or not math.isfinite(segment.weight):
                continue
            cut = seams.tighten(start, end, segment)
            if cut is not None:
                edit = _edit(prompt, reading, segment, *cut, target)
                # Parentheses that the host took for text: among them it takes more of them for text, too.
                level, counted = level + open_parentheses(prompt, counted, edit.start), edit.start
                if level == 0:
                    edits.append(edit)
                else:
                    _log.info("Not emphasised, the markup around it is ambiguous: %r", prompt[start:end])
            elif any(character.isalnum() for character in prompt[start:end]):
                _log.info("Not emphasised, it cannot be cut out of its surroundings: %r", prompt[start:end])
    return edits


def _runs(wanted: list[float], segment: Segment) -> list[tuple[int, int]]:
    """Return the maximal ranges of one target above 0 within ``segment``."""
    found = []
    start = segment.start
    for position in range(segment.start + 1, segment.end + 1):
        if position == segment.end or wanted[position] != wanted[start]:
            if wanted[start] > 0:
                found.append((start, position))
            start = position
    return found


def _edit(prompt: str, reading: Reading, segment: Segment, start: int, end: int, target: float) -> _Edit:
    number = f":{target:.2f})"
    if segment.group is not None:
        group = reading.groups[segment.group]
        fills = (segment.start, segment.end) == (group.start + 1, group.content_end)
        if fills and prompt[segment.start : segment.end].strip() == prompt[start:end]:
            return _Edit(segment.start, segment.end, target, ((group.content_end, group.end, number),))
    return _Edit(start, end, target, ((start, start, "("), (end, end, number)))


def _apply(prompt: str, edits: Sequence[_Edit]) -> str:
    pieces = []
    position = 0
    # Where one range ends and the next begins, the first is closed before the other is opened.
    ordered = sorted(edits, key=lambda edit: edit.start)
    for start, end, text in sorted((write for edit in ordered for write in edit.writes), key=lambda write: write[:2]):
        pieces += [prompt[position:start], text]
        position = end
    return "".join([*pieces, prompt[position:]])


def _harmless(prompt: str, edits: Sequence[_Edit], changed: str) -> bool:
    """Whether ``changed`` is ``prompt`` to the host, but for the weights that ``edits`` are for."""
    targets: list[float | None] = [None] * len(prompt)
    for edit in edits:
        targets[edit.start : edit.end] = [edit.target] * (edit.end - edit.start)
    expected = [
        (position, character, weight if (target := targets[position]) is None else target)
        for position, character, weight in characters(prompt)
    ]
    after = characters(changed)
    return len(expected) == len(after) and all(
        a[1] == b[1] and (a[2] == b[2] or (math.isnan(a[2]) and math.isnan(b[2])))
        for a, b in zip(expected, after, strict=True)
    )


def _harmless_ones(prompt: str, edits: Sequence[_Edit]) -> list[_Edit]:
    """Return the edits that can be made one after the other; asked again until no more of them fits.

    Many at once where they fit together: each question reads the whole prompt.
    """
    kept: list[_Edit] = []
    left = list(edits)
    while left:
        refused: list[_Edit] = []
        groups = [left]
        while groups:
            group = groups.pop()
            tried = [*kept, *group]
            if _harmless(prompt, tried, _apply(prompt, tried)):
                kept = tried
            elif len(group) == 1:
                refused += group
            else:
                middle = len(group) // 2
                groups += [group[middle:], group[:middle]]
        if len(refused) == len(left):
            break
        left = refused
    for edit in left:
        _log.info("Not emphasised, the markup around it is ambiguous: %r", prompt[edit.start : edit.end])
    return kept


def characters(prompt: str) -> list[tuple[int, str, float]]:
    """Return (offset, character, weight) of all that reaches the tokenizer."""
    found = []
    for segment in read(prompt).segments:
        for position in range(segment.start, segment.end):
            if prompt[position] == "\\" and prompt[position + 1 : position + 2] in ("(", ")"):
                continue
            found.append((position, prompt[position], segment.weight))
    return found
