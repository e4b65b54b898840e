"""The refinement's figures, from the records of all rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grefine_research.evaluation.statistics import Estimate, bootstrap, mean
from grefine_research.evaluation.store import Record
from grefine_research.evaluation.tables import Table, figure
from grefine_research.miniature.evaluators import Evaluators, load_evaluators
from grefine_research.miniature.sample import FACTORS

from .refinement import run_refinement
from .report import Part, Target
from .rows import FULL, METHODS, ROWS, row_name
from .run import Run
from .stats import ranks, ratio

BEFORE = "before"
KINDS = (*FACTORS, "alignment")
Floats = NDArray[np.float64]


class Figures:
    """Every figure of every row, over the records that have it; ranks over those that have all.

    Args:
        records: of ``run_refinement``.
        evaluators: their threshold, noise and jitter.
        resamples: of every bootstrap.
    """

    def __init__(self, records: Sequence[Record], evaluators: Evaluators, resamples: int) -> None:
        self.records, self.resamples = records, resamples
        self.threshold, self.noise, self.jitter = evaluators.threshold, evaluators.noise, evaluators.jitter
        self.rows = [row for row in ROWS if any(row in record["rows"] for record in records)]
        self.ranked = [record for record in records if all(row in record["rows"] for row in self.rows)]

    def of(self, row: str) -> list[Record]:
        """The records that have this row."""
        return [record for record in self.records if row == BEFORE or row in record["rows"]]

    def judged(self, record: Record, row: str) -> dict[str, Any]:
        """What the evaluators said of one row, or of the picture before."""
        found: dict[str, Any] = record["before"] if row == BEFORE else record["rows"][row]
        return found

    def fall(self, row: str, kind: str) -> Estimate:
        """Relative fall of the judged severity inside defects of a kind: 1 - sum after / sum before."""
        before, after = self._inside(row, kind, before=True), self._inside(row, kind)
        if not before:
            return Estimate(float("nan"), float("nan"), float("nan"))
        return ratio([b - a for a, b in zip(after, before, strict=True)], before, self.resamples)

    def gain(self, row: str, kind: str, measure: str) -> Estimate:
        """Mean change of PSNR or SSIM against the clean scene inside defects of a kind."""
        changes = []
        for record in self.of(row):
            for place, own in enumerate(record["kinds"]):
                if own == kind:
                    now, then = self.judged(record, row)[measure][place], self.judged(record, BEFORE)[measure][place]
                    changes.append(now - then)
        return mean(changes, self.resamples)

    def matched(self, row: str) -> Estimate:
        """Of the phrases that were truly unmatched, those that the contents judge finds afterwards."""
        found = [
            [
                answer >= self.threshold
                for answer, wrong in zip(self.judged(r, row)["answers"], r["unmatched"], strict=True)
                if wrong
            ]
            for r in self.of(row)
        ]
        return ratio([sum(each) for each in found], [len(each) for each in found], self.resamples)

    def worse(self, row: str) -> Estimate:
        """Share of pictures that get worse by either judge: severity of the whole rises by more than the judge's noise,
        or a phrase that was found before is found no more, beyond the judge's jitter."""
        return mean([float(self._worse(record, row)) for record in self.of(row)], self.resamples)

    def worse_by(self, row: str) -> tuple[float, float]:
        """The same by each judge apart: severity, contents."""
        rises = [self._rises(record, row) for record in self.of(row)]
        loses = [self._loses(record, row) for record in self.of(row)]
        return float(np.mean(rises)), float(np.mean(loses))

    def changed(self, row: str) -> Estimate:
        """Share of pictures that were changed at all."""
        return mean([float(record["rows"][row]["changed"]) for record in self.of(row)], self.resamples)

    def refused(self, row: str) -> Estimate:
        """Of the changes that a guard judged, those that it refused."""
        return ratio(
            [record["rows"][row]["refused"] for record in self.of(row)],
            [record["rows"][row]["judged"] for record in self.of(row)],
            self.resamples,
        )

    def whole(self, row: str, key: str) -> Estimate:
        """Mean of a figure of the whole picture."""
        return mean([self.judged(record, row)[key] for record in self.of(row)], self.resamples)

    def rank_tables(self) -> dict[str, Floats]:
        """Ranks (pictures, rows) among all rows, 1 = best: by each judge, by likeness, their mean."""
        tables = {
            "severity": ranks(-self._values("severity"), 3),
            "phrases": ranks(self._phrases(), 3),
            "likeness": ranks(self._values("psnr_whole"), 2),
        }
        return {**tables, "mean": np.mean(list(tables.values()), axis=0)}

    def lead(self, table: Floats, row: str, over: str) -> Estimate:
        """By how many ranks ``row`` is before ``over``, pictures resampled."""
        ahead = table[:, self.rows.index(over)] - table[:, self.rows.index(row)]
        return bootstrap(len(ahead), lambda rows: float(ahead[rows].mean()), self.resamples)

    def _values(self, key: str) -> Floats:
        return np.asarray([[r["rows"][row][key] for row in self.rows] for r in self.ranked], np.float64)

    def _phrases(self) -> Floats:
        return np.asarray([[np.mean(r["rows"][row]["answers"]) for row in self.rows] for r in self.ranked], np.float64)

    def _inside(self, row: str, kind: str, before: bool = False) -> list[float]:
        return [
            self.judged(record, BEFORE if before else row)["inside"][place]
            for record in self.of(row)
            for place, own in enumerate(record["kinds"])
            if own == kind
        ]

    def _worse(self, record: Record, row: str) -> bool:
        return self._rises(record, row) or self._loses(record, row)

    def _rises(self, record: Record, row: str) -> bool:
        return bool(self.judged(record, row)["severity"] > record["before"]["severity"] + self.noise)

    def _loses(self, record: Record, row: str) -> bool:
        pairs = zip(record["before"]["answers"], self.judged(record, row)["answers"], strict=True)
        return any(before >= self.threshold and after < self.threshold - self.jitter for before, after in pairs)


def refinement_part(run: Run) -> Part:
    """Everything about the refinement against its targets."""
    records = run_refinement(run)
    evaluators = load_evaluators(run.evaluators)
    figures = Figures(records, evaluators, run.resamples)
    full = row_name(FULL, True)
    tables = figures.rank_tables()
    opened = mean([float(r["plan"]["stage1"] or r["plan"]["stage2"]) for r in records], run.resamples)
    targets = [
        Target("defective pictures at which the gate opens", 0.90, opened, percent=True),
        Target("defective pictures that are refined", 0.80, figures.changed(full), percent=True),
    ]
    for kind in FACTORS:
        fall = figures.fall(full, kind)
        what = f"fall of the judged severity, {kind}"
        targets.append(Target(what, 0.50, fall, percent=True, limit=f"fall, {kind}"))
    for kind in FACTORS:
        change = figures.gain(full, kind, "psnr")
        targets.append(Target(f"change of PSNR to the clean scene, {kind}, dB", 0.0, change, digits=2))
    matched = figures.matched(full)
    targets.append(Target("unmatched phrases matched afterwards", 0.50, matched, percent=True, limit="matched"))
    for method in METHODS[1:]:
        lead = figures.lead(tables["mean"], full, row_name(method, True))
        targets.append(Target(f"lead in mean rank over {method}, guard on", 0.0, lead, bound="low", digits=2))
    worse = figures.worse(full)
    targets.append(Target("pictures worse by either judge", 0.02, worse, at_least=False, percent=True, limit="worse"))
    return Part(
        "refinement",
        "Refinement",
        len(records),
        targets,
        [_defect_table(figures), _picture_table(figures), _rank_table(figures, tables, full)],
        {"areas": [record["plan"].get("area") for record in records]},
        [
            f"The contents judge says yes from {evaluators.threshold:.3f} on. A rise of the judged severity counts "
            f"above {evaluators.noise:.3f}, the most that it sees in nineteen of twenty clean validation pictures. "
            f"A phrase counts as lost where its answer falls more than {evaluators.jitter:.3f} below the threshold: "
            "slight blur or noise moves one answer in twenty by that.",
            "Ranks among all rows and per picture, 1 is best, ties share: by the judged severity of the whole picture, "
            "by the judge's mean answer over all phrases, by PSNR to the clean scene; the mean of the three.",
            *_fewer(figures),
        ],
    )


def _fewer(figures: Figures) -> list[str]:
    if len(figures.ranked) == len(figures.records):
        return []
    return [f"Ranks, and all rows but those of the full method, are of the first {len(figures.ranked)} scenes."]


def _defect_table(figures: Figures) -> Table:
    rows = []
    for row in figures.rows:
        cells = [figure(figures.fall(row, kind), 2) for kind in FACTORS]
        cells += [figure(figures.gain(row, kind, "psnr"), 1) for kind in KINDS]
        cells += [f"{figures.gain(row, kind, 'ssim').value:+.3f}" for kind in KINDS]
        rows.append([row, *cells])
    header = ["row", *(f"severity −, {kind}" for kind in FACTORS)]
    header += [f"ΔPSNR, {kind}" for kind in KINDS] + [f"ΔSSIM, {kind}" for kind in KINDS]
    return Table(
        "Inside the defects",
        header,
        rows,
        "Relative fall of the judged severity; change of PSNR (in dB) and of SSIM against the "
        "clean scene; for alignment defects where that differs from what was shown.",
    )


def _picture_table(figures: Figures) -> Table:
    rows = [
        [BEFORE, figure(figures.matched(BEFORE), 2), "–", "–", "–", "–", *_levels(figures, BEFORE)],
    ]
    for row in figures.rows:
        rises, loses = figures.worse_by(row)
        rows.append(
            [
                row,
                figure(figures.matched(row), 2),
                figure(figures.changed(row), 2),
                figure(figures.refused(row), 2),
                figure(figures.worse(row), 3),
                f"{rises:.3f} / {loses:.3f}",
                *_levels(figures, row),
            ]
        )
    header = ("row", "unmatched phrases matched", "pictures changed", "changes refused", "worse by either judge")
    header += ("by severity / by contents", "severity", "PSNR", "SSIM", "change outside")
    return Table("Whole pictures", header, rows)


def _levels(figures: Figures, row: str) -> list[str]:
    levels = [f"{figures.whole(row, key).value:.3f}" for key in ("severity", "psnr_whole", "ssim_whole")]
    return [*levels, f"{figures.whole(row, 'outside').value:.4f}"]


def _rank_table(figures: Figures, tables: dict[str, Floats], full: str) -> Table:
    rows = []
    for place, row in enumerate(figures.rows):
        means = [f"{tables[name][:, place].mean():.2f}" for name in ("mean", "severity", "phrases", "likeness")]
        lead = "–" if row == full else figure(figures.lead(tables["mean"], full, row), 2)
        rows.append([row, *means, lead])
    return Table("Mean ranks", ("row", "mean", "severity", "phrases", "likeness", "lead of the full method"), rows)
