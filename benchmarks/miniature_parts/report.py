"""Targets beside what was reached, tables, and the page that they make."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from grefine_core.files import write_text
from grefine_research.evaluation.statistics import Estimate
from grefine_research.evaluation.tables import Table, write_json
from grefine_research.evaluation.tables import figure as figure


@dataclass(frozen=True)
class Target:
    """One line of what must be shown.

    Attributes:
        what: in words.
        goal: the number.
        reached: with its interval.
        at_least: whether it has to be reached or must not be exceeded.
        digits: to print.
        percent: whether to print both as percentages.
        bound: which side of the interval decides; "value" for the figure itself, "low" where the interval has to
            exclude the goal.
        ceiling: what nothing exceeds, None where that was not measured. A goal beyond 95 % of it gives way to these.
        limit: the figure of the part "ceilings" that is this ceiling, filled in when the page is written.
    """

    what: str
    goal: float
    reached: Estimate
    at_least: bool = True
    digits: int = 3
    percent: bool = False
    bound: str = "value"
    ceiling: float | None = None
    limit: str = ""

    @property
    def aim(self) -> float:
        """The goal, or what its ceiling leaves of it."""
        if self.ceiling is None or not math.isfinite(self.ceiling):
            return self.goal
        return min(self.goal, 0.95 * self.ceiling) if self.at_least else max(self.goal, self.ceiling / 0.95)

    @property
    def passed(self) -> bool:
        """Whether it is reached; never for NaN."""
        value = getattr(self.reached, self.bound)
        return bool(value >= self.aim if self.at_least else value <= self.aim)

    def row(self) -> list[str]:
        """For the table."""
        sign = "≥" if self.at_least else "≤"
        if self.bound == "low":
            sign = ">"
        interval = f"{self._text(self.reached.low)} to {self._text(self.reached.high)}"
        return [
            self.what,
            f"{sign} {self._text(self.goal)}",
            "–" if self.ceiling is None else self._limit(sign),
            self._text(self.reached.value),
            interval,
            "yes" if self.passed else "**no**",
        ]

    def _limit(self, sign: str) -> str:
        assert self.ceiling is not None
        text = self._text(self.ceiling)
        return text if self.aim == self.goal else f"{text}, so {sign} {self._text(self.aim)}"

    def _text(self, value: float) -> str:
        if not math.isfinite(value):
            return "–"
        return f"{100 * value:.1f} %" if self.percent else f"{value:.{self.digits}f}"


@dataclass
class Part:
    """What one part has to say."""

    name: str
    title: str
    scenes: int
    targets: list[Target] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def write_report(parts: Sequence[Part], made: dict[str, Any], out: Path, name: str, pictures: Sequence[str]) -> Path:
    """Write ``name.md`` and ``name.json``; parts that were not run this time are taken from the older JSON.

    Returns:
        The page.
    """
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{name}.json"
    content: dict[str, Any] = {"parts": {}}
    if file.is_file():
        content = json.loads(file.read_text(encoding="utf-8"))
    ceilings = next((part.data for part in parts if part.name == CEILINGS), None)
    if ceilings is None:
        ceilings = content["parts"].get(CEILINGS, {}).get("data", {})
    for part in parts:
        targets = [replace(each, ceiling=ceilings.get(each.limit, each.ceiling)) for each in part.targets]
        content["parts"][part.name] = {
            "title": part.title,
            "scenes": part.scenes,
            "made": made,
            "targets": [
                {"what": t.what, "goal": t.goal, "passed": t.passed, **asdict(t.reached), "row": t.row()}
                for t in targets
            ],
            "tables": [asdict(table) for table in part.tables],
            "notes": part.notes,
            "data": part.data,
        }
    write_json(file, content)
    page = out / f"{name}.md"
    return write_text(page, "\n".join(_page(content["parts"], out, name, pictures)))


CEILINGS = "ceilings"
ORDER = ("language", "perceptual", "alignment", "clean", CEILINGS, "refinement")


def _page(parts: dict[str, Any], out: Path, name: str, pictures: Sequence[str]) -> list[str]:
    ordered = [parts[key] for key in ORDER if key in parts]
    lines = ["# The miniature benchmark", ""]
    lines += _made(parts)
    lines += [
        "## Targets",
        "",
        "Ceiling: what nothing exceeds here. Where a target lies beyond 95 % of it, these count.",
        "",
        "| what | target | ceiling | reached | 95 % interval | reached? |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for part in ordered:
        lines += ["| " + " | ".join(target["row"]) + " |" for target in part["targets"]]
    missed = sum(not target["passed"] for part in ordered for target in part["targets"])
    total = sum(len(part["targets"]) for part in ordered)
    lines += ["", f"{total - missed} of {total} are reached.", ""]
    for part in ordered:
        lines += [f"## {part['title']}", "", f"{part['scenes']} scenes.", ""]
        for note in part["notes"]:
            lines += [note, ""]
        for table in part["tables"]:
            lines += Table(**table).lines()
    shown = [picture for picture in pictures if (out / picture).is_file()]
    if shown:
        lines += ["## Pictures", ""]
        lines += [line for picture in shown for line in (f"![{Path(picture).stem}]({picture})", "")]
    remarks = out / f"{name}_remarks.md"
    if remarks.is_file():
        lines += [remarks.read_text(encoding="utf-8").strip(), ""]
    return lines


def _made(parts: dict[str, Any]) -> list[str]:
    lines = []
    seen: dict[str, list[str]] = {}
    for name, part in parts.items():
        text = "; ".join(f"{key} {value}" for key, value in part["made"].items())
        seen.setdefault(text, []).append(name)
    for text, names in seen.items():
        lines += [f"Made ({', '.join(name for name in ORDER if name in names)}): {text}.", ""]
    return lines
