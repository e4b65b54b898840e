"""Records of pictures, one JSON line each, so that a run that was ended goes on where it was."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Store:
    """The records of one part of one run, by the pictures' numbers.

    Args:
        path: the file; its first line is the run's fingerprint. A file of another run is begun anew.
        fingerprint: see ``Run.fingerprint``.
        keep: whether what is there already is kept.
    """

    def __init__(self, path: Path, fingerprint: str, keep: bool) -> None:
        self.path = path
        self._records: dict[int, Record] = {}
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        if not (keep and lines and lines[0] == json.dumps({"run": fingerprint})):
            path.write_text(json.dumps({"run": fingerprint}) + "\n", encoding="utf-8")
            return
        whole = []
        for line in lines[1:]:
            try:
                record = json.loads(line)
            except ValueError:
                continue  # The line at which the run was ended.
            self._records[record["index"]] = record
            whole.append(line)
        path.write_text("\n".join([lines[0], *whole]) + "\n", encoding="utf-8")

    def missing(self, count: int) -> list[int]:
        """Numbers below ``count`` without a record."""
        return [index for index in range(count) if index not in self._records]

    def add(self, index: int, record: Record) -> None:
        """Keep a record, in memory and in the file."""
        entry = {"index": index, **record}
        line = json.dumps(entry) + "\n"
        with self._lock:
            self._records[index] = json.loads(line)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line)

    def records(self, count: int) -> list[Record]:
        """Those below ``count``, in order."""
        return [self._records[index] for index in range(count) if index in self._records]
