"""Clean, matching pictures: they have to come through untouched."""

from __future__ import annotations

import torch
from tqdm import tqdm

from grefine_core.refine import refine
from grefine_core.refine.pipeline import diagnose
from grefine_research.evaluation.statistics import mean
from grefine_research.evaluation.store import Record
from grefine_research.evaluation.tables import Table, figure

from .cases import cases, images_of
from .report import Part, Target
from .run import Run
from .stats import srocc
from .store import Store


class _PaintedError(Exception):
    """An engine was asked: the picture does not pass."""


class _Alarm:
    """Stands for both engines; whoever asks it has something to paint."""

    size_multiple, min_side, native_side = 8, 128, 128

    def inpaint(self, *_: object, **__: object) -> torch.Tensor:
        """Never answers."""
        raise _PaintedError

    restore = inpaint


def run_clean(run: Run) -> list[Record]:
    """One record for each scene: scores, area of the mask, and whether the picture came back bit for bit."""
    store = Store(run.work / run.split / "clean.jsonl", run.fingerprint("clean"), run.resume)
    missing = store.missing(run.scenes)
    quality, assess = (run.quality(), run.assess()) if missing else (None, None)
    bar = tqdm(total=len(missing), desc=f"clean ({run.split})", mininterval=5, disable=not missing)
    for group in cases(run, "clean", missing):
        assert assess is not None
        images, prompts = images_of(group), [case.prompt for _, case in group]
        found = diagnose(images, prompts, quality, run.choices.options, None, assess)
        for place, (index, case) in enumerate(group):
            try:
                done = refine(
                    case.image, case.prompt, quality, _Alarm(), _Alarm(), options=run.choices.options, assess=assess
                )
                passed = torch.equal(done.image, case.image)
            except _PaintedError:
                passed = False
            wrong = [phrase.phrase.text for phrase in found.assessment.alignment.phrases[place] if not phrase.matched]
            store.add(
                index,
                {
                    "prompt": case.prompt,
                    "passed": passed,
                    "area": float(found.mask.area[place]),
                    "ps": found.scores[place][0],
                    "as": found.scores[place][1],
                    "worst_region": found.worst_regions[place],
                    "phrases": len(case.questions),
                    "unmatched": wrong,
                },
            )
            bar.update()
    bar.close()
    return store.records(run.scenes)


def clean_part(run: Run) -> Part:
    """Pass-through rate and mean area against their targets."""
    records = run_clean(run)
    plan = run.choices.options.plan
    passed = mean([float(record["passed"]) for record in records], run.resamples)
    area = mean([record["area"] for record in records], run.resamples)
    rows = []
    asked = (
        ("ps", plan.perceptual_bar, "PS"),
        ("as", plan.alignment_bar, "AS"),
        ("worst_region", plan.region_bar, "worst region"),
    )
    for key, bar, label in asked:
        values = [record[key] for record in records]
        over = mean([float(value >= bar) for value in values], run.resamples)
        length = srocc(values, [record["phrases"] for record in records], run.resamples)
        rows.append([label, figure(mean(values, run.resamples)), f"{bar:g}", figure(over), figure(length)])
    found = mean([float(bool(record["unmatched"])) for record in records], run.resamples)
    empty = mean([float(record["area"] == 0) for record in records], run.resamples)
    marked = mean([float(record["area"] > 0) for record in records], run.resamples)
    return Part(
        "clean",
        "Clean, matching pictures",
        len(records),
        [
            Target("clean pictures that pass bit for bit", 0.95, passed, percent=True),
            Target("clean pictures whose mask is empty", 0.95, empty, percent=True),
            Target("mean area of their masks", 0.01, area, at_least=False, percent=True),
        ],
        [
            Table("Scores", ("score", "mean", "bar", "share over the bar", "SROCC with the number of phrases"), rows),
            Table(
                "Marks",
                ("what", "share of pictures"),
                [["a phrase taken for unmatched", figure(found)], ["anything in the mask", figure(marked)]],
            ),
        ],
    )
