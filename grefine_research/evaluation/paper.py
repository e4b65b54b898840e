"""The paper's own figures: all of its Tables 2 to 8, to stand beside ours."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

TABLES = Path(__file__).parents[1] / "data" / "paper_tables.csv"
REFINED = {"DiffusionDB": 2, "GenImage": 3, "AGIQA-1K": 4, "AGIQA-3K": 5}
"""Database -> its table of refined pictures. Which database each of Tables 2 to 5 is of follows from the order in which
the paper's text names them."""
PERCEPTUAL, ALIGNMENT, ABLATION = 6, 7, 8
ORIGINAL, OURS = "Original Images", "G-Refine"


@dataclass(frozen=True)
class Cell:
    """One figure of one table."""

    table: int
    database: str
    method: str
    """Row: an optimizer, an indicator (Tables 6 and 7), or the maps that are used (Table 8)."""
    stages: str
    """Table 8 alone: "1" or "1,2"."""
    measure: str
    """Column: an indicator, "SROCC" or "PLCC"."""
    value: float


@lru_cache(maxsize=1)
def cells() -> tuple[Cell, ...]:
    """All figures, in the file's order."""
    with TABLES.open(encoding="utf-8", newline="") as file:
        return tuple(
            Cell(int(row["table"]), row["database"], row["method"], row["stages"], row["measure"], float(row["value"]))
            for row in csv.DictReader(file)
        )


def of_table(table: int, database: str | None = None) -> list[Cell]:
    """The figures of one table, of one database if it is named."""
    return [cell for cell in cells() if cell.table == table and database in (None, cell.database)]


def value(table: int, database: str, method: str, measure: str, stages: str = "") -> float | None:
    """One figure; None if the paper has none."""
    wanted = (table, database, method, stages, measure)
    for cell in cells():
        if (cell.table, cell.database, cell.method, cell.stages, cell.measure) == wanted:
            return cell.value
    return None


def database_of(name: str, table: int) -> str | None:
    """The paper's name of a data set in one table, whatever its case; None if the table has no such database."""
    known = {cell.database.casefold(): cell.database for cell in of_table(table)}
    return known.get(name.casefold())
