"""AQ-Map: does the picture show what its prompt says, phrase by phrase, and where not (method, section 3)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import quality_model
from ..errors import InputError
from ..perceptual import PerceptualCalibration, check_options, from_features
from ..quality_model import ImageFeatures, QualityModel
from ..syntax.tree import PromptTree
from ..tensors import as_images
from .calibration import SCORINGS, Calibration, Scoring
from .results import AlignmentQuality, Assessment
from .scoring import head_score, phrase_score, prompt_score
from .texts import EMPTY, PromptTexts, prompt_texts
from .verdicts import AGGREGATES, Aggregate, alignment_score, defect_map, judge, region_map

logger = logging.getLogger(__name__)

Trees = PromptTree | Sequence[PromptTree]
T = TypeVar("T")


@dataclass(frozen=True)
class Measurement:
    """Raw scores of one picture, before any bound."""

    scores: tuple[tuple[float, float] | None, ...]
    """(as_i, an_i) of every phrase, None where not measured."""
    prompt: float
    """as_T."""
    maps: tuple[Tensor | None, ...]
    """Similarity map of every phrase (h, w) in [0, 1]."""


def alignment_quality(
    model: QualityModel,
    images: Tensor,
    prompt: str | Sequence[str] | None = None,
    *,
    scoring: Scoring | None = None,
    aggregate: Aggregate = "product",
    include_style: bool = False,
    template: str = "{}",
    calibration: Calibration | None = None,
    tree: Trees | None = None,
    features: ImageFeatures | None = None,
) -> AlignmentQuality:
    """Measure how well pictures match their prompts (method, section 3).

    Args:
        model: the quality model.
        images: (B, H, W, 3) float32 in [0, 1]; never written to.
        prompt: one prompt for all pictures, or one for each. Markup (weights, LoRA tags, …) is not read as content. A
            blank prompt asks for nothing: score 1, nothing marked.
        scoring: "contrast": heads against other nouns, phrases against themselves with modifiers exchanged, prompts
            against other captions; "softmax": everything against the empty string, which saturates.
        aggregate: "product" (the paper's), "geometric" or "min".
        include_style: whether style and quality tags ("8k", "oil painting") are measured and can be defects. Without it
            they are listed as matched, with scores of 1 and no map.
        template: wording around phrases and heads, e.g. "a photo of {}"; the method has them as they are.
        calibration: bounds; without it the model's own, without those the defaults (one warning).
        tree: the parsed prompt or prompts, instead of parsing ``prompt``.
        features: image features at hand already.

    Returns:
        Score (B,), defect map (B, H, W), on the device of ``images``, and the verdicts on the phrases.

    Raises:
        InputError: bad pictures, prompts that are no strings or not one for each picture, or an unknown option.
    """
    quality_model(model)
    _check_options(scoring, aggregate, template)
    pictures = as_images(images)
    trees = trees_of(prompt, tree, len(pictures))
    features = features or model.features_of(pictures)
    ways = _Ways(scoring, aggregate, include_style, template, calibration)
    return _from_features(model, features, pictures, trees, ways)


@dataclass(frozen=True)
class _Ways:
    """The checked options of :func:`alignment_quality`."""

    scoring: Scoring | None
    aggregate: Aggregate
    include_style: bool
    template: str
    calibration: Calibration | None


@torch.no_grad()
def _from_features(
    model: QualityModel, features: ImageFeatures, pictures: Tensor, trees: Sequence[PromptTree], ways: _Ways
) -> AlignmentQuality:
    """:func:`alignment_quality` behind its checks; of ``pictures`` (B, H, W, 3) only size and device are used."""
    chosen = ways.calibration or model.calibration or _uncalibrated(model)
    way = ways.scoring or chosen.scoring
    bounds = chosen.bounds[way]
    measured = measure(model, features, trees, way, ways.template, ways.include_style, chosen.temperature)

    verdicts, scores, maps = [], [], []
    for parsed, one in zip(trees, measured, strict=True):
        verdict = judge(parsed.phrases, one.scores, one.maps, bounds)
        ratios = [min(score[0] / bounds.phrase, 1.0) for score in one.scores if score is not None]
        verdicts.append(verdict)
        scores.append(alignment_score(one.prompt, ratios, ways.aggregate))
        maps.append(defect_map(verdict, one.maps, features.grid))
    small = torch.stack(maps).unsqueeze(1).to(pictures.device)
    size = (pictures.shape[1], pictures.shape[2])
    # Bilinear: unlike bicubic it neither leaves [0, 1] nor makes a zero map anything but zero.
    enlarged = F.interpolate(small, size=size, mode="bilinear", align_corners=False)[:, 0]
    return AlignmentQuality(
        score=torch.tensor(scores, dtype=torch.float32, device=pictures.device),
        defect_map=enlarged.clamp_(0.0, 1.0),
        phrases=tuple(verdicts),
        prompt_score=torch.tensor([one.prompt for one in measured], dtype=torch.float32, device=pictures.device),
    )


def assess(
    model: QualityModel,
    images: Tensor,
    prompt: str | Sequence[str] | None = None,
    *,
    calibration: PerceptualCalibration = "paper",
    importance: Sequence[float] | Mapping[str, float] = (1.0, 1.0, 1.0),
    scoring: Scoring | None = None,
    aggregate: Aggregate = "product",
    include_style: bool = False,
    template: str = "{}",
    tree: Trees | None = None,
) -> Assessment:
    """PQ-Map and AQ-Map of the same pictures from one image encode; arguments as in the two functions.

    Raises:
        InputError: as :func:`perceptual_quality` and :func:`alignment_quality`.
    """
    quality_model(model)
    _check_options(scoring, aggregate, template)
    weights = check_options(calibration, importance)
    pictures = as_images(images)
    trees = trees_of(prompt, tree, len(pictures))
    features = model.features_of(pictures)
    ways = _Ways(scoring, aggregate, include_style, template, None)
    return Assessment(
        perceptual=from_features(model, features, pictures, calibration, weights),
        alignment=_from_features(model, features, pictures, trees, ways),
    )


@torch.no_grad()
def measure(
    model: QualityModel,
    features: ImageFeatures,
    trees: Sequence[PromptTree],
    scoring: Scoring,
    template: str = "{}",
    include_style: bool = False,
    temperature: float | None = None,
) -> list[Measurement]:
    """Raw scores and maps of pictures against their prompts; all texts of all prompts go in one batch."""
    unit = features.unit
    if unit.shape[0] != len(trees):
        raise InputError(f"tree: {len(trees)} prompts for {unit.shape[0]} pictures.")
    tau = model.temperature if temperature is None else temperature
    once: dict[int, PromptTexts] = {}
    for parsed in trees:
        if id(parsed) not in once:
            once[id(parsed)] = prompt_texts(
                parsed, model.token_count, model.context_length, scoring, template, include_style
            )
    texts = list(dict.fromkeys(text for collected in once.values() for text in collected))
    vectors = model.text_features(texts)
    row = {text: index for index, text in enumerate(texts)}
    similarities = (unit[:, 0] @ vectors.T).tolist()
    result = []
    for index, parsed in enumerate(trees):
        collected = once[id(parsed)]
        similarity = dict(zip(texts, similarities[index], strict=True))
        scores: list[tuple[float, float] | None] = []
        for phrase in collected.phrases:
            if phrase is None:
                scores.append(None)
                continue
            head = head_score(phrase, similarity, tau, scoring)
            scores.append((phrase_score(phrase, head, similarity, tau, scoring), head))
        whole = 1.0
        if collected.pieces:
            own = float(unit[index, 0] @ _whole_prompt(collected, vectors, row))
            others = [similarity[text] for text in collected.captions]
            whole = prompt_score(own, similarity[EMPTY], others, tau, scoring)
        result.append(Measurement(tuple(scores), whole, _maps(collected, unit[index, 1:], vectors, row, features.grid)))
    return result


def _maps(
    collected: PromptTexts, patches: Tensor, vectors: Tensor, row: dict[str, int], grid: tuple[int, int]
) -> tuple[Tensor | None, ...]:
    """``F(x) · (T(P_i) − T(""))`` of every measured phrase, scaled to [0, 1]."""
    measured = [phrase for phrase in collected.phrases if phrase is not None]
    if not measured:
        return tuple(None for _ in collected.phrases)
    directions = vectors[[row[phrase.text] for phrase in measured]] - vectors[row[EMPTY]]
    similarity = (directions @ patches.T).unflatten(-1, grid)
    found = iter(similarity)
    return tuple(None if phrase is None else region_map(next(found)) for phrase in collected.phrases)


def _whole_prompt(collected: PromptTexts, vectors: Tensor, row: dict[str, int]) -> Tensor:
    """Unit feature of the whole prompt: its pieces' mean, weighted by their tokens."""
    weights = torch.tensor([float(tokens) for _, tokens in collected.pieces])
    pieces = vectors[[row[text] for text, _ in collected.pieces]]
    return F.normalize((weights.unsqueeze(-1) * pieces).sum(0), dim=0)


def _check_options(scoring: object, aggregate: object, template: object) -> None:
    if scoring is not None and scoring not in SCORINGS:
        raise InputError(f"scoring: expected one of {', '.join(SCORINGS)}, got {scoring!r}.")
    if aggregate not in AGGREGATES:
        raise InputError(f"aggregate: expected one of {', '.join(AGGREGATES)}, got {aggregate!r}.")
    if not isinstance(template, str) or template.count("{}") != 1 or set("{}") & set(template.replace("{}", "")):
        raise InputError(f"template: expected a text with one '{{}}' where the phrase goes, got {template!r}.")


def trees_of(prompt: object, tree: object, pictures: int) -> list[PromptTree]:
    """One tree for each picture; equal prompts share one."""
    if tree is not None:
        return _one_each("tree", tree, PromptTree, pictures)
    from ..syntax import parse_prompt

    prompts = _one_each("prompt", prompt, str, pictures)
    parsed = {text: parse_prompt(text) for text in dict.fromkeys(prompts)}
    return [parsed[text] for text in prompts]


def _one_each(name: str, given: object, kind: type[T], pictures: int) -> list[T]:
    if isinstance(given, kind):
        return [given] * pictures
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(value, kind) for value in given):
        raise InputError(
            f"{name}: expected one {kind.__name__}, or a list of one for each picture, got {given!r:.100}."
        )
    if len(given) == 1:
        return list(given) * pictures
    if len(given) != pictures:
        raise InputError(f"{name}: {len(given)} for {pictures} pictures. Give one for all, or one for each.")
    return list(given)


def _uncalibrated(model: QualityModel) -> Calibration:
    if "uncalibrated" not in model.warned:
        model.warned.add("uncalibrated")
        logger.warning(
            "AQ-Map of %s is not calibrated: default bounds decide what counts as matched. Measure them once on "
            "pictures that match their prompts: grefine calibrate --images FOLDER.",
            model.name,
        )
    return Calibration(model=model.name)
