"""How good the evaluators are, on validation scenes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from grefine_core.miniature.world import HELD_BACK, KINDS

from ...evaluation.statistics import auroc, spearman
from ..sample import FACTORS
from ..worlds import SHIPPED, World
from .contents import ATTRIBUTES, ContentsEvaluator, Question
from .examples import Example, make_example, unsharpen
from .severity import SeverityEvaluator, inside, overall

Floats = NDArray[np.float64]


def severity_figures(evaluator: SeverityEvaluator, count: int, world: World = SHIPPED) -> tuple[dict[str, Any], float]:
    """Figures of the severity evaluator, and its noise: the 95 % quantile of what it sees in clean pictures.

    "cells": AUC of cells inside against cells outside; "strength": Spearman's correlation of the mean inside a defect
    with its strength; "picture": that of whole pictures with their severity.
    """
    inner: dict[str, list[float]] = {kind: [] for kind in FACTORS}
    strengths: dict[str, list[float]] = {kind: [] for kind in FACTORS}
    scores: dict[str, list[Floats]] = {kind: [] for kind in FACTORS}
    truths: dict[str, list[NDArray[np.bool_]]] = {kind: [] for kind in FACTORS}
    clean: list[float] = []
    whole: list[float] = []
    totals: list[float] = []
    for part in _parts(count, world):
        maps = evaluator.maps(_images(part))
        whole += overall(maps).tolist()
        for example, one in zip(part, maps, strict=True):
            totals.append(example.total())
            if not example.found:
                clean.append(whole[len(totals) - 1])
            for place, kind in enumerate(FACTORS):
                truth = example.severity[place]
                decided = (truth == 0) | (truth > 60)
                scores[kind].append(one[place].numpy()[decided].astype(np.float64))
                truths[kind].append((truth > 0)[decided])
            for defect in example.found:
                mean = inside(one, torch.from_numpy(defect.mask))[FACTORS.index(defect.kind)]
                inner[defect.kind].append(float(mean))
                strengths[defect.kind].append(defect.strength)
    figures = {
        kind: {
            "cells_auc": auroc(np.concatenate(scores[kind]), np.concatenate(truths[kind])),
            "strength_srocc": spearman(inner[kind], strengths[kind]),
            "mean_inside": float(np.mean(inner[kind])) if inner[kind] else float("nan"),
            "mean_outside": float(np.mean(np.concatenate(scores[kind])[~np.concatenate(truths[kind])])),
        }
        for kind in FACTORS
    }
    noise = float(np.quantile(clean, 0.95)) if clean else 0.0
    return {**figures, "picture_srocc": spearman(whole, totals), "clean_mean": float(np.mean(clean))}, noise


def contents_figures(
    evaluator: ContentsEvaluator, count: int, world: World = SHIPPED
) -> tuple[dict[str, Any], float, float]:
    """Figures of the contents evaluator, the answer from which on it says yes, and by how much slight blur or noise
    moves one of twenty right answers.

    Every item is asked for as it is, and once with each of its attributes exchanged; kinds that are not there are asked
    for as well. The threshold is the one with the best balanced accuracy over all questions. "held_back": attributes in
    combinations that no training scene shows.
    """
    rng = np.random.default_rng(5)
    answers: dict[str, list[tuple[float, bool]]] = {name: [] for name in ("kind", "ground", *ATTRIBUTES, "held_back")}
    barred = HELD_BACK["validation"]
    moved: list[float] = []
    for part in _parts(count, world):
        moved += _moved(evaluator, part)
        for example, sight in zip(part, evaluator.look(_images(part)), strict=True):
            shown = {item.kind for item in example.scene.items}
            for kind in KINDS:
                answers["kind"].append((sight.answer(Question(kind)), kind in shown))
            for ground, right in _ground_questions(example, rng):
                answers["ground"].append((sight.answer(ground), right))
            for name, question, right in _attribute_questions(example, rng):
                answers[name].append((sight.answer(question), right))
                if (question.kind, question.attributes[name], example.scene.ground) in barred:
                    answers["held_back"].append(answers[name][-1])
    pooled = [pair for name, pairs in answers.items() if name not in ("held_back", "ground") for pair in pairs]
    threshold = best_threshold(pooled)
    jitter = float(np.quantile(moved, 0.95))
    return {name: _quality(pairs, threshold) for name, pairs in answers.items() if pairs}, threshold, jitter


def _moved(evaluator: ContentsEvaluator, part: Sequence[Example]) -> list[float]:
    """How far the answers about what is shown move with slight blur or noise."""
    images = _images(part)
    soft = images.permute(0, 3, 1, 2).contiguous()
    unsharpen(soft, torch.Generator().manual_seed(3))
    sights = zip(part, evaluator.look(images), evaluator.look(soft.permute(0, 2, 3, 1)), strict=True)
    return [
        abs(first.answer(question) - second.answer(question))
        for example, first, second in sights
        for question in (Question(item.kind, item.colour, item.pattern) for item in example.scene.items)
    ]


def best_threshold(pairs: Sequence[tuple[float, bool]]) -> float:
    """The middle between two answers that parts yes from no best, both counting alike."""
    values = np.asarray([value for value, _ in pairs])
    truth = np.asarray([right for _, right in pairs])
    order = np.argsort(values)
    values, truth = values[order], truth[order]
    below_yes = np.concatenate([[0], np.cumsum(truth)]) / max(1, truth.sum())
    below_no = np.concatenate([[0], np.cumsum(~truth)]) / max(1, (~truth).sum())
    place = int(np.argmax(below_no - below_yes))
    edges = np.concatenate([[values[0]], (values[1:] + values[:-1]) / 2, [values[-1]]])
    return float(edges[place])


def _quality(pairs: Sequence[tuple[float, bool]], threshold: float) -> dict[str, float]:
    values, truth = [value for value, _ in pairs], [right for _, right in pairs]
    said = [value >= threshold for value in values]
    yes = [a for a, right in zip(said, truth, strict=True) if right]
    no = [not a for a, right in zip(said, truth, strict=True) if not right]
    halves = [sum(part) / len(part) for part in (yes, no) if part]
    return {"auc": auroc(values, truth), "balanced_accuracy": sum(halves) / len(halves), "questions": len(pairs)}


def _ground_questions(example: Example, rng: np.random.Generator) -> Iterable[tuple[Question, bool]]:
    from grefine_core.miniature.world import GROUNDS

    own = example.scene.ground
    yield Question(ground=own), True
    yield Question(ground=str(rng.choice([ground for ground in GROUNDS if ground != own]))), False


def _attribute_questions(example: Example, rng: np.random.Generator) -> Iterable[tuple[str, Question, bool]]:
    for item in example.scene.items:
        own = {
            "colour": item.colour,
            "pattern": (item.pattern or "plain") if item.is_form else None,
            "size": item.size or "middling",
            "count": str(item.count),
        }
        for name, value in own.items():
            if value is None:
                continue
            other = str(rng.choice([word for word in ATTRIBUTES[name] if word != value]))
            for word, right in ((value, True), (other, False)):
                asked: Any = int(word) if name == "count" else word
                yield name, Question(item.kind, **{name: asked}), right


def _parts(count: int, world: World, size: int = 64) -> Iterable[list[Example]]:
    for start in range(0, count, size):
        yield [make_example("validation", index, world) for index in range(start, min(count, start + size))]


def _images(part: Sequence[Example]) -> torch.Tensor:
    return torch.from_numpy(np.stack([example.image for example in part])).float() / 255.0
