"""Scores that remember what they are. Imports without the host.

A node that is bypassed hands its inputs on to whoever asked for its outputs, by type alone: behind a bypassed Refine
Plan a stage would take a score for its strength, and repaint a picture the more the better it is. So a score says where
it comes from, and a stage refuses it. What another node computes from a score is a number like any other.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..grefine_core.errors import InputError


class Score(float):
    """A number in [0, 1] that tells how good a picture is, or how much of it is bad; `source` is what gave it."""

    __slots__ = ("source",)

    source: str

    def __new__(cls, value: float, source: str = "another node's score") -> Score:
        """The same number, from `source`."""
        made = super().__new__(cls, value)
        made.source = source
        return made


def scores(values: Iterable[float], source: str) -> list[Score]:
    """One score for each picture."""
    return [Score(value, source) for value in values]


def refuse_scores(values: Iterable[object], name: str) -> None:
    """Refuse scores where a strength is wanted.

    Raises:
        InputError: one of them is a score; the message says whose.
    """
    for value in values:
        if isinstance(value, Score):
            raise InputError(
                f"{name}: this is {value.source} ({value:.2f}), and no strength. A node that is bypassed hands its "
                "inputs on: if Refine Plan is bypassed, switch it on again. To do without it, take away its links, and "
                f"set {name} by hand."
            )
