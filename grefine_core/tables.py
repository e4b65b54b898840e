"""Tables of prompts and ratings in the forms that data sets come in: CSV, TSV, JSON, JSON lines, Excel."""

from __future__ import annotations

import codecs
import csv
import io
import json
import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .errors import InputError
from .plain_text import lines_of

logger = logging.getLogger(__name__)

SUFFIXES = (".csv", ".tsv", ".xlsx", ".json", ".jsonl")

Row = dict[str, str]


class BadRow(dict[str, str]):
    """A row that cannot be read; it has no cells."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class Nested(str):
    """A cell of JSON that is a list or an object, in Python's spelling, which is nothing to be measured."""


def read_table(path: str | Path) -> list[Row]:
    """Rows as column -> text, in order; empty cells are empty texts.

    JSON is a list of objects, or an object from picture to prompt, or to an object (then the column ``image`` is its
    name); one object a line in JSON lines. Of an Excel file the first sheet is read, its first row names the columns.

    A line of JSON lines, or an entry of a list, that is no object is a :class:`BadRow`: the others can be used.

    Raises:
        InputError: no such file, another form, no rows, or Excel without openpyxl.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file}: no such table.")
    if file.suffix.lower() not in SUFFIXES:
        raise InputError(f"{file}: a table has to end with {', '.join(SUFFIXES)}.")
    try:
        rows = _READERS[file.suffix.lower()](file)
    except (csv.Error, ValueError, RecursionError) as error:
        raise InputError(f"{file}: cannot be read ({error}); save it in UTF-8, one row for each picture.") from error
    if bad := [row.reason for row in rows if isinstance(row, BadRow)]:
        if len(bad) == len(rows):
            raise InputError(f"{file}: cannot be read ({bad[0]}); save it in UTF-8, one row for each picture.")
        logger.warning("%s: %d of %d rows cannot be read (%s)", file, len(bad), len(rows), bad[0])
    if not rows:
        raise InputError(f"{file}: has no rows.")
    return rows


def read_csv(file: Path) -> list[Row]:
    """The rows of a CSV file, or of a TSV file by its ending.

    Raises:
        OSError: it cannot be read.
        ValueError, csv.Error: it is none (a quotation mark is never closed, two columns have one name), or in another
            encoding.
    """
    content = _content(file)
    usual = csv.field_size_limit(max(len(content), csv.field_size_limit()))  # a prompt may be of any length
    try:
        stream = io.StringIO(content, newline="")
        separator = "\t" if file.suffix.lower() == ".tsv" else ","
        # Strictly: a quotation mark that is never closed would make one text of all rows behind it.
        reader = csv.DictReader(stream, delimiter=separator, restval="", strict=True)
        if twice := [name for name, count in Counter(reader.fieldnames or ()).items() if name and count > 1]:
            raise ValueError(f"two columns are called {twice[0]!r}")
        # Cells beyond the head are those of an unquoted comma: they are kept, for the row to be refused.
        return [{str(name): str(value or "").strip() for name, value in row.items()} for row in reader]
    finally:
        csv.field_size_limit(usual)


def _json(file: Path) -> list[Row]:
    content = json.loads(_content(file))
    if isinstance(content, Mapping):
        content = [
            {"image": name, **(value if isinstance(value, Mapping) else {"prompt": value})}
            for name, value in content.items()
        ]
    if not isinstance(content, list):
        raise ValueError("neither a list nor an object")
    return _objects(content)


def _json_lines(file: Path) -> list[Row]:
    return _objects(_line(line) for line in lines_of(_content(file)) if line.strip())


def _line(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadRow(f"is no JSON ({error})")


def _content(file: Path) -> str:
    """A file's text: UTF-8, or UTF-16 where it begins with a mark of that, as Excel's "Unicode text" does."""
    content = file.read_bytes()
    return content.decode("utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")


def _excel(file: Path) -> list[Row]:
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise InputError(
            f"{file}: Excel files need openpyxl (pip install 'g-refine[train]'); or save it as CSV, and give that."
        ) from error
    from zipfile import BadZipFile

    try:
        book = load_workbook(file, read_only=True, data_only=True)
    except (BadZipFile, KeyError, OSError) as error:
        raise ValueError(f"no Excel file: {error}") from error
    try:
        lines = [list(line) for line in book.worksheets[0].iter_rows(values_only=True)]
    finally:
        book.close()
    head = [_text(name) for name in lines[0]] if lines else []
    filled = [line for line in lines[1:] if any(value is not None for value in line)]
    return [dict(zip(head, map(_text, line), strict=False)) for line in filled]


def _objects(values: Iterable[Any]) -> list[Row]:
    rows: list[Row] = []
    for value in values:
        if isinstance(value, BadRow):
            rows.append(value)
        elif not isinstance(value, Mapping):
            rows.append(BadRow(f"{value!r:.80} is not an object"))
        else:
            rows.append({str(name): _text(item) for name, item in value.items()})
    return rows


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):  # NaN: nothing there, as pandas writes it
        return ""
    return Nested(value) if isinstance(value, list | Mapping) else str(value).strip()


_READERS = {".csv": read_csv, ".tsv": read_csv, ".json": _json, ".jsonl": _json_lines, ".xlsx": _excel}
