"""What is finished, on disk: Parquet files, each there as a whole or not at all, and journals of those under way."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..evaluation.store import Record, Store
from ..evaluation.tables import write_json

logger = logging.getLogger(__name__)

#: Columns that every table begins with; ``error`` is empty where all went well.
COMMON = ("key", "image", "prompt", "group", "error")


def parquet() -> Any:
    """The module ``pyarrow.parquet``.

    Raises:
        InputError: it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InputError("Parquet needs pyarrow: pip install 'g-refine[bulk]'.") from error
    return pyarrow.parquet


class Parts:
    """The results of one kind in one folder: ``<what>/part-*.parquet``.

    A row is in a journal (``unfinished/<what>``, JSON lines) as soon as its picture is finished, and in a Parquet file
    as soon as its part is. No row of a killed run is lost: the next one makes parts of the journals first.

    Args:
        folder: of all results, which all workers see.
        what: ``scores`` or ``refined``.
        columns: column -> Arrow type in words (``float``, ``text``, ``bool``, ``phrases``), beside the common ones.
        fingerprint: of all that the rows depend on but the pictures.
    """

    def __init__(self, folder: Path, what: str, columns: dict[str, str], fingerprint: str) -> None:
        self.what = what
        self.folder = folder / what
        self.fingerprint = fingerprint
        self._columns = {**dict.fromkeys(COMMON, "text"), **columns}
        self._journals = folder / "unfinished" / what
        self._note = folder / f"{what}_run.json"

    def begin(self, note: dict[str, Any], anew: bool = False) -> None:
        """Make the folder ready, and the journals that a killed run has left into parts.

        Args:
            note: what the run was made with, for ``<what>_run.json``.
            anew: forget what is there.

        Raises:
            InputError: what is there was made with other models, options or data.
        """
        if anew:
            for file in [*self._files(), *self._open_journals()]:
                file.unlink()
        elif (self._files() or self._open_journals()) and self._fingerprint_there() != self.fingerprint:
            raise InputError(
                f"{self.folder}: holds results of other models, options or data (see {self._note.name} beside it); "
                "choose another folder, or --restart to replace them."
            )
        for file in self.folder.glob(".part-*"):
            file.unlink()  # half written
        write_json(self._note, {"fingerprint": self.fingerprint, **note})
        self._recover()

    def finished(self) -> dict[str, bool]:
        """Key -> whether all went well, of every row in a part."""
        found: dict[str, bool] = {}
        for file in self._files():
            table = parquet().read_table(file, columns=["key", "error"])
            errors = table.column("error").to_pylist()
            found.update(zip(table.column("key").to_pylist(), (error is None for error in errors), strict=True))
        return found

    def forget_errors(self) -> None:
        """Take the rows with an error out, so that their pictures are tried again."""
        for file in self._files():
            table = parquet().read_table(file)
            good = table.filter(table.column("error").is_null())
            if not len(good):
                file.unlink()
            elif len(good) < len(table):
                self._replace(file, good)

    def journal(self, name: str) -> Store[str]:
        """The finished rows of a part that is under way."""
        return Store(self._journals / f"{name}.jsonl", self.fingerprint)

    def write(self, name: str, rows: Sequence[Record]) -> Path:
        """Write a part and end its journal."""
        file = self.folder / f"{name}.parquet"
        self._replace(file, self._table(rows))
        (self._journals / f"{name}.jsonl").unlink(missing_ok=True)
        return file

    def end(self) -> None:
        """Leave no empty folders of journals."""
        for folder in (self._journals, self._journals.parent):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def _recover(self) -> None:
        journals = self._open_journals()
        done = self.finished() if journals else {}
        for file in journals:
            rows = [row for row in self.journal(file.stem).everything() if row["key"] not in done]
            if rows:
                logger.info("%s: %d rows of an ended run are kept.", file, len(rows))
                self.write(part_name([row["key"] for row in rows]), rows)
            file.unlink(missing_ok=True)

    def _table(self, rows: Sequence[Record]) -> Any:
        import pyarrow

        schema = _schema(self._columns).with_metadata({"grefine.run": self.fingerprint})
        return pyarrow.Table.from_pylist([{name: row.get(name) for name in self._columns} for row in rows], schema)

    def _replace(self, file: Path, table: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        scratch = file.with_name(f".{file.name}")
        parquet().write_table(table, scratch)
        scratch.replace(file)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))

    def _open_journals(self) -> list[Path]:
        return sorted(self._journals.glob("*.jsonl"))

    def _fingerprint_there(self) -> str | None:
        try:
            found = json.loads(self._note.read_text(encoding="utf-8"))["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return str(found)


def part_name(keys: Sequence[str]) -> str:
    """The same pictures make the same part, whoever works on it."""
    return f"part-{hashlib.blake2b(json.dumps(list(keys)).encode(), digest_size=8).hexdigest()}"


def in_parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """One after the other, ``size`` items each."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _schema(columns: dict[str, str]) -> Any:
    import pyarrow

    phrase = {"text": "text", "score": "float", "head_score": "float", "defect": "text", "style": "bool"}
    simple = {"text": pyarrow.string(), "float": pyarrow.float64(), "bool": pyarrow.bool_()}
    phrases = pyarrow.list_(pyarrow.struct([(name, simple[kind]) for name, kind in phrase.items()]))
    kinds = {**simple, "phrases": phrases}
    return pyarrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
