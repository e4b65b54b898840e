"""What is finished, on disk: Parquet files, each there as a whole or not at all, and journals of those under way."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from grefine_core.errors import InputError
from grefine_core.files import is_half, written_whole
from grefine_core.plain_text import printable

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
        self._pictures = "refined" in columns

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
        pictures = self.folder.parent / "pictures"
        if self._note.is_file():
            self._remove_halves()
        elif self._pictures and pictures.is_dir() and any(pictures.iterdir()):
            raise InputError(f"{pictures}: is there, and not of an earlier run; choose another folder for the results.")
        write_json(self._note, {"fingerprint": self.fingerprint, **note})
        self.recover()

    def finished(self) -> dict[str, bool]:
        """Key -> whether all went well, of every row in a part.

        Raises:
            InputError: a part is damaged.
        """
        found: dict[str, bool] = {}
        for file in self._files():
            table = _read(file, ["key", "error"])
            errors = table.column("error").to_pylist()
            found.update(zip(table.column("key").to_pylist(), (error is None for error in errors), strict=True))
        return found

    def forget_errors(self) -> None:
        """Take the rows with an error out, so that their pictures are tried again."""
        for file in self._files():
            table = _read(file)
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

    def recover(self) -> None:
        """Make parts of the journals that an ended run has left; nobody else may be working on them."""
        journals = self._open_journals()
        done = self.finished() if journals else {}
        for file in journals:
            rows = [row for row in self.journal(file.stem).everything() if printable(row["key"]) not in done]
            if rows:
                logger.info("%s: %d rows of an ended run are kept.", file, len(rows))
                self.write(part_name([row["key"] for row in rows]), rows)
            file.unlink(missing_ok=True)

    def end(self) -> None:
        """Leave no empty folders of journals."""
        for folder in (self._journals, self._journals.parent):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def _remove_halves(self) -> None:
        """What a killed run was writing."""
        folders = [self.folder, self._journals, *([self.folder.parent / "pictures"] if self._pictures else [])]
        for file in [file for folder in folders for file in folder.rglob(".*") if is_half(file)]:
            file.unlink(missing_ok=True)

    def _table(self, rows: Sequence[Record]) -> Any:
        import pyarrow

        schema = _schema(self._columns).with_metadata({"grefine.run": self.fingerprint})
        clean = [{name: _printable(row.get(name)) for name in self._columns} for row in rows]
        return pyarrow.Table.from_pylist(clean, schema)

    def _replace(self, file: Path, table: Any) -> None:
        with written_whole(file) as scratch:
            parquet().write_table(table, scratch)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))

    def _open_journals(self) -> list[Path]:
        return sorted(self._journals.glob("part-*.jsonl"))

    def _fingerprint_there(self) -> str | None:
        try:
            found = json.loads(self._note.read_text(encoding="utf-8"))["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return str(found)


def _read(file: Path, columns: list[str] | None = None) -> Any:
    import pyarrow

    try:
        return parquet().read_table(file, columns=columns)
    except (OSError, KeyError, ValueError, pyarrow.ArrowException) as error:
        raise InputError(
            f"{file}: this part of earlier results is damaged ({str(error)[:200]}). Remove it, and its pictures are "
            "done again; or --restart."
        ) from error


def _printable(value: Any) -> Any:
    """Parquet takes valid Unicode alone; names of files may be other than that."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {name: _printable(item) for name, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list) else value


def part_name(keys: Sequence[str]) -> str:
    """The same pictures make the same part, whoever works on it."""
    return f"part-{hashlib.blake2b(json.dumps(list(keys)).encode(), digest_size=8).hexdigest()}"


def in_parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """One after the other, ``size`` items each."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _schema(columns: dict[str, str]) -> Any:
    import pyarrow

    phrase = {
        "text": "text",
        "share": "float",
        "score": "float",
        "head_score": "float",
        "modifier_score": "float",
        "defect": "text",
        "style": "bool",
    }
    simple = {"text": pyarrow.string(), "float": pyarrow.float64(), "bool": pyarrow.bool_()}
    phrases = pyarrow.list_(pyarrow.struct([(name, simple[kind]) for name, kind in phrase.items()]))
    kinds = {**simple, "phrases": phrases}
    return pyarrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
