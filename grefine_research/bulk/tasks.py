"""One picture that is to be worked on: small enough that millions of them can be listed and sent about."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from grefine_core.errors import InputError
from grefine_core.pictures import Picture, load_picture
from grefine_core.plain_text import printable

from ..datasets import Dataset


@dataclass(frozen=True)
class Place:
    """Where in a Parquet file a picture's bytes lie: they are read by whoever works on it, and sent nowhere."""

    file: str
    column: str
    group: int
    row: int
    """Within the row group."""


@dataclass(frozen=True)
class Task:
    """A picture with its prompt, or a row of which is known already that there is no picture."""

    key: str
    """Unique in its data set."""
    prompt: str = ""
    image: str = ""
    """The picture's file; of one in a Parquet file its name, for messages."""
    group: str | None = None
    place: Place | None = None
    error: str | None = None
    """Why nothing can be done with it."""

    def picture(self) -> Picture:
        """Read it.

        Raises:
            InputError: it is not there, or not readable.
        """
        if self.error is not None:
            raise InputError(self.error)
        if self.place is None:
            return load_picture(self.image)
        content = content_of(self.place)
        if content is None and not Path(self.image).is_file():
            raise InputError(f"{self.image}: {self.place.column} is empty in this row of {self.place.file}.")
        return load_picture(self.image, content)


def tasks_of(dataset: Dataset) -> list[Task]:
    """A data set's pictures, and behind them, as errors, the rows that it could not use."""
    good = [
        Task(one.key, one.prompt, str(one.image.absolute()), None if one.group is None else str(one.group))
        for one in dataset.examples
    ]
    bad = [Task(one.key, image=str(one.path.absolute()), error=one.reason) for one in dataset.skipped]
    return unique([*good, *bad])


def unique(tasks: Iterable[Task]) -> list[Task]:
    """The second task of one key gets a key that no other has (``KEY#2``, …) and an error, unless it has one already.

    Keys are valid Unicode then, as they have to be in Parquet.
    """
    listed = [replace(task, key=printable(task.key)) for task in tasks]
    taken = {task.key for task in listed}
    counts: dict[str, int] = {}
    found = []
    for task in listed:
        key, number = task.key, counts.get(task.key, 0) + 1
        if number > 1:
            while f"{key}#{number}" in taken:
                number += 1
            taken.add(f"{key}#{number}")
            reason = task.error or f"there is another row with the key {key!r}; the first one is used"
            task = replace(task, key=f"{key}#{number}", error=reason)
        counts[key] = number
        found.append(task)
    return found


def to_json(tasks: Sequence[Task]) -> str:
    """For another process."""
    return json.dumps([asdict(task) for task in tasks])


def from_json(text: str) -> list[Task]:
    """What :func:`to_json` wrote."""
    return [
        Task(**{**entry, "place": None if entry["place"] is None else Place(**entry["place"])})
        for entry in json.loads(text)
    ]


def content_of(place: Place) -> bytes | None:
    """A picture's bytes; None if the row has none.

    Raises:
        InputError: the file cannot be read.
    """
    value = _column(place.file, place.column, place.group)[place.row].as_py()
    return (value.get("bytes") if isinstance(value, dict) else value) or None


# The rows of a part follow each other, so one group at a time is enough.
@lru_cache(maxsize=1)
def _column(file: str, column: str, group: int) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(Path(file)) as source:
            return source.read_row_group(group, columns=[column]).column(column)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{file}: cannot be read ({error}).") from error
