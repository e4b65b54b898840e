"""Plots, where matplotlib is installed (the extra ``eval``); without it everything else is written all the same."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grefine_core.files import written_whole

from .before_after import ORIGINAL, BeforeAfter
from .correlation import logistic
from .ratings import ALL, Line, RatingResults
from .statistics import Estimate

logger = logging.getLogger(__name__)
_OURS, _THEIRS, _LINE = "#2f6f9f", "#d08a2f", "#a02020"


def _pyplot() -> Any:
    """matplotlib without a screen; None where it is not installed."""
    try:
        import matplotlib
    except ImportError:
        logger.warning("No plots: matplotlib is not installed (pip install g-refine[eval]).")
        return None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _save(chart: Any, pyplot: Any, path: Path) -> Path:
    with written_whole(path) as scratch:
        chart.savefig(scratch, metadata={"Software": None}, format="png")
    pyplot.close(chart)
    return path


def plot_ratings(result: RatingResults, out: Path) -> list[Path]:
    """SROCC of every indicator with the paper's beside it, and scores against ratings with the fitted curves."""
    lines = [line for line in result.lines if line.part == ALL and math.isfinite(line.found.srocc.value)]
    pyplot = _pyplot() if lines else None
    if pyplot is None:
        return []
    return [_srocc(pyplot, lines, out), _scatter(pyplot, result, lines, out)]


def _srocc(pyplot: Any, lines: Sequence[Line], out: Path) -> Path:
    chart, axes = pyplot.subplots(figsize=(6.4, 1.2 + 0.34 * len(lines)), dpi=110)
    for place, line in enumerate(reversed(lines)):
        _bar(axes, place, line.found.srocc)
        if line.paper_srocc is not None:
            axes.plot(line.paper_srocc, place, "D", color=_THEIRS, markersize=6)
    axes.set_yticks(range(len(lines)), [f"{line.spec.title} / {line.rating}" for line in reversed(lines)])
    axes.set(xlabel="SROCC with ratings, 95 % interval")
    axes.axvline(0.0, color="black", linewidth=0.6)
    if any(line.paper_srocc is not None for line in lines):
        axes.plot([], [], "D", color=_THEIRS, label="the paper's")
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    chart.tight_layout()
    return _save(chart, pyplot, out / "indicators_srocc.png")


def _bar(axes: Any, place: int, estimate: Estimate) -> None:
    axes.barh(place, estimate.value, color=_OURS, height=0.6)
    if math.isfinite(estimate.low):
        axes.plot([estimate.low, estimate.high], [place, place], color="black", linewidth=1.2)


def _scatter(pyplot: Any, result: RatingResults, lines: Sequence[Line], out: Path) -> Path:
    wide = min(4, len(lines))
    tall = math.ceil(len(lines) / wide)
    chart, grid = pyplot.subplots(tall, wide, figsize=(3.0 * wide, 2.6 * tall), dpi=110, squeeze=False)
    values_of = {scored.spec.name: scored.values for scored in result.scored}
    for axes in grid.flat[len(lines) :]:
        axes.axis("off")
    for axes, line in zip(grid.flat, lines, strict=False):
        values = values_of[line.spec.name]
        both = [one for one in result.dataset.examples if one.key in values and line.rating in one.scores]
        scores = np.asarray([values[one.key] for one in both])
        axes.scatter(scores, [one.scores[line.rating] for one in both], s=4, alpha=0.4, color=_OURS, linewidths=0)
        if line.found.curve is not None:
            at = np.linspace(scores.min(), scores.max(), 200)
            sign = -1.0 if line.spec.lower_is_better else 1.0
            axes.plot(at, logistic(sign * at, *line.found.curve), color=_LINE, linewidth=1.4)
        axes.set_title(line.spec.title, fontsize=9)
        axes.set_ylabel(line.rating, fontsize=8)
        axes.tick_params(labelsize=7)
    chart.tight_layout()
    return _save(chart, pyplot, out / "indicators_scatter.png")


def plot_gains(result: BeforeAfter, out: Path) -> list[Path]:
    """Gain of every version on every indicator, in standard deviations of the originals' scores."""
    pyplot = _pyplot() if len(result.versions) > 1 and result.ran else None
    if pyplot is None:
        return []
    versions = result.versions[1:]
    chart, axes = pyplot.subplots(figsize=(7.2, 1.4 + 0.22 * len(versions) * len(result.ran)), dpi=110)
    height = 0.8 / len(versions)
    for number, version in enumerate(versions):
        places, gains, low, high = [], [], [], []
        for place, spec in enumerate(reversed(result.ran)):
            one = result.change(spec.name, version.name)
            spread = float(np.std(list(result.scored[ORIGINAL, spec.name].values.values()) or [0.0]))
            if one is None or spread == 0 or not math.isfinite(one.gain.value):
                continue
            places.append(place + 0.4 - height * (number + 0.5))
            gains.append(one.gain.value / spread)
            low.append((one.gain.value - one.gain.low) / spread)
            high.append((one.gain.high - one.gain.value) / spread)
        axes.barh(places, gains, height * 0.9, xerr=np.abs([low, high]), label=version.title, error_kw={"lw": 0.8})
    axes.set_yticks(range(len(result.ran)), [spec.title for spec in reversed(result.ran)])
    axes.axvline(0.0, color="black", linewidth=0.6)
    axes.set(xlabel="gain, in standard deviations of the originals' scores (right is better)")
    axes.legend(frameon=False, fontsize=8)
    chart.tight_layout()
    return [_save(chart, pyplot, out / "refine_gains.png")]
