"""Tables for people (Markdown) and for programs (CSV), and files that are written as a whole."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grefine_core.files import write_text
from grefine_core.plain_text import finite

from .statistics import Estimate


@dataclass(frozen=True)
class Table:
    """A Markdown table with a heading and a sentence about it."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    words: bool = False
    """Cells are words, not figures: none is set to the right."""

    def lines(self) -> list[str]:
        """Markdown."""
        marks = ["---", *["---" if self.words else "---:"] * (len(self.header) - 1)]
        body = ["| " + " | ".join(row) + " |" for row in (self.header, marks, *self.rows)]
        return [f"### {self.title}", "", *([self.note, ""] if self.note else []), *body, ""]


def figure(value: Estimate, digits: int = 3) -> str:
    """A figure with its interval, for a cell."""
    if not math.isfinite(value.value):
        return "–"
    return f"{value.value:.{digits}f} ({value.low:.{digits}f} … {value.high:.{digits}f})"


def number(value: float | None, digits: int = 4) -> str:
    """A bare figure for a cell; a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def cell(text: str) -> str:
    """Any text for a cell: what would end it is escaped."""
    return " ".join(text.replace("|", "\\|").split())


def write_json(path: Path, value: Any) -> Path:
    """Write JSON, as a whole."""
    return write_text(path, json.dumps(finite(value), indent=1, ensure_ascii=False) + "\n")


def write_csv(path: Path, rows: Iterable[Mapping[str, Any]], header: Sequence[str]) -> Path:
    """Write a CSV file, as a whole; None and NaN are empty cells."""
    text = io.StringIO()
    writer = csv.DictWriter(text, header, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "" if value is None else value for key, value in finite(row).items()})
    return write_text(path, text.getvalue())
