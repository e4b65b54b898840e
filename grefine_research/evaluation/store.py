"""Records of pictures, one JSON line each, so that a run that was ended goes on where it was."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

from grefine_core.files import write_text

Record = dict[str, Any]
Key = TypeVar("Key", bound="str | int")


class Store(Generic[Key]):
    """The records of one part of one run, by the pictures' keys.

    Args:
        path: the file; its first line is the run's fingerprint. A file of another run is begun anew.
        fingerprint: of all that the records depend on but the pictures themselves.
        keep: whether what is there already is kept.
        field: the records' entry that has the key.
    """

    def __init__(self, path: Path, fingerprint: str, keep: bool = True, field: str = "key") -> None:
        self.path = path
        self._field = field
        self._records: dict[Key, Record] = {}
        self._lock = threading.Lock()
        lines = path.read_text(encoding="ascii", errors="replace").split("\n") if path.is_file() else []
        head = json.dumps({"run": fingerprint})
        if not (keep and lines and lines[0] == head):
            self._begin([head])
            return
        whole = []
        for line in lines[1:]:
            try:
                record = json.loads(line)
            except ValueError:
                continue  # The line at which the run was ended.
            self._records[record[field]] = record
            whole.append(line)
        # A file that ends as it should has nothing behind the last end of a line.
        if lines[1:] != [*whole, ""]:
            self._begin([head, *whole])

    def _begin(self, lines: list[str]) -> None:
        """As a whole: who is interrupted here has lost nothing."""
        write_text(self.path, "\n".join(lines) + "\n")

    def get(self, key: Key) -> Record | None:
        """The record of one picture, None if there is none."""
        return self._records.get(key)

    def missing(self, keys: Iterable[Key]) -> list[Key]:
        """Those without a record."""
        return [key for key in keys if key not in self._records]

    def add(self, key: Key, record: Record) -> None:
        """Keep a record, in memory and in the file."""
        entry = {self._field: key, **record}
        line = json.dumps(entry) + "\n"
        with self._lock:
            self._records[key] = json.loads(line)
            with self.path.open("a", encoding="ascii") as file:
                file.write(line)

    def everything(self) -> list[Record]:
        """All records, in the order in which they were added."""
        return list(self._records.values())

    def records(self, keys: Iterable[Key]) -> list[Record]:
        """Those that are there, in the order of the keys."""
        return [self._records[key] for key in keys if key in self._records]
