"""What no method could exceed here: perfect repairs, the autoencoder alone, and the painter with the true masks."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from grefine_core.miniature import networks
from grefine_core.miniature.loading import load_miniature_inpainter, weights_file
from grefine_research.evaluation.statistics import mean
from grefine_research.evaluation.store import Record
from grefine_research.evaluation.tables import Table, figure
from grefine_research.miniature.evaluators import load_evaluators
from grefine_research.miniature.sample import FACTORS
from grefine_research.miniature.training.autoencoder import reconstruct

from .cases import Case, make_case
from .judging import evaluate
from .refinement_part import Figures
from .report import Part
from .run import Run
from .store import Store

PERFECT = "perfect repair"
CODED = "autoencoder of the clean scene"
UNTOUCHED = "autoencoder of the picture as it is"
MASKED = "painter with the true masks"
CEILINGS = (PERFECT, CODED, UNTOUCHED, MASKED)
_NOTE = (
    "Every repair by a diffusion model goes through its autoencoder: the clean scene after it is the ceiling of the "
    "targets. The painter with the true masks is our own: what better maps, plan and guard could make of it."
)
_GROWN = 3  # pixels around what differs: painters need an edge
_STRENGTH, _STEPS = 0.9, 20


def run_ceilings(run: Run) -> list[Record]:
    """One record for each scene of the refinement, the judgements of every ceiling in its "rows"."""
    store = Store(run.work / run.split / "ceilings.jsonl", run.fingerprint("refinement"), run.resume)
    missing = store.missing(run.scenes)
    if missing:
        evaluators = load_evaluators(run.evaluators)
        vae = networks.load(weights_file("vae", run.weights), "vae")
        guidance = {} if run.choices.guidance is None else {"guidance_scale": run.choices.guidance}
        painter = load_miniature_inpainter("cpu", run.dtype, folder=run.weights, **guidance)
        for index in tqdm(missing, desc=f"ceilings ({run.split})", mininterval=5):
            case = make_case(run, "refinement", index)
            painted = painter.inpaint(
                case.image,
                true_place(case),
                prompt=case.prompt,
                strength=_STRENGTH,
                steps=_STEPS,
                seed=run.seed + index,
            )
            versions = dict(
                zip(CEILINGS, (case.clean, _coded(vae, case.clean), _coded(vae, case.image), painted), strict=True)
            )
            before, *judged = evaluate(case, [case.image, *versions.values()], evaluators)
            store.add(
                index,
                {
                    "kinds": [defect.kind for defect in case.sample.defects],
                    "unmatched": list(case.unmatched),
                    "before": before,
                    "rows": dict(zip(versions, judged, strict=True)),
                },
            )
    return store.records(run.scenes)


def true_place(case: Case) -> Tensor:
    """(1, 128, 128) float32: where the picture is other than it should be, a little grown."""
    place = torch.from_numpy(np.logical_or.reduce(case.mended)).float()[None, None]
    return F.max_pool2d(place, 2 * _GROWN + 1, stride=1, padding=_GROWN)[0]


def _coded(vae: torch.nn.Module, image: Tensor) -> Tensor:
    return torch.from_numpy(reconstruct(vae, np.rint(255 * image.numpy()).astype(np.uint8)))


def ceilings_part(run: Run) -> Part:
    """Every ceiling in the figures of the refinement."""
    records = run_ceilings(run)
    figures = Figures(records, load_evaluators(run.evaluators), run.resamples)
    rows = []
    for row in CEILINGS:
        rises, loses = figures.worse_by(row)
        cells = [figure(figures.fall(row, kind), 2) for kind in FACTORS]
        cells += [figure(figures.matched(row), 2), figure(figures.worse(row), 3), f"{rises:.3f} / {loses:.3f}"]
        rows.append([row, *cells, figure(mean([r["rows"][row]["psnr_whole"] for r in records], run.resamples), 1)])
    header = ("ceiling", *(f"severity −, {kind}" for kind in FACTORS), "unmatched phrases matched")
    header += ("worse by either judge", "by severity / by contents", "PSNR")
    limits: dict[str, float] = {f"fall, {kind}": figures.fall(CODED, kind).value for kind in FACTORS}
    limits |= {"matched": figures.matched(CODED).value, "worse": figures.worse(CODED).value}
    return Part("ceilings", "Ceilings", len(records), [], [Table("What nothing exceeds", header, rows, _NOTE)], limits)
