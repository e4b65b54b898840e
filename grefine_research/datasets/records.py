"""What every data set is brought to: pictures with prompts and ratings, and what had to be left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class Example:
    """One picture that is there, with what is known of it."""

    key: str
    """Stable and unique within its data set: the picture's path in it, with forward slashes."""
    image: Path
    """The picture's file."""
    prompt: str = ""
    """What it was asked to show; empty where the data set has no prompts."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Ratings as published, raw: ``perception``, ``alignment``, ``mos``, or a factor of PQ-Map; finite numbers. Those
    that this picture lacks are not among them. :attr:`Dataset.scales` has their ranges."""
    group: str | None = None
    """The generator that made it."""
    split: str | None = None
    """``train``, ``validation`` or ``test`` where the data set says so."""


@dataclass(frozen=True)
class Skipped:
    """A row that cannot be used."""

    key: str
    """As it would have been in :class:`Example`, or ``row 17`` where not even that can be read."""
    path: Path
    """The picture looked for, or the table that has the row."""
    reason: str


@dataclass(frozen=True)
class Scale:
    """The range in which ratings were given."""

    low: float
    high: float
    published: bool = True
    """False: measured, the least and the greatest in the whole table."""

    def unit(self, value: float) -> float:
        """``value`` brought to [0, 1], 1 is good; beyond the range it is clamped. A range from high to low turns it
        round."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


@dataclass(frozen=True)
class Dataset:
    """A data set as it is on disk."""

    name: str
    """For reports: ``AGIQA-3K``, or the folder's name."""
    kind: str
    """What :func:`open_dataset` was asked for."""
    examples: tuple[Example, ...]
    skipped: tuple[Skipped, ...] = ()
    scales: Mapping[str, Scale] = field(default_factory=dict)
    """Score -> its range, for every score that any row of the data set has."""

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that its examples have, in the order of training, validation, test."""
        found = {example.split for example in self.examples if example.split is not None}
        return tuple(name for name in ("train", "validation", "test") if name in found)

    def of_split(self, split: str) -> Dataset:
        """The examples of one split; what was skipped stays as it is."""
        return replace(self, examples=tuple(example for example in self.examples if example.split == split))

    def unit_scores(self, score: str) -> list[float | None]:
        """One rating of every example in [0, 1], 1 is good; None where it has none."""
        scale = self.scales.get(score)
        return [
            None if scale is None or score not in example.scores else scale.unit(example.scores[score])
            for example in self.examples
        ]
