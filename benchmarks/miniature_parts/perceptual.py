"""PQ-Map against the true masks and severities, with its ablations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from grefine_core.clip.embeddings import FACTORS as ALL_FACTORS
from grefine_core.clip.quality_model import QualityModel
from grefine_core.clip.text_encoder import encode_tokens
from grefine_core.perceptual import PerceptualQuality, perceptual_quality, worst_region
from grefine_research.evaluation.statistics import Estimate, bootstrap, mean
from grefine_research.evaluation.store import Record
from grefine_research.evaluation.tables import Table, figure
from grefine_research.miniature.evaluators import SeverityEvaluator, load_evaluators
from grefine_research.miniature.evaluators.severity import overall
from grefine_research.miniature.sample import FACTORS

from .cases import cases, images_of
from .report import Part, Target
from .run import Run, changed_model, with_split
from .stats import BINS, auroc, histogram, ious, srocc
from .store import Store

FULL = "as chosen"
NO_VV = "no V-V attention"
WORDS = 'words "good photo" / "bad photo"'
JUDGE = "a judge that learned from masks"
VALIDATION = 200
"""Validation scenes on which each ablation gets the threshold that suits it best."""
Way = Callable[[Any, Tensor], PerceptualQuality]


class WordPrompts(QualityModel):
    """The same model with words instead of learned embeddings, one pair for all factors."""

    @torch.no_grad()
    def factor_features(self) -> dict[str, Tensor]:
        """As in ``QualityModel``; the bounds have nothing to say where no factor is apart from the others."""
        pair = encode_tokens(self.module, self.tokenizer(["good photo", "bad photo"])).cpu()
        return dict.fromkeys(ALL_FACTORS, pair)


def ways(run: Run) -> dict[str, tuple[Any, Way]]:
    """Every way of measuring: the model and the call. The judge, which saw masks and severities, is their ceiling."""
    quality, chosen = run.quality(), run.choices
    words = WordPrompts(
        quality.module, quality.embeddings, quality.resolution, tokenizer=quality.tokenizer, blocks=quality.blocks
    )

    def usual(model: QualityModel, images: Tensor) -> PerceptualQuality:
        return perceptual_quality(model, images, chosen.calibration, chosen.importance)  # type: ignore[arg-type]

    def weighted(*importance: float) -> Way:
        return lambda model, images: perceptual_quality(model, images, "paper", importance)

    depth = len(quality.module.visual.transformer.resblocks)  # type: ignore[union-attr,arg-type]
    depths = {
        f"V-V attention in {blocks} of {depth} blocks": (changed_model(quality, blocks=blocks), usual)
        for blocks in range(1, depth + 1)
        if blocks != quality.blocks
    }
    return {
        FULL: (quality, usual),
        NO_VV: (changed_model(quality, blocks=0), usual),
        WORDS: (words, lambda model, images: _overall_alone(perceptual_quality(model, images), model, images)),
        "importance 1, 1, 1": (quality, weighted(1.0, 1.0, 1.0)),
        "importance 1, 0.6, 0.8": (quality, weighted(1.0, 0.6, 0.8)),
        "calibration as released": (quality, lambda model, images: perceptual_quality(model, images, "released")),
        **depths,
        JUDGE: (load_evaluators(run.evaluators).severity, _judged),
    }


def _judged(judge: SeverityEvaluator, images: Tensor) -> PerceptualQuality:
    maps = judge.maps(images)
    good = (1.0 - maps).prod(dim=1, keepdim=True)
    large = torch.nn.functional.interpolate(good, size=images.shape[1:3], mode="bilinear", align_corners=False)[:, 0]
    return PerceptualQuality(1.0 - overall(maps), {}, large, 1.0 - large, worst_region(good))


def _overall_alone(found: PerceptualQuality, model: QualityModel, images: Tensor) -> PerceptualQuality:
    """With one pair for all, the product of four factors is but a power: the pair itself, as CLIP-IQA has it."""
    unit = model.features_of(images).unit
    pair = torch.nn.functional.normalize(model.factor_features()["overall"], dim=-1)
    good = torch.sigmoid(model.temperature * (unit @ (pair[0] - pair[1])))
    small = good[:, 1:].unflatten(-1, model.grid).unsqueeze(1)
    size = tuple(found.quality_map.shape[1:])
    large = torch.nn.functional.interpolate(small, size=size, mode="bicubic", align_corners=False)[:, 0].clamp(0, 1)
    return PerceptualQuality(good[:, 0], found.factors, large, 1.0 - large, worst_region(small))


def run_perceptual(run: Run) -> list[Record]:
    """One record for each scene: severity, and of each way the score and the defect map's histograms."""
    store = Store(run.work / run.split / "perceptual.jsonl", run.fingerprint("perceptual"), run.resume)
    missing = store.missing(run.scenes)
    measured = ways(run) if missing else {}
    bar = tqdm(total=len(missing), desc=f"perceptual ({run.split})", mininterval=5, disable=not missing)
    for group in cases(run, "perceptual", missing):
        images = images_of(group)
        found = {name: way(model, images) for name, (model, way) in measured.items()}
        for place, (index, case) in enumerate(group):
            truth = case.mask()
            record: dict[str, Any] = {
                "severity": case.sample.severity(),
                "kinds": [defect.kind for defect in case.sample.defects],
                "names": [defect.name for defect in case.sample.defects],
                "ways": {},
            }
            for name, answer in found.items():
                values = answer.defect_map[place].numpy()
                record["ways"][name] = {
                    "score": float(answer.score[place]),
                    "worst_region": float(answer.worst_region[place]),
                    "inside": histogram(values, truth),
                    "outside": histogram(values, ~truth),
                }
            factors = found[FULL].factors
            record["factors"] = {name: float(values[place]) for name, values in factors.items()}
            store.add(index, record)
            bar.update()
    bar.close()
    return store.records(run.scenes)


def perceptual_part(run: Run) -> Part:
    """Scores and maps against their targets, and what V-V attention and learned embeddings are worth."""
    records = run_perceptual(run)
    names = list(records[0]["ways"])
    chosen_on = records
    if run.split != "validation":
        chosen_on = run_perceptual(with_split(run, "validation", min(VALIDATION, run.scenes)))
    threshold = run.choices.options.masks.threshold
    best = {name: _best_threshold(chosen_on, name) for name in names}
    results = {name: _figures(records, name, threshold, best[name], run.resamples) for name in names}
    full, most = results[FULL], results[JUDGE]
    rows = [
        [name, *(figure(results[name][key]) for key in ("srocc", "auroc", "iou", "iou_best")), f"{best[name]:.3f}"]
        for name in names
    ]
    targets = [
        Target("PS: SROCC with the true severity", 0.80, full["srocc"], ceiling=most["srocc"].value),
        Target(
            f"PQ defect map: IoU at the default threshold {threshold:g}",
            0.50,
            full["iou"],
            ceiling=most["iou_best"].value,
        ),
        Target("PQ defect map: pixel AUROC", 0.92, full["auroc"], ceiling=most["auroc"].value),
    ]
    for name, label in ((NO_VV, "V-V attention"), (WORDS, "learned embeddings")):
        targets.append(
            Target(
                f"IoU that {label} add, the ablation at its best threshold",
                0.10,
                _gain(records, name, threshold, best[name], run.resamples),
            )
        )
    return Part(
        "perceptual",
        "PQ-Map",
        len(records),
        targets,
        [
            Table(
                "Ways of measuring",
                ("way", "SROCC", "AUROC", "IoU at the default", "IoU at its own", "its own threshold"),
                rows,
                "IoU is the mean over pictures with a defect. A way's own threshold is the best one for it on "
                f"{len(chosen_on)} validation scenes.",
            ),
            _by_name(records, threshold, run.resamples),
        ],
        {"best_thresholds": best, "curves": {name: _curve(records, name) for name in (FULL, NO_VV, WORDS)}},
    )


def _stacked(records: list[Record], name: str) -> tuple[np.ndarray, np.ndarray]:
    inside = np.asarray([record["ways"][name]["inside"] for record in records], np.float64)
    return inside, np.asarray([record["ways"][name]["outside"] for record in records], np.float64)


def _defective(records: list[Record]) -> list[Record]:
    return [record for record in records if record["kinds"]]


def _bin(threshold: float) -> int:
    return min(BINS - 1, round(threshold * BINS))


def _best_threshold(records: list[Record], name: str) -> float:
    return float(np.argmax(ious(*_stacked(_defective(records), name)).mean(axis=0)) / BINS)


def _figures(records: list[Record], name: str, threshold: float, own: float, resamples: int) -> dict[str, Estimate]:
    scores = [-record["ways"][name]["score"] for record in records]
    inside, outside = _stacked(records, name)
    curves = ious(*_stacked(_defective(records), name))
    return {
        "srocc": srocc(scores, [record["severity"] for record in records], resamples),
        "auroc": bootstrap(
            len(records), lambda rows: auroc(inside[rows].sum(axis=0), outside[rows].sum(axis=0)), resamples
        ),
        "iou": mean(curves[:, _bin(threshold)], resamples),
        "iou_best": mean(curves[:, _bin(own)], resamples),
    }


def _gain(records: list[Record], name: str, threshold: float, own: float, resamples: int) -> Estimate:
    chosen = _defective(records)
    ours = ious(*_stacked(chosen, FULL))[:, _bin(threshold)]
    theirs = ious(*_stacked(chosen, name))[:, _bin(own)]
    return mean(ours - theirs, resamples)


def _by_name(records: list[Record], threshold: float, resamples: int) -> Table:
    """IoU of pictures with a single defect, by what it is."""
    rows = []
    single = [record for record in records if len(record["kinds"]) == 1]
    for kind in FACTORS:
        for name in sorted({record["names"][0] for record in single if record["kinds"] == [kind]}):
            chosen = [record for record in single if record["names"] == [name]]
            curves = ious(*_stacked(chosen, FULL))
            scores = mean([record["ways"][FULL]["score"] for record in chosen], resamples)
            rows.append([f"{kind}: {name}", figure(mean(curves[:, _bin(threshold)], resamples)), figure(scores),
                         str(len(chosen))])  # fmt: skip
    clean = [record["ways"][FULL]["score"] for record in records if not record["kinds"]]
    rows.append(["clean", "–", figure(mean(clean, resamples)), str(len(clean))])
    return Table("Kinds of defects", ("defect", "IoU", "mean PS", "scenes"), rows)


def _curve(records: list[Record], name: str) -> list[float]:
    return [float(value) for value in ious(*_stacked(_defective(records), name)).mean(axis=0)]
