"""The pages, tables and plots of pictures before and after refinement."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from grefine_core.files import write_text

from . import paper
from .before_after import ORIGINAL, BeforeAfter, Change, Version
from .indicators.protocol import Spec
from .ratings_report import failures, not_run, skipped_entry
from .tables import Table, cell, figure, number, write_csv, write_json

NAME = "refine"
_MEASURES = ("PickScore", "Q-Align")
"""The indicators of Table 8."""


def write_before_after(result: BeforeAfter, out: Path) -> Path:
    """Write ``refine.md``, ``.json``, ``.csv`` and ``refine_scores.csv``; returns the page."""
    write_json(out / f"{NAME}.json", as_json(result))
    write_csv(out / f"{NAME}.csv", [_row(result, one) for one in result.changes], list(_HEADER))
    _write_scores(result, out / f"{NAME}_scores.csv")
    return write_text(out / f"{NAME}.md", "\n".join(_page(result, out)) + "\n")


def as_json(result: BeforeAfter) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "dataset": result.dataset.name,
        "pictures": len(result.dataset),
        "paper's database": result.database or None,
        "changes": [_row(result, one) for one in result.changes],
        "refinement": {version.name: _summary(result, version) for version in result.versions if version.row},
        "not run": {name: obstacle for name, obstacle in result.obstacles.items() if obstacle is not None},
        "failures": [failure.entry() for failure in result.failures],
        "skipped": [skipped_entry(row) for row in result.dataset.skipped],
    }


_HEADER = ("indicator", "title", "lower_is_better", "version", "group", "pictures", "mean", "mean_low", "mean_high",
           "gain", "gain_low", "gain_high", "improved", "paper", "paper_gain")  # fmt: skip


def _row(result: BeforeAfter, one: Change) -> dict[str, Any]:
    value = paper_mean(result, one.spec, one.version) if not one.group else None
    return {
        "indicator": one.spec.name,
        "title": one.spec.title,
        "lower_is_better": one.spec.lower_is_better,
        "version": one.version.title,
        "group": one.group,
        "pictures": one.count,
        "mean": one.mean.value,
        "mean_low": one.mean.low,
        "mean_high": one.mean.high,
        "gain": one.gain.value,
        "gain_low": one.gain.low,
        "gain_high": one.gain.high,
        "improved": one.improved,
        "paper": value,
        "paper_gain": _paper_gain(result, one.spec, one.version) if not one.group else None,
    }


def paper_method(version: Version) -> str | None:
    """The row of Tables 2 to 5 that a version answers to; another program's by its name."""
    if version.name == ORIGINAL:
        return paper.ORIGINAL
    if version.row is None:
        return version.title
    return paper.OURS if version.row.variant.name == "full" else None


def paper_mean(result: BeforeAfter, spec: Spec, version: Version) -> float | None:
    """The paper's figure for the same cell of Tables 2 to 5; None if it has none."""
    table, method = paper.REFINED.get(result.database), paper_method(version)
    if table is None or method is None:
        return None
    known = {one.method.casefold(): one.method for one in paper.of_table(table)}
    return _paper_cell(table, result.database, known.get(method.casefold(), method), spec)


def _paper_cell(table: int, database: str, method: str, spec: Spec, stages: str = "") -> float | None:
    """By any of the names that the paper has for an indicator."""
    values = (paper.value(table, database, method, name, stages) for name in spec.paper)
    return next((value for value in values if value is not None), None)


def _paper_gain(result: BeforeAfter, spec: Spec, version: Version) -> float | None:
    now = paper_mean(result, spec, version)
    before = paper_mean(result, spec, result.versions[0])
    if now is None or before is None or version.name == ORIGINAL:
        return None
    return (before - now) if spec.lower_is_better else (now - before)


def _page(result: BeforeAfter, out: Path) -> list[str]:
    dataset = result.dataset
    lines = [f"# Before and after: {cell(dataset.name)}", "", f"{len(dataset)} pictures. ", ""]
    if result.database:
        lines[2] += (
            f"The paper's figures are those of its Table {paper.REFINED[result.database]}, {result.database}. Compare "
            "directions, not absolute values, for CLIPScore and PickScore: their scale differs between its tables."
        )
    lines += _means(result)
    lines += _gains(result)
    lines += _refinement(result)
    lines += _ablations(result)
    lines += _groups(result)
    lines += not_run([(spec.title, spec.licence, result.obstacles.get(spec.name)) for spec in result.specs])
    lines += failures(result.failures, [skipped_entry(row) for row in dataset.skipped])
    if (out / f"{NAME}_gains.png").is_file():
        lines += [f"![gains]({NAME}_gains.png)", ""]
    return lines


def _heading(spec: Spec) -> str:
    return f"{cell(spec.title)} {'↓' if spec.lower_is_better else '↑'}"


def _means(result: BeforeAfter) -> list[str]:
    """Ours, then every row that the paper has for this database."""
    table = paper.REFINED.get(result.database)
    # Without figures of the paper to show, indicators that did not run would be empty columns.
    specs = result.ran if table is None else result.specs
    rows = [
        [cell(version.title), *(_mean(result.change(spec.name, version.name)) for spec in specs)]
        for version in result.versions
    ]
    if table is not None:
        for method in dict.fromkeys(one.method for one in paper.of_table(table)):
            values = [number(_paper_cell(table, result.database, method, spec)) for spec in specs]
            rows.append([f"paper: {cell(method)}", *values])
    title = "Means" if table is None else f"Means (Table {table})"
    return Table(title, ("pictures", *(_heading(spec) for spec in specs)), rows).lines()


def _mean(one: Change | None) -> str:
    return "–" if one is None else number(one.mean.value)


def _gains(result: BeforeAfter) -> list[str]:
    rows = []
    for version in result.versions[1:]:
        for spec in result.ran:
            one = result.change(spec.name, version.name)
            if one is None:
                continue
            theirs = _paper_gain(result, spec, version)
            share = "–" if math.isnan(one.improved) else f"{one.improved:.0%}"
            same = "" if theirs is None else ("yes" if theirs * one.gain.value > 0 else "no")
            rows.append([cell(version.title), cell(spec.title), figure(one.gain, 4), share, number(theirs), same])
    if not rows:
        return []
    header = ("version", "indicator", "gain", "better pictures", "gain, paper", "same direction?")
    note = (
        "Mean difference to the same pictures before, 95 % bootstrap interval over pictures; positive is better, also "
        "where lower values are."
    )
    lines = Table("Gains", header, rows, note).lines()
    for version in result.versions[1:]:
        found = [result.change(spec.name, version.name) for spec in result.ran]
        worse = [cell(one.spec.title) for one in found if one is not None and one.gain.value < 0]
        which = f" ({', '.join(worse)})" if worse else ""
        lines += [f"{cell(version.title)}: {len(worse)} of {len(found)} indicators fall{which}.", ""]
    return [*lines, "The paper counts 1 of 52 (13 indicators on 4 databases).", ""]


def _summary(result: BeforeAfter, version: Version) -> dict[str, float]:
    found = list(result.records.get(version.name, {}).values())
    judged = sum(record["judged"] for record in found)
    return {
        "pictures": len(found),
        "changed": _share(record["changed"] for record in found),
        "stage 1 planned": _share(record["stage1"] for record in found if "stage1" in record),
        "stage 2 planned": _share(record["stage2"] for record in found if "stage2" in record),
        "refused": sum(record["refused"] for record in found) / judged if judged else float("nan"),
    }


def _share(values: Iterable[bool]) -> float:
    listed = list(values)
    return float(np.mean(listed)) if listed else float("nan")


def _refinement(result: BeforeAfter) -> list[str]:
    rows = []
    for version in result.versions:
        if version.row is not None:
            found = _summary(result, version)
            pictures = found.pop("pictures")
            rows.append([cell(version.title), f"{pictures:.0f}", *(number(value, 3) for value in found.values())])
    header = ("version", "pictures", "changed", "stage 1 planned", "stage 2 planned", "changes refused by the guard")
    return Table("What was done", header, rows, "Shares of pictures; of judged changes.").lines() if rows else []


def _ablations(result: BeforeAfter) -> list[str]:
    """Table 8: maps and stages against PickScore and Q-Align, by generator; our own scores as well."""
    ours = [version for version in result.versions if version.row is not None and version.row.variant.paper]
    if len(ours) < 2:
        return []
    shown = [spec for spec in result.specs if spec.name in ("pq", "aq") or set(spec.paper) & set(_MEASURES)]
    rows = []
    for group in result.groups or [""]:
        for version in [*ours, result.versions[0]]:
            maps, stages = version.row.variant.paper if version.row and version.row.variant.paper else ("–", "–")
            values = [_mean(result.change(spec.name, version.name, group)) for spec in shown]
            rows.append([cell(group or "all"), cell(version.title), maps, stages, *values])
    for database in dict.fromkeys(one.database for one in paper.of_table(paper.ABLATION)):
        cells = paper.of_table(paper.ABLATION, database)
        for method, stages in dict.fromkeys((one.method, one.stages) for one in cells):
            values = [number(_paper_cell(paper.ABLATION, database, method, spec, stages)) for spec in shown]
            known = method != paper.ORIGINAL
            rows.append([f"paper: {database}", method, method if known else "–", stages or "–", *values])
    header = ("generator", "version", "maps", "stages", *(_heading(spec) for spec in shown))
    return Table("Ablations (Table 8)", header, rows).lines()


def _groups(result: BeforeAfter) -> list[str]:
    if not result.groups:
        return []
    rows = []
    for group in result.groups:
        for version in result.versions:
            found = [result.change(spec.name, version.name, group) for spec in result.ran]
            count = max((one.count for one in found if one is not None), default=0)
            rows.append([cell(group), cell(version.title), str(count), *(_mean(one) for one in found)])
    header = ("generator", "version", "pictures", *(_heading(spec) for spec in result.ran))
    return Table("By generator", header, rows).lines()


def _write_scores(result: BeforeAfter, file: Path) -> None:
    header = ["key", "group", "version", *(spec.name for spec in result.ran)]
    rows = [
        {
            "key": example.key,
            "group": example.group,
            "version": version.title,
            **{spec.name: result.scored[version.name, spec.name].values.get(example.key) for spec in result.ran},
        }
        for version in result.versions
        for example in result.dataset.examples
    ]
    write_csv(file, rows, header)
