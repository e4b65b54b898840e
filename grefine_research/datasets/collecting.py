"""From rows to examples: each is checked, and either used or reported."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from grefine_core.errors import InputError
from grefine_core.plain_text import mended
from grefine_core.tables import BadRow, Nested, Row

from .pictures import Check, what_is_wrong
from .records import Dataset, Example, Scale, Skipped

#: Names of the splits as data sets write them.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass
class Collector:
    """Gathers examples and what is skipped, in the order of the rows."""

    root: Path
    """What the keys are relative to."""
    entries: list[Example | Skipped] = field(default_factory=list)
    _seen: dict[str, Path] = field(default_factory=dict)

    def add(
        self,
        image: Path,
        prompt: str = "",
        scores: Mapping[str, float] | None = None,
        group: str | None = None,
        split: str | None = None,
    ) -> None:
        """Take one example; its picture is looked at later. A second row of one picture is reported."""
        key = self.key_of(image)
        if key in self._seen:
            self.skip(key, image, "the picture has more than one row; the first one is used")
            return
        self._seen[key] = image
        self.entries.append(Example(key, image, mended(prompt), dict(scores or {}), group, split))

    def skip(self, key: str, path: Path, reason: str) -> None:
        """Report a row that cannot be used."""
        self.entries.append(Skipped(key, path, reason))

    def key_of(self, image: Path) -> str:
        """The picture's path in the data set, or all of it if it lies elsewhere."""
        inside = image.relative_to(self.root) if image.is_relative_to(self.root) else image
        return inside.as_posix()

    def row(
        self,
        number: int,
        row: Row,
        table: Path,
        images: Sequence[Path],
        columns: Columns,
        group: str | None = None,
        split: str | None = None,
    ) -> None:
        """Take one row of a table.

        Args:
            number: of the row, from 1.
            row: its cells.
            table: for reports.
            images: folders to look for the picture in; the first one that has it, else the first one is named.
            columns: what is where.
            group, split: where the row does not say.
        """
        if isinstance(row, BadRow):
            self.skip(f"row {number}", table, f"row {number}: {row.reason}")
            return
        name = row.get(columns.image, "")
        if not name:
            self.skip(f"row {number}", table, f"no file name in the column {columns.image!r}")
            return
        image = _find(name, images)
        key = self.key_of(image)
        if "None" in row:
            self.skip(key, table, f"row {number} has more cells than the table has columns: quote texts with commas")
            return
        used = (columns.image, columns.prompt, columns.group, columns.split)
        if nested := [column for column in used if isinstance(row.get(column or ""), Nested)]:
            self.skip(key, table, f"row {number}: {nested[0]} is {row[nested[0] or '']:.40}, which is no text")
            return
        scores: dict[str, float] = {}
        for score, column in columns.scores.items():
            text = row.get(column, "")
            if not text:
                continue
            value = _number(text)
            if value is None:
                self.skip(key, table, f"row {number}: {column} is {text!r:.40}, which is no number")
                return
            scores[score] = value
        written = row.get(columns.split or "", "") or None
        if written is not None:
            split = SPLIT_NAMES.get(written.lower())
            if split is None:
                self.skip(key, table, f"row {number}: {written!r:.40} is none of train, validation, test")
                return
        prompt = row.get(columns.prompt or "", "")
        self.add(image, prompt, scores, row.get(columns.group or "", "") or group, split)

    def finish(
        self,
        name: str,
        kind: str,
        scales: Mapping[str, Scale],
        *,
        split: str | None = None,
        limit: int | None = None,
        check: Check = "header",
    ) -> Dataset:
        """Look at the pictures and give the data set.

        Args:
            name, kind: of the data set.
            scales: as published; the range of any other score is measured over all rows.
            split: only its examples; what is skipped of others is not reported.
            limit: as many examples, evenly spaced.
            check: how closely pictures are looked at.

        Raises:
            InputError: no such split, or nothing that can be used.
        """
        examples = [entry for entry in self.entries if isinstance(entry, Example)]
        found = _scales(examples, scales)
        skipped = [entry for entry in self.entries if isinstance(entry, Skipped)]
        if split is not None:
            if examples and not any(example.split == split for example in examples):
                known = sorted({example.split for example in examples if example.split})
                raise InputError(f"split: {name} has no {split!r}; it has {', '.join(known) or 'no splits'}.")
            examples = [example for example in examples if example.split == split]
        if limit is not None and limit < len(examples):
            examples = [examples[index * len(examples) // limit] for index in range(limit)]
        with ThreadPoolExecutor(8) as pool:
            faults = list(pool.map(lambda example: what_is_wrong(example.image, check), examples))
        good = []
        for example, fault in zip(examples, faults, strict=True):
            if fault is None:
                good.append(example)
            else:
                skipped.append(Skipped(example.key, example.image, fault))
        if not good:
            reasons = "; ".join(f"{one.path}: {one.reason}" for one in skipped[:3])
            raise InputError(f"{self.root}: {name} has nothing that can be used ({reasons or 'no rows, no pictures'}).")
        return Dataset(name, kind, tuple(good), tuple(skipped), found)


@dataclass(frozen=True)
class Columns:
    """Where a table has what."""

    image: str
    prompt: str | None = None
    scores: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None
    split: str | None = None

    def check(self, rows: Sequence[Row], table: Path) -> Columns:
        """Refuse columns that the table has not.

        Raises:
            InputError: names them and those that there are.
        """
        named = [self.image, self.prompt, self.group, self.split, *self.scores.values()]
        there = {name for row in rows[:50] for name in row}
        missing = [name for name in named if name is not None and name not in there]
        if missing:
            raise InputError(
                f"{table}: has no column {', '.join(map(repr, missing))}; it has {', '.join(sorted(there))}."
            )
        return self

    def only(self, rows: Sequence[Row]) -> Columns:
        """Without the scores and the prompt that the table has not: test splits come without ratings."""
        there = {name for row in rows[:50] for name in row}
        scores = {score: column for score, column in self.scores.items() if column in there}
        return replace(self, scores=scores, prompt=self.prompt if self.prompt in there else None)


def _find(name: str, folders: Sequence[Path]) -> Path:
    # Tables written on Windows have its slashes.
    for spelling in dict.fromkeys((name, PurePosixPath(name.replace("\\", "/")).as_posix())):
        for folder in folders:
            if _is_file(folder / spelling):
                return folder / spelling
    return folders[0] / name


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a NUL
        return False


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _scales(examples: Sequence[Example], given: Mapping[str, Scale]) -> dict[str, Scale]:
    found: dict[str, Scale] = {}
    for score in dict.fromkeys(name for example in examples for name in example.scores):
        if score in given:
            found[score] = given[score]
            continue
        values = [example.scores[score] for example in examples if score in example.scores]
        if min(values) < max(values):
            found[score] = Scale(min(values), max(values), published=False)
        else:  # All alike: a range has to have some width, and nothing can be learned from it anyway.
            found[score] = Scale(min(values) - 1.0, min(values), published=False)
    return found
