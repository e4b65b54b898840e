"""Plots and the sheet of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from grefine_research.evaluation.store import Record

from .refinement import SHEET
from .report import Part
from .run import Run

PANELS = ("before", "perceptual", "alignment", "truth", "after", "clean")
_HEADINGS = ("picture", "PQ defect map", "AQ defect map", "what is wrong", "refined", "clean scene")
_SIDE, _GAP, _TEXT = 160, 8, 34


def draw_plots(parts: Sequence[Part], out: Path, name: str) -> list[str]:
    """Write what can be drawn of the parts; returns the files' names."""
    try:
        import matplotlib
    except ImportError:
        print("No plots: install matplotlib (the extra `eval`).")
        return []
    matplotlib.use("Agg")
    drawn = []
    for part in parts:
        if part.name == "perceptual":
            drawn.append(_thresholds(part.data["curves"], out / f"{name}_thresholds.png"))
        if part.name == "refinement":
            drawn.append(_ranks(part, out / f"{name}_ranks.png"))
    return drawn


def _thresholds(curves: dict[str, list[float]], path: Path) -> str:
    from matplotlib import pyplot

    chart, axes = pyplot.subplots(figsize=(6.4, 3.6), dpi=110)
    for label, values in curves.items():
        axes.plot([index / len(values) for index in range(len(values))], values, label=label)
    axes.set(xlabel="threshold of the defect map", ylabel="mean IoU with the true mask", xlim=(0, 1), ylim=(0, None))
    axes.legend(frameon=False)
    chart.tight_layout()
    chart.savefig(path, metadata={"Software": None})
    pyplot.close(chart)
    return path.name


def _ranks(part: Part, path: Path) -> str:
    from matplotlib import pyplot

    rows = next(table for table in part.tables if table.title == "Mean ranks").rows
    names = [row[0] for row in rows][::-1]
    values = [float(row[1]) for row in rows][::-1]
    chart, axes = pyplot.subplots(figsize=(6.4, 4.2), dpi=110)
    axes.barh(names, values, color=["#2f6f9f" if "guard on" in label else "#9fc3dd" for label in names])
    axes.set(xlabel="mean rank (1 is best)")
    chart.tight_layout()
    chart.savefig(path, metadata={"Software": None})
    pyplot.close(chart)
    return path.name


def draw_sheet(run: Run, records: Sequence[Record], name: str) -> str | None:
    """The first scenes by number, each in one line; None if none was kept."""
    place = run.work / run.split / "pictures"
    chosen: list[dict[str, Any]] = [record for record in records if record["index"] < SHEET]
    chosen = [record for record in chosen if (place / f"{record['index']:02d}-clean.png").is_file()]
    if not chosen:
        return None
    width = _GAP + len(PANELS) * (_SIDE + _GAP)
    sheet = Image.new("RGB", (width, 24 + len(chosen) * (_SIDE + _TEXT + _GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    for column, heading in enumerate(_HEADINGS):
        pen.text((_GAP + column * (_SIDE + _GAP), 6), heading, fill="black")
    for line, record in enumerate(chosen):
        top = 24 + line * (_SIDE + _TEXT + _GAP)
        wrong = ", ".join(record["names"]).replace("_", " ") or "nothing"
        pen.text((_GAP, top), _shortened(f"{record['index']}: {record['prompt']}", width), fill="black")
        pen.text((_GAP, top + 14), f"wrong: {wrong}", fill="#a02020")
        for column, panel in enumerate(PANELS):
            with Image.open(place / f"{record['index']:02d}-{panel}.png") as picture:
                resized = picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
            sheet.paste(resized, (_GAP + column * (_SIDE + _GAP), top + _TEXT - 2))
    path = run.out / f"{name}_pictures.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=80)
    return path.name


def _shortened(text: str, width: int) -> str:
    most = width // 6
    return text if len(text) <= most else text[: most - 1] + "…"
