"""Refines the defective scenes in every row, and has the results evaluated."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from grefine_core.miniature.loading import load_miniature_inpainter
from grefine_research.evaluation.cache import EngineCache
from grefine_research.evaluation.store import Record
from grefine_research.miniature.evaluators import load_evaluators

from .cases import Case, make_case
from .engines import SideBySide
from .judging import evaluate
from .rows import FULL, METHODS, Refiner, row_name
from .run import Run
from .store import Store

SHEET = 24
"""Scenes on the sheet: the first by number."""


def run_refinement(run: Run, methods: tuple[str, ...] = METHODS, name: str = "refinement") -> list[Record]:
    """One record for each scene: "before", and "rows" with every row's judgement."""
    store = Store(run.work / run.split / f"{name}.jsonl", run.fingerprint("refinement"), run.resume)
    missing = store.missing(run.scenes)
    if missing:
        evaluators = load_evaluators(run.evaluators)
        quality, assess = run.quality(), run.assess()
        bar = tqdm(total=len(missing), desc=f"{name} ({run.split})", mininterval=5)

        def one(cache: EngineCache, index: int) -> None:
            case = make_case(run, "refinement", index)
            refiner = Refiner(quality, cache, run.choices.options, assess, run.seed + index)
            record, images = _rows_of(case, refiner, methods if index < run.ranked else methods[:1])
            versions = evaluate(case, [case.image, *images.values()], evaluators)
            record["before"] = versions[0]
            for row, judged in zip(images, versions[1:], strict=True):
                record["rows"][row].update(judged)
            if index < SHEET and name == "refinement":
                _keep_pictures(run, index, case, images[row_name(FULL, True)], assess(quality, case.image, case.prompt))
            store.add(index, record)
            bar.update()

        engine(run).map(one, missing)
        bar.close()
    return store.records(run.scenes)


def engine(run: Run) -> SideBySide:
    """The diffusion model, loaded once."""
    if "engine" not in run.loaded:
        keywords = {} if run.choices.guidance is None else {"guidance_scale": run.choices.guidance}
        inpainter = load_miniature_inpainter(device="cpu", dtype=run.dtype, folder=run.weights, **keywords)
        run.loaded["engine"] = SideBySide(inpainter, run.together)
    return run.loaded["engine"]  # type: ignore[no-any-return]


def _rows_of(case: Case, refiner: Refiner, methods: tuple[str, ...]) -> tuple[Record, dict[str, Tensor]]:
    rows: dict[str, Any] = {}
    images: dict[str, Tensor] = {}
    planned: dict[str, Any] = {}
    for method in methods:
        for guarded in (False, True):  # without the guard first: what it judges is remembered
            answer = refiner(method, guarded, case.image, case.prompt)
            row = row_name(method, guarded)
            images[row] = answer.image
            rows[row] = {"judged": answer.judged, "refused": answer.refused}
            if answer.report is not None:
                before, after = answer.report.before, answer.report.after
                rows[row]["scores"] = [*before, *after]
                if method == FULL and guarded:
                    plan = answer.report.plan
                    planned = {"stage1": plan.run_stage1, "stage2": plan.run_stage2, "area": answer.report.area}
                    planned["strength"] = plan.stage1_strength
                    planned["worst_region"] = answer.report.worst_region
    return {
        "prompt": case.prompt,
        "kinds": [defect.kind for defect in case.sample.defects],
        "names": [defect.name for defect in case.sample.defects],
        "unmatched": list(case.unmatched),
        "plan": planned,
        "rows": rows,
    }, images


def _keep_pictures(run: Run, index: int, case: Case, refined: Tensor, found: Any) -> None:
    """The panels of the sheet: before, both maps, the true mask, after, the clean scene."""
    place = run.work / run.split / "pictures"
    place.mkdir(parents=True, exist_ok=True)
    # What has to change for the prompt's sake in grey: where a thing is missing it may be the whole picture.
    truth = torch.maximum(
        torch.from_numpy(case.mask()).float(), 0.4 * torch.from_numpy(case.mask("alignment")).float()
    )[None]
    panels = {
        "before": case.image,
        "perceptual": _grey(found.perceptual.defect_map),
        "alignment": _grey(found.alignment.defect_map),
        "truth": _grey(truth),
        "after": refined,
        "clean": case.clean,
    }
    for name, panel in panels.items():
        pixels = (panel[0].clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()
        Image.fromarray(pixels).save(place / f"{index:02d}-{name}.png")


def _grey(values: Tensor) -> Tensor:
    return values.unsqueeze(-1).expand(*values.shape, 3)
