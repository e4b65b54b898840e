"""Compares ways of working on validation scenes: what the method leaves open is decided here, never on test scenes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from grefine_core.errors import InputError
from grefine_core.refine.protocols import RefineOptions
from grefine_core.regions import RegionOptions
from grefine_research.evaluation.statistics import mean
from grefine_research.evaluation.tables import Table, figure
from grefine_research.miniature.evaluators import load_evaluators
from grefine_research.miniature.sample import FACTORS

from .alignment import alignment_part
from .clean import run_clean
from .perceptual import FULL as AS_CHOSEN
from .perceptual import perceptual_part, run_perceptual
from .refinement import run_refinement
from .refinement_part import Figures
from .rows import FULL, row_name
from .run import Run

#: Areas of the clean pictures' masks, and thresholds, that are looked at.
_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
_REGION_BARS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
Change = Callable[[RefineOptions], RefineOptions]


def _masks(**values: Any) -> Change:
    return lambda options: replace(options, masks=replace(options.masks, **values))


def _plan(**values: Any) -> Change:
    return lambda options: replace(options, plan=replace(options.plan, **values))


def _regions(**values: Any) -> Change:
    return lambda options: replace(options, regions=replace(options.regions or RegionOptions(), **values))


def _options(**values: Any) -> Change:
    return lambda options: replace(options, **values)


#: One change of the chosen options each.
VARIANTS: dict[str, Change] = {
    "as chosen": lambda options: options,
    **{f"threshold {value:g}": _masks(threshold=value) for value in (0.3, 0.4, 0.6, 0.7)},
    **{f"grow {value:g}": _masks(grow=value) for value in (0.0, 0.02, 0.04, 0.06, 0.1)},
    **{f"stage 1 from {low:g} to {high:g}": _plan(stage1_min=low, stage1_max=high)
       for low, high in ((0.5, 0.9), (0.7, 0.95), (0.8, 1.0), (0.95, 1.0), (1.0, 1.0))},
    **{f"stage 2 at {value:g}": _plan(stage2_strength=value) for value in (0.05, 0.1, 0.2, 0.3)},
    **{f"region bar {value:g}": _plan(region_bar=value) for value in (0.0, 0.1, 0.2, 0.3, 0.4)},
    **{f"steps {value}": _plan(steps=value) for value in (10, 20, 40)},
    "stage 1 keeps colours": _options(stage1_keep_color=True),
    "stage 1 does not keep colours": _options(stage1_keep_color=False),
    "stage 2 does not keep colours": _options(stage2_keep_color=False),
    **{f"tolerance {value:g}": _options(tolerance=value) for value in (0.0, 0.005, 0.01, 0.02, 0.05)},
    **{f"attempts {value}": _options(attempts=value) for value in (2, 3)},
    **{f"level {value:g}": _regions(level=value) for value in (0.5, 0.6, 0.65, 0.7)},
    "own phrases": _options(own_phrases=True),
    "merged by noisy or": _masks(merge="noisy_or"),
    "Otsu": _masks(method="otsu"),
    "no emphasis": lambda options: replace(options, emphasis=replace(options.emphasis, minimum=1.0, maximum=1.0)),
}  # fmt: skip


def sweep(run: Run, kinds: Sequence[str], variants: Sequence[str] | None = None) -> str:
    """Compare on ``run.split``, which is not the test split; the page is written beside the results and returned.

    Raises:
        InputError: the test split, or an unknown variant.
    """
    if run.split == "test":
        raise InputError("sweep: nothing is chosen on test scenes; give --split validation.")
    tables: list[Table] = []
    if "perceptual" in kinds:
        tables += [perceptual_part(run).tables[0], _thresholds(run), _region_bars(run)]
    if "alignment" in kinds:
        tables += alignment_part(run).tables
    if "refinement" in kinds:
        tables.append(_refinements(run, list(VARIANTS) if variants is None else variants))
    page = "\n".join(["# Choices, compared on validation scenes", "", *(line for t in tables for line in t.lines())])
    run.out.mkdir(parents=True, exist_ok=True)
    (run.out / "miniature_choices.md").write_text(page, encoding="utf-8")
    return page


def _thresholds(run: Run) -> Table:
    """How many clean pictures pass which bars: the gate's side of the choice."""
    records = run_clean(run)
    rows = []
    for bar in _THRESHOLDS:
        shares = [np.mean([record[key] >= bar for record in records]) for key in ("ps", "as")]
        both = np.mean([record["ps"] >= bar and record["as"] >= bar for record in records])
        rows.append([f"{bar:g}", *(f"{share:.3f}" for share in shares), f"{both:.3f}"])
    for quantile in (0.01, 0.025, 0.05):
        low = [np.quantile([record[key] for record in records], quantile) for key in ("ps", "as")]
        rows.append([f"{quantile:.1%} quantile", *(f"{value:.3f}" for value in low), ""])
    header = ("bar", "PS over it", "AS over it", "both")
    return Table(
        "Bars of the gate", header, rows, "Shares of clean, matching pictures; then the scores' low quantiles."
    )


def _region_bars(run: Run) -> Table:
    """What asking the worst region costs and brings, from the records that the other tables have made."""
    kept = replace(run, resume=True)
    clean, defective = run_clean(kept), run_perceptual(kept)
    plan = run.choices.options.plan
    rows = []
    for bar in (0.0, *_REGION_BARS):
        passed = [
            record["ps"] >= plan.perceptual_bar and record["as"] >= plan.alignment_bar and record["worst_region"] >= bar
            for record in clean
        ]
        cells = [f"{bar:g}", f"{np.mean(passed):.3f}"]
        for kind in FACTORS:
            measured = [record["ways"][AS_CHOSEN] for record in defective if kind in record["kinds"]]
            found = [way["score"] < plan.perceptual_bar or way["worst_region"] < bar for way in measured]
            cells.append(f"{np.mean(found):.3f}" if found else "–")
        rows.append(cells)
    header = ("region bar", "clean, over all bars", *(f"found, {kind}" for kind in FACTORS))
    return Table(
        "Bars of the worst region",
        header,
        rows,
        "Shares of pictures; a defective one is found if PS or its worst region is below its bar. 0: not asked.",
    )


def _refinements(run: Run, variants: Sequence[str]) -> Table:
    evaluators = load_evaluators(run.evaluators)
    rows = []
    for name in variants:
        if name not in VARIANTS:
            raise InputError(f"sweep: {name!r} is no variant; there are {', '.join(VARIANTS)}.")
        options = VARIANTS[name](run.choices.options)
        other = replace(run, choices=replace(run.choices, options=options), loaded=run.loaded)
        records = run_refinement(other, (FULL,), "sweep-" + re.sub(r"\W+", "-", name))
        figures = Figures(records, evaluators, 200)
        for guarded in (True, False):
            row = row_name(FULL, guarded)
            falls = [f"{figures.fall(row, kind).value:.2f}" for kind in FACTORS]
            gains = [f"{figures.gain(row, kind, 'psnr').value:+.1f}" for kind in (*FACTORS, "alignment")]
            outside = mean([figures.judged(record, row)["outside"] for record in records], 200)
            rows.append([
                f"{name}, guard {'on' if guarded else 'off'}", *falls, *gains, figure(figures.matched(row), 2),
                f"{figures.changed(row).value:.2f}", f"{figures.worse(row).value:.3f}",
                f"{figures.whole(row, 'psnr_whole').value:.2f}", f"{outside.value:.4f}",
            ])  # fmt: skip
            print(json.dumps(rows[-1]), flush=True)
    header = ["variant", *(f"severity −, {kind}" for kind in FACTORS)]
    header += [f"ΔPSNR, {kind}" for kind in (*FACTORS, "alignment")]
    header += ["matched", "changed", "worse", "PSNR, whole", "change outside"]
    return Table("Refinement", header, rows, f"{run.scenes} scenes; the full method alone.")
