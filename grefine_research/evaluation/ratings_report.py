"""The pages, tables and plots of indicators against ratings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grefine_core.files import write_text

from . import paper
from .indicators.protocol import Kind
from .ratings import ALL, GROUP, SPLIT, Line, RatingResults, paper_figures
from .scoring import Failure
from .statistics import Estimate
from .tables import Table, cell, figure, number, write_csv, write_json

NAME = "indicators"
_TABLES: dict[Kind, tuple[int, str]] = {
    "perceptual": (paper.PERCEPTUAL, "Perceptual quality"),
    "alignment": (paper.ALIGNMENT, "Alignment with the prompt"),
}
NOTE = (
    "SROCC: Spearman; PLCC: Pearson, of the raw scores and after the customary logistic fit with four parameters; in "
    "brackets 95 % bootstrap intervals over pictures. Indicators for which lower is better are turned round."
)


def write_ratings(result: RatingResults, out: Path) -> Path:
    """Write ``indicators.md``, ``.json``, ``.csv`` and ``indicators_scores.csv``; returns the page."""
    write_json(out / f"{NAME}.json", as_json(result))
    write_csv(out / f"{NAME}.csv", [_row(line) for line in result.lines], list(_HEADER))
    _write_scores(result, out / f"{NAME}_scores.csv")
    return write_text(out / f"{NAME}.md", "\n".join(_page(result, out)) + "\n")


def as_json(result: RatingResults) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "dataset": result.dataset.name,
        "pictures": len(result.dataset),
        "paper's database": result.database or None,
        "lines": [{**_row(line), "curve": line.found.curve} for line in result.lines],
        "not run": {scored.spec.name: scored.obstacle for scored in result.scored if scored.obstacle is not None},
        "failures": [failure.entry() for failure in result.failures],
        "skipped": [skipped_entry(row) for row in result.dataset.skipped],
    }


def skipped_entry(row: Any) -> dict[str, str]:
    """A skipped row of a data set, for JSON."""
    return {"key": row.key, "path": str(row.path), "reason": row.reason}


_HEADER = ("indicator", "title", "kind", "opinion", "part", "name", "pictures",
           "srocc", "srocc_low", "srocc_high", "plcc", "plcc_low", "plcc_high",
           "plcc_fitted", "plcc_fitted_low", "plcc_fitted_high", "paper_srocc", "paper_plcc")  # fmt: skip


def _row(line: Line) -> dict[str, Any]:
    found = line.found
    row: dict[str, Any] = {
        "indicator": line.spec.name,
        "title": line.spec.title,
        "kind": line.spec.kind,
        "opinion": line.rating,
        "part": line.part,
        "name": line.name,
        "pictures": found.count,
    }
    for name in ("srocc", "plcc", "plcc_fitted"):
        estimate: Estimate = getattr(found, name)
        row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {**row, "paper_srocc": line.paper_srocc, "paper_plcc": line.paper_plcc}


def _page(result: RatingResults, out: Path) -> list[str]:
    dataset = result.dataset
    lines = [f"# Indicators against ratings: {cell(dataset.name)}", "", f"{len(dataset)} pictures. {NOTE}", ""]
    if result.database:
        lines += [
            f"The paper's figures are those of its Tables 6 and 7 for {result.database}; it does not say whether its "
            "PLCC is that of raw scores.",
            "",
        ]
    for kind, (table, title) in _TABLES.items():
        of_kind = [line for line in result.lines if line.spec.kind == kind]
        if not of_kind:
            continue
        lines += _main(
            f"{title} (Table {table})", [line for line in of_kind if line.part == ALL], _absent(result, kind)
        )
        for part, what in ((GROUP, "by generator"), (SPLIT, "by split")):
            lines += _by_part(f"{title}, {what}: SROCC", [line for line in of_kind if line.part == part])
    lines += not_run([(scored.spec.title, scored.spec.licence, scored.obstacle) for scored in result.scored])
    lines += failures(result.failures, [skipped_entry(row) for row in dataset.skipped])
    shown = [name for name in (f"{NAME}_srocc.png", f"{NAME}_scatter.png") if (out / name).is_file()]
    return lines + [line for name in shown for line in (f"![{name}]({name})", "")]


def _absent(result: RatingResults, kind: Kind) -> list[list[str]]:
    """Rows of the indicators that did not run, for which the paper has figures."""
    rows = []
    for scored in result.scored:
        theirs = paper_figures(scored.spec, result.database)
        if scored.obstacle is not None and scored.spec.kind == kind and theirs[0] is not None:
            rows.append([cell(scored.spec.title), *["not run"] * 4, *(number(value) for value in theirs), "–"])
    return rows


def _main(title: str, lines: Sequence[Line], more: list[list[str]]) -> list[str]:
    header = ("indicator", "opinion", "SROCC", "PLCC", "PLCC, fitted", "SROCC, paper", "PLCC, paper", "pictures")
    rows = [
        [
            cell(line.spec.title),
            line.rating,
            *(figure(estimate, 4) for estimate in (line.found.srocc, line.found.plcc, line.found.plcc_fitted)),
            number(line.paper_srocc),
            number(line.paper_plcc),
            str(line.found.count),
        ]
        for line in lines
    ]
    return Table(title, header, [*rows, *more]).lines()


def _by_part(title: str, lines: Sequence[Line]) -> list[str]:
    if not lines:
        return []
    names = list(dict.fromkeys(line.name for line in lines))
    found = {(line.spec.title, line.name): line.found.srocc for line in lines}
    counts = {line.name: line.found.count for line in lines}
    titles = list(dict.fromkeys(line.spec.title for line in lines))
    header = ("indicator", *(f"{cell(name)} ({counts[name]})" for name in names))
    return Table(title, header, [[cell(one), *(figure(found[one, name]) for name in names)] for one in titles]).lines()


def not_run(specs: Sequence[tuple[str, str, str | None]]) -> list[str]:
    """Which indicators ran under which licence, and which did not, and why: (title, licence, obstacle)."""
    rows = [[cell(title), cell(licence), cell(obstacle or "ran")] for title, licence, obstacle in specs]
    return Table("Indicators and licences", ("indicator", "licence", "ran?"), rows, words=True).lines()


def failures(failed: Sequence[Failure], skipped: Sequence[dict[str, str]]) -> list[str]:
    """Pictures that something could not be done with; nothing if there are none."""
    rows = [[cell(one.key), cell(one.what), cell(one.reason)] for one in failed]
    rows += [[cell(one["key"]), "reading the data set", cell(one["reason"])] for one in skipped]
    most = 100
    note = f"The first {most} of {len(rows)}; all are in the JSON file." if len(rows) > most else ""
    return Table("Failed", ("picture", "what", "why"), rows[:most], note, words=True).lines() if rows else []


def _write_scores(result: RatingResults, file: Path) -> None:
    scores = list(result.dataset.scales)
    ran = [scored for scored in result.scored if scored.obstacle is None]
    header = ["key", "group", "split", *(f"opinion:{name}" for name in scores), *(one.spec.name for one in ran)]
    rows = [
        {
            "key": example.key,
            "group": example.group,
            "split": example.split,
            **{f"opinion:{name}": example.scores.get(name) for name in scores},
            **{one.spec.name: one.values.get(example.key) for one in ran},
        }
        for example in result.dataset.examples
    ]
    write_csv(file, rows, header)
