"""Tables of prompts and opinions in the forms that data sets come in: CSV, TSV, JSON, JSON lines, Excel."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError

SUFFIXES = (".csv", ".tsv", ".xlsx", ".json", ".jsonl")

Row = dict[str, str]


def read_table(path: str | Path) -> list[Row]:
    """Rows as column -> text, in order; empty cells are empty texts.

    JSON is a list of objects, or an object from picture to prompt, or to an object (then the column ``image`` is its
    name); one object a line in JSON lines. Of an Excel file the first sheet is read, its first row names the columns.

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
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({error}); save it in UTF-8, one row for each picture.") from error
    if not rows:
        raise InputError(f"{file}: has no rows.")
    return rows


def _csv(file: Path) -> list[Row]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, delimiter="\t" if file.suffix.lower() == ".tsv" else ",", restval="")
        # Cells beyond the head are those of an unquoted comma: they are kept, for the row to be refused.
        return [{str(name): _text(value) for name, value in row.items()} for row in reader]


def _json(file: Path) -> list[Row]:
    content = json.loads(file.read_text(encoding="utf-8-sig"))
    if isinstance(content, Mapping):
        content = [
            {"image": name, **(value if isinstance(value, Mapping) else {"prompt": value})}
            for name, value in content.items()
        ]
    if not isinstance(content, list):
        raise ValueError("neither a list nor an object")
    return _objects(content)


def _json_lines(file: Path) -> list[Row]:
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    return _objects(json.loads(line) for line in lines if line.strip())


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
    rows = []
    for value in values:
        if not isinstance(value, Mapping):
            raise ValueError(f"{value!r:.80} is not an object")
        rows.append({str(name): _text(item) for name, item in value.items()})
    return rows


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


_READERS = {".csv": _csv, ".tsv": _csv, ".json": _json, ".jsonl": _json_lines, ".xlsx": _excel}
