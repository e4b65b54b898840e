"""AQ-Map: does the picture show what its prompt says, phrase by phrase, and where not (method, section 3)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import quality_model, renamed
from ..clip.embeddings import QualityFormula
from ..clip.quality_model import ImageFeatures, QualityModel
from ..perceptual import check_options, from_features
from ..prompt.syntax.tree import PromptTree
from ..tensors import as_images
from .calibration import Calibration, Scoring
from .options import AlignmentOptions
from .results import AlignmentQuality, Interrupt
from .scoring import as_one_phrase, encoder_of, measure_pictures, measured_by, trees_of
from .verdicts import (
    DEFAULT_PENALTY,
    Aggregate,
    MissingAt,
    Penalty,
    alignment_score,
    bounded_score,
    classify_phrases,
    defect_map,
    log_ratio,
    ratio,
)

if TYPE_CHECKING:
    from ..perceptual import PerceptualQuality


@dataclass(frozen=True)
class Assessment:
    """PQ-Map and AQ-Map of the same pictures, made from one image encode."""

    perceptual: PerceptualQuality
    alignment: AlignmentQuality


logger = logging.getLogger(__name__)

Trees = PromptTree | Sequence[PromptTree]


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
    syntax: bool = True,
    missing_at: MissingAt = "ancestor",
    subtract_empty: bool = True,
    penalty: Penalty = DEFAULT_PENALTY,
    formula: QualityFormula = "bounded",
    measure_anyway: bool = False,
    interrupt: Interrupt = None,
) -> AlignmentQuality:
    """Measure how well pictures match their prompts (method, section 3).

    Args:
        model: the quality model; if it has an ``alignment_encoder`` (ImageReward), that one measures, else its CLIP.
        images: (B, H, W, 3) float32 in [0, 1]; never written to.
        prompt: one prompt for all pictures, or one for each. Markup (weights, LoRA tags, …) is not read as content. A
            prompt that names nothing to look for (blank, style tags alone) is not measured: score 1, nothing marked.
        scoring: "contrast": heads against other nouns, phrases against themselves with modifiers exchanged, prompts
            against other captions; "softmax": everything against the empty string, which saturates.
        aggregate: "product" (the paper's), "geometric" or "min".
        include_style: whether style and quality tags ("8k", "oil painting") are measured and can be defects. Without it
            they are listed as matched, with scores of 1 and no map.
        measure_anyway: whether parts of a prompt in other languages than English are measured as if they were English.
            The text models read English: without it such parts are listed as matched, with scores of 1 and no map.
        template: wording around phrases and heads, e.g. "a photo of {}"; the method has them as they are.
        calibration: bounds; without it the model's own, without those the defaults (one warning).
        tree: the parsed prompt or prompts, instead of parsing ``prompt``.
        features: image features of the model's CLIP, if they are at hand already.
        syntax: False for the prompt as one phrase, without a tree: as_1 = as_T, unmatched below β_p, marked where its
            own map is. ``phrases`` then holds that one alone. An ablation.
        missing_at: where a thing that is not in the picture is marked: at its "ancestor" (the method's; the whole image
            without one), at its "own" map, or on the whole "image". The last two are ablations.
        subtract_empty: False leaves the empty string's feature in the maps. An ablation.
        penalty: which deficits lower the score by the paper's formula, see ``verdicts.ratio``: the "phrase" alone, or
            the "weakest" of the phrase and its head noun.
        formula: "bounded": AS is made of the verdicts on the phrases alone, and is 1 exactly where none is unmatched;
            "paper" and "released": as_T · Π min(as_i / β_p, 1).
        interrupt: called between parts of a long prompt, whose texts are worked on some at a time; may raise to stop.

    Returns:
        Score (B,), defect map (B, H, W), on the device of ``images``, and the verdicts on the phrases.

    Raises:
        InputError: bad pictures, prompts that are no strings, not one for each picture or longer than
            ``scoring.MOST_CHARACTERS``, or an unknown option.

    Source: method, section 3; G-Refine (arXiv 2404.18343), AQ-Map. Options beside the paper's are named above.
    """
    quality_model(model)
    options = AlignmentOptions(
        scoring,
        aggregate,
        include_style,
        template,
        calibration,
        syntax,
        missing_at,
        subtract_empty,
        penalty,
        formula=formula,
        measure_anyway=measure_anyway,
    )
    pictures = as_images(images)
    trees = trees_of(prompt, tree, len(pictures))
    return _measured(model, features, pictures, trees, options, interrupt=interrupt)


@torch.no_grad()
def _measured(
    model: QualityModel,
    features: ImageFeatures | None,
    pictures: Tensor,
    trees: Sequence[PromptTree],
    options: AlignmentOptions,
    map_size: tuple[int, int] | None = None,
    interrupt: Interrupt = None,
) -> AlignmentQuality:
    """:func:`alignment_quality` behind its checks; ``features`` of the model's CLIP, where they are at hand."""
    chosen = options.calibration or model.calibration or _uncalibrated(model)
    options = options.with_calibration(chosen)
    different = {id(parsed): parsed for parsed in trees}
    if options.measure_anyway:
        different = {key: parsed.taken_for_english() for key, parsed in different.items()}
        trees = [different[id(parsed)] for parsed in trees]
    _name_foreign(different.values())
    each_chosen = [chosen] * len(trees)
    if chosen.kinds and options.formula == "bounded" and encoder_of(model) is None:
        from ..calibration.kinds import calibrations_of

        features = features or model.features_of(pictures)
        each_chosen = calibrations_of(chosen, model, features)
    measured = measure_pictures(model, pictures, trees, options, features=features, interrupt=interrupt)

    verdicts, scores, logs, maps = [], [], [], []
    for parsed, one, own in zip(trees, measured, each_chosen, strict=True):
        count = sum(score is not None for score in one.scores)
        described = count if one.modifiers is None else sum(score is not None for score in one.modifiers)
        bounds = own.for_formula(options.formula, count, described)[0][options.way]
        judged = parsed if options.syntax else as_one_phrase(parsed, options.include_style)
        verdict = classify_phrases(
            judged.phrases, one.scores, one.maps, bounds, options.missing_at, options.formula, one.modifiers
        )
        unclamped = [found.ratio for found in verdict if found.measured]
        verdicts.append(verdict)
        logs.append(log_ratio(unclamped, options.aggregate))
        if options.formula == "bounded":
            scores.append(bounded_score(unclamped, options.aggregate))
        else:
            ratios = [ratio(score, bounds, options.penalty) for score in one.scores if score is not None]
            scores.append(alignment_score(one.prompt, ratios, options.aggregate))
        maps.append(defect_map(verdict, one.maps, one.grid))
    small = torch.stack(maps).unsqueeze(1).to(pictures.device)
    size = map_size or (pictures.shape[1], pictures.shape[2])
    # Bilinear: unlike bicubic it neither leaves [0, 1] nor makes a zero map anything but zero.
    enlarged = F.interpolate(small, size=size, mode="bilinear", align_corners=False)[:, 0]
    return AlignmentQuality(
        score=torch.tensor(scores, dtype=torch.float32, device=pictures.device),
        defect_map=enlarged.clamp_(0.0, 1.0),
        phrases=tuple(verdicts),
        prompt_score=torch.tensor([one.prompt for one in measured], dtype=torch.float32, device=pictures.device),
        log_ratio=torch.tensor(logs, dtype=torch.float32, device=pictures.device),
    )


@renamed(calibration="formula")
def assess(
    model: QualityModel,
    images: Tensor,
    prompt: str | Sequence[str] | None = None,
    *,
    formula: QualityFormula = "bounded",
    importance: Sequence[float] | Mapping[str, float] = (1.0, 1.0, 1.0),
    scoring: Scoring | None = None,
    aggregate: Aggregate = "product",
    include_style: bool = False,
    template: str = "{}",
    tree: Trees | None = None,
    syntax: bool = True,
    missing_at: MissingAt = "ancestor",
    subtract_empty: bool = True,
    penalty: Penalty = DEFAULT_PENALTY,
    measure_anyway: bool = False,
    map_size: tuple[int, int] | None = None,
    alignment_calibration: Calibration | None = None,
    interrupt: Interrupt = None,
) -> Assessment:
    """PQ-Map and AQ-Map of the same pictures from one image encode; arguments as in the two functions.

    Args:
        formula: of both, "bounded", "paper" or "released".
        alignment_calibration: what :func:`alignment_quality` calls ``calibration``, the bounds of AQ-Map.
        map_size: (height, width) of the maps of both, pixels; None for the pictures' own.

    Returns:
        Both results; their maps are of ``map_size``, on the device of ``images``.

    Raises:
        InputError: as :func:`perceptual_quality` and :func:`alignment_quality`.

    Source: method, sections 2 and 3; G-Refine (arXiv 2404.18343), PQ-Map and AQ-Map, which share one image encoder.
    """
    quality_model(model)
    options = AlignmentOptions(
        scoring,
        aggregate,
        include_style,
        template,
        alignment_calibration,
        syntax,
        missing_at,
        subtract_empty,
        penalty,
        formula=formula,
        measure_anyway=measure_anyway,
    )
    weights = check_options(formula, importance)
    pictures = as_images(images)
    trees = trees_of(prompt, tree, len(pictures))
    features = model.features_of(pictures)
    return Assessment(
        perceptual=from_features(model, features, pictures, formula, weights, map_size),
        alignment=_measured(model, features, pictures, trees, options, map_size, interrupt),
    )


def _name_foreign(trees: Iterable[PromptTree]) -> None:
    """Say which parts of the prompts are not measured, and why."""
    for parsed in trees:
        phrases = [parsed.phrases[index] for index in parsed.foreign]
        if phrases:
            logger.warning(
                "AQ-Map's text model reads English: not measured are %s%s. measure_anyway measures them all the same.",
                ", ".join(f"{phrase.text[:60]!r} ({phrase.language})" for phrase in phrases[:4]),
                f" and {len(phrases) - 4} more" if len(phrases) > 4 else "",
            )


def _uncalibrated(model: QualityModel) -> Calibration:
    if "uncalibrated" not in model.warned:
        model.warned.add("uncalibrated")
        logger.warning(
            "AQ-Map of %s is not calibrated: default bounds decide what counts as matched. Measure them once on "
            "pictures that match their prompts: grefine calibrate --images FOLDER.",
            measured_by(model),
        )
    return Calibration(model=measured_by(model))
