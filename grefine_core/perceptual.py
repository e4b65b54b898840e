"""PQ-Map: perceptual quality, as one number and as a map, from four learned pairs of prompts (method, section 2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import choice, quality_model, renamed
from .clip.embeddings import (
    BOUNDS,
    FACTORS,
    FORMULAS,
    PerceptualBounds,
    QualityFormula,
    cask,
    load_embedding_set,
    load_embeddings,
)
from .errors import InputError
from .tensors import as_images

if TYPE_CHECKING:
    from .clip.quality_model import ImageFeatures, QualityModel

__all__ = ["BOUNDS", "FACTORS", "PerceptualQuality", "load_embedding_set", "load_embeddings", "perceptual_quality"]

LOWEST = 0.25
"""Share of the picture that ``PerceptualQuality.map_score`` is the mean of: the worst. ``benchmarks/decision.py``
decides it."""
_SMALLEST = 1e-12


@dataclass(frozen=True)
class PerceptualQuality:
    """PQ-Map of a batch of B pictures."""

    score: Tensor
    """PS, (B,) float32 in [0, 1]; high is good."""
    factors: dict[str, Tensor]
    """s_f of overall, technical, rational, natural: probability of *good*, (B,) each."""
    quality_map: Tensor
    """PQ, (B, H, W) float32 in [0, 1]; high is good."""
    defect_map: Tensor
    """1 − PQ: high where the picture is bad."""
    worst_region: Tensor
    """(B,) float32 in [0, 1]: the lowest mean of PQ over any 3 × 3 neighbouring patches; high is good. Ours, not the
    paper's: PS averages over the picture, so a hole in a good one hardly lowers it. With the "released" formula,
    which stretches every map from 0 to 1, it compares no pictures with each other."""
    ratios: dict[str, Tensor] = field(default_factory=dict)
    """s_f / β_f of every factor, and of the map's statistic ("map") where the model has a bound for it; (B,) each, at
    least 0 and not clamped: below 1 is what fails."""
    map_score: Tensor | None = None
    """(B,) float32 in [0, 1]: the map's statistic, the mean of PQ over the worst ``LOWEST`` of the picture. Ours."""

    @property
    def log_ratio(self) -> Tensor:
        """(B,) float32: the sum of the logarithms of ``ratios``. It tells good pictures apart, which all have PS 1: for
        ranking, training and the guard, not for verdicts."""
        total = torch.zeros_like(self.score)
        for values in self.ratios.values():
            total = total + values.clamp(min=_SMALLEST).log()
        return total

    @property
    def unmatched(self) -> tuple[tuple[str, ...], ...]:
        """For each picture the keys of ``ratios`` that are below 1, the lowest first."""
        rows = {name: values.tolist() for name, values in self.ratios.items()}
        return tuple(
            tuple(sorted((name for name in rows if rows[name][index] < 1.0), key=lambda name: rows[name][index]))
            for index in range(len(self.score))
        )


@renamed(calibration="formula")
def perceptual_quality(
    model: QualityModel,
    images: Tensor,
    formula: QualityFormula = "bounded",
    importance: Sequence[float] | Mapping[str, float] = (1.0, 1.0, 1.0),
    *,
    features: ImageFeatures | None = None,
    map_size: tuple[int, int] | None = None,
) -> PerceptualQuality:
    """Measure the perceptual quality of pictures (method, section 2).

    ``PS = Π_f min(s_f / β_f, 1)`` over all four factors, and the same at every patch: a defect can only lower the
    result, and PS is 1 exactly where nothing fails. The bounds β are the model's own
    (``QualityModel.perceptual_bounds``), some of the class token and some of the patches: the paper's for the published
    embeddings, which leave the overall factor at 1.

    Args:
        model: the quality model.
        images: (B, H, W, 3) float32 in [0, 1]; never written to.
        formula: "bounded" (unit features, CLIP's temperature, a bound for each factor, and for the map's statistic
            where the model has one, the map of all factors), "paper" (the same without the map's statistic), or
            "released", which reproduces the numbers of the authors' script: features divided by their norm over the
            tokens, raw dot products, the technical bound for all, the map of the overall factor alone.
        importance: factors on the bounds of technical, rational, natural, each above 0; the authors' script also names
            (1.0, 0.6, 0.8). Smaller: that defect counts less.
        features: image features of the same pictures, if they are at hand already.
        map_size: (height, width) of the maps, pixels; None for the pictures' own. Whoever wants the scores alone saves
            the memory with (1, 1).

    Returns:
        Score (B,), factors, quality map and defect map (B, H, W), worst region (B,), on the device of ``images``.

    Raises:
        InputError: bad pictures, an unknown formula, or a bad importance.

    Source: method, section 2; G-Refine (arXiv 2404.18343), PQ-Map: cask effect of overall and three defect factors; the
        bounds β are the means on AGIN. "released": the authors' inference script (Q-Future/Q-Refine). The worst region
        is ours.
    """
    quality_model(model)
    weights = check_options(formula, importance)
    pictures = as_images(images)
    features = features or model.features_of(pictures)
    return from_features(model, features, pictures, formula, weights, map_size)


def check_options(formula: object, importance: object) -> dict[str, float]:
    """Return the importance of each defect factor, after checking both options.

    Raises:
        InputError: an unknown formula, or an importance that is not three finite numbers above 0.
    """
    choice(formula, "formula", FORMULAS)
    return _importance(importance)


@torch.no_grad()
def from_features(
    model: QualityModel,
    features: ImageFeatures,
    pictures: Tensor,
    formula: QualityFormula,
    weights: Mapping[str, float],
    map_size: tuple[int, int] | None = None,
) -> PerceptualQuality:
    """:func:`perceptual_quality` behind its checks; of ``pictures`` (B, H, W, 3) only size and device are used.

    Args:
        model: the quality model: temperature, embeddings and bounds.
        features: of the same pictures: tokens (B, 1 + h·w, C), class token first.
        pictures: (B, H, W, 3); only size and device are used.
        formula: "bounded", "paper" or "released".
        weights: technical, rational, natural -> importance above 0.
        map_size: (height, width) of the maps, pixels; None for the pictures' own.

    Returns:
        Scores (B,) and maps (B, H, W) float32 in [0, 1], on the device of ``pictures``.

    Source: method, section 2; G-Refine (arXiv 2404.18343), PQ-Map: PS = s_0 · Π_f min(s_f / β_f, 1), and PQ(x) likewise
        at every patch.
    """
    bounds: Mapping[str, float] | Mapping[str, Tensor]
    own: list[PerceptualBounds] = []
    if formula == "released":
        preference, small, mode = _released(model, features)
        bounds = _weighted({**dict.fromkeys(BOUNDS, BOUNDS["technical"]), "overall": 1.0}, weights)
    else:
        own = _bounds_of(model, features, formula)
        preference, small, mode = _paper(model, features, _weighted(own[0].patches, weights))
        bounds = _weighted(own[0].score, weights)
        if len(own) > 1:
            bounds = {
                name: torch.tensor([each.score[name] * weights.get(name, 1.0) for each in own]) for name in FACTORS
            }
    scores = preference[..., 0]
    whole, statistic = cask(scores, bounds), lowest(small)
    ratios = {name: scores[index] / bounds[name] for index, name in enumerate(FACTORS)}
    if formula == "bounded" and own[0].map is not None:
        ratios["map"] = statistic / torch.tensor([each.map or 1.0 for each in own])
        whole = whole * ratios["map"].clamp(max=1.0)
    height, width = map_size or pictures.shape[1:3]
    small = small.unflatten(-1, features.grid).unsqueeze(1).to(pictures.device)
    quality_map = F.interpolate(small, size=(height, width), mode=mode, align_corners=False)[:, 0].clamp_(0.0, 1.0)
    return PerceptualQuality(
        score=whole.to(pictures.device),
        factors={name: scores[index].to(pictures.device) for index, name in enumerate(FACTORS)},
        quality_map=quality_map,
        defect_map=1.0 - quality_map,
        worst_region=worst_region(small),
        ratios={name: values.to(pictures.device) for name, values in ratios.items()},
        map_score=statistic.to(pictures.device),
    )


def _bounds_of(model: QualityModel, features: ImageFeatures, formula: QualityFormula) -> list[PerceptualBounds]:
    """The bounds of every picture, or of all alike: "bounded" takes those that were measured for their kinds with these
    weights, where there are any. The bounds of the patches are the same for all kinds."""
    from .calibration.kinds import calibrations_of

    if formula != "bounded" or model.calibration is None or model.calibration.perceptual is None:
        return [model.perceptual_bounds]
    measured = [each.perceptual for each in calibrations_of(model.calibration, model, features)]
    return [model.calibration.perceptual if each is None else each for each in measured]


def lowest(small: Tensor, share: float = LOWEST) -> Tensor:
    """The mean of a quality map over the worst share of its patches, one patch at least.

    Args:
        small: (B, N) in [0, 1], the map at patch resolution, high is good.
        share: in (0, 1]; 1 for the mean over all.

    Returns:
        (B,) float32 in [0, 1].

    Source: ours.
    """
    count = max(1, round(share * small.shape[-1]))
    return small.float().topk(count, dim=-1, largest=False).values.mean(dim=-1)


def worst_region(small: Tensor) -> Tensor:
    """The lowest mean of a quality map over any 3 × 3 neighbouring patches; at edges over those that there are.

    A single patch is noisy, the picture's own structure shows in it; a defect worth repairing is larger.

    Args:
        small: (B, 1, h, w) in [0, 1], the map at patch resolution, high is good; h and w may be less than 3.

    Returns:
        (B,) float32 in [0, 1].

    Source: ours; the paper has the mean over the picture (PS) alone.
    """
    means = F.avg_pool2d(small.float(), kernel_size=3, stride=1, padding=1, count_include_pad=False)
    return means.flatten(1).amin(dim=1).clamp(0.0, 1.0)


def _importance(importance: object) -> dict[str, float]:
    if isinstance(importance, Mapping):
        unknown = set(importance) - set(BOUNDS)
        if unknown:
            raise InputError(
                f"importance: unknown factors {', '.join(sorted(map(str, unknown)))}; it has {', '.join(BOUNDS)}."
            )
        values = [importance.get(name, 1.0) for name in BOUNDS]
    else:
        values = list(importance) if isinstance(importance, Sequence) and not isinstance(importance, str) else []
    if len(values) != len(BOUNDS) or not all(isinstance(v, int | float) and math.isfinite(v) and v > 0 for v in values):
        raise InputError(f"importance: expected three numbers above 0 for {', '.join(BOUNDS)}, got {importance!r}.")
    return {name: float(value) for name, value in zip(BOUNDS, values, strict=True)}


def _weighted(bounds: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, float]:
    """β times importance; the overall factor has none."""
    return {name: bounds[name] * weights.get(name, 1.0) for name in FACTORS}


def _paper(model: QualityModel, features: ImageFeatures, bounds: Mapping[str, float]) -> tuple[Tensor, Tensor, str]:
    """Preferences (factor, B, 1 + N), the map at patch resolution (B, N) by the bounds of patches, and how to enlarge
    it."""
    pairs = model.factor_features()
    texts = F.normalize(torch.stack([pairs[name] for name in FACTORS]), dim=-1)
    # The softmax over a pair is the sigmoid of the difference: one product instead of two.
    logits = torch.einsum("btc,fc->fbt", features.unit, texts[:, 0] - texts[:, 1])
    preference = torch.sigmoid(model.temperature * logits)
    return preference, cask(preference[..., 1:], bounds), "bicubic"


def _released(model: QualityModel, features: ImageFeatures) -> tuple[Tensor, Tensor, str]:
    """As :func:`_paper`, the authors' script's way (method, section 2, "As released")."""
    pairs = model.factor_features()
    texts = torch.stack([pairs[name] for name in FACTORS])
    tokens = features.tokens / features.tokens.norm(dim=1, keepdim=True)
    preference = torch.sigmoid(torch.einsum("bc,fc->fb", tokens[:, 0], texts[:, 0] - texts[:, 1])).unsqueeze(-1)
    similarity = tokens[:, 1:] @ texts[FACTORS.index("overall"), 0]
    low, high = similarity.amin(1, keepdim=True), similarity.amax(1, keepdim=True)
    return preference, (similarity - low) / (high - low).clamp(min=1e-12), "bilinear"
