"""The project's own scores, of the quality model."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from grefine_core.clip.quality_model import QualityModel

from .protocol import Context, Indicator, Spec

Measure = Callable[[QualityModel, Tensor, str], float]


class OwnScore:
    """A score made of the quality model's maps; ``reads``: of its prompt, too."""

    def __init__(self, model: QualityModel, measure: Measure, reads: bool = True) -> None:
        self._model, self._measure, self._reads = model, measure, reads

    def score(self, image: Tensor, prompt: str) -> float:
        """As ``Indicator.score``."""
        # What is remembered of other prompts decides which texts are encoded together, and thereby the last digits: a
        # run that goes on is to give the very figures of one that was never ended.
        if self._reads:
            self._model.clear_cache()
        return self._measure(self._model, image, prompt)


def identity(context: Context) -> str:
    """Weights, embeddings, bounds and options of the quality model."""
    if context.own_identity is None:
        context.own_identity = _identity(context)  # of a large model it takes a while
    return context.own_identity


def _identity(context: Context) -> str:
    from ...training.fingerprint import model_fingerprint, tensor_fingerprint

    model = context.quality
    encoder = getattr(model, "alignment_encoder", None)
    parts = [
        model_fingerprint(model.module),
        tensor_fingerprint(**model.factor_features()),
        [str(getattr(encoder, name, None)) for name in ("name", "maps", "view", "nouns", "absolute", "window")],
        model.resolution,
        model.blocks,
        model.perceptual_bounds,
        model.calibration,
        model.contrast_vocabulary,
        sorted(context.assessment.items()),
    ]
    return json.dumps(parts, default=str)


def bounded(context: Context) -> bool:
    """Whether scores are bounded: good pictures tie at 1 then, and are ranked by what is not clamped."""
    return context.assessment.get("formula", "bounded") == "bounded"


def _perceptual(context: Context, factor: str | None) -> Indicator:
    from grefine_core.perceptual import perceptual_quality

    chosen = {name: context.assessment[name] for name in ("formula", "importance") if name in context.assessment}

    def measure(model: QualityModel, image: Tensor, prompt: str) -> float:  # noqa: ARG001
        found = perceptual_quality(model, image, **chosen)
        if factor is not None:
            return float(found.factors[factor][0])
        return float((found.log_ratio if bounded(context) else found.score)[0])

    return OwnScore(context.quality, measure, reads=False)


def _alignment(context: Context) -> Indicator:
    from grefine_core.alignment import alignment_quality

    chosen = {name: value for name, value in context.assessment.items() if name != "importance"}

    def measure(model: QualityModel, image: Tensor, prompt: str) -> float:
        found = alignment_quality(model, image, prompt, **chosen)
        return float((found.log_ratio if bounded(context) else found.score)[0])

    return OwnScore(context.quality, measure)


@torch.no_grad()
def _surgery_similarity(model: QualityModel, image: Tensor, prompt: str) -> float:
    """CLIP Surgery as an indicator **[choice]**: mean over the patches of the similarity to the prompt as a whole, the
    empty string's subtracted. How the paper made one number of its map is not said."""
    patches = model.features_of(image).unit[0, 1:]
    texts = model.text_features([prompt, ""])
    return float((patches @ (texts[0] - texts[1])).mean())


_LICENCE = "Apache-2.0; weights of CLIP: MIT"
SPECS = (
    Spec(
        "pq",
        "PQ-Map (ours)",
        "perceptual",
        partial(_perceptual, factor=None),
        identity,
        licence=_LICENCE,
        paper=("PQ-Map",),
    ),
    Spec("aq", "AQ-Map (ours)", "alignment", _alignment, identity, licence=_LICENCE, paper=("AQ-Map",)),
    Spec(
        "clip-surgery",
        "CLIP Surgery",
        "alignment",
        lambda context: OwnScore(context.quality, _surgery_similarity),
        identity,
        licence=_LICENCE,
        paper=("CLIP Surgery",),
    ),
)
FACTOR_SPECS = tuple(
    Spec(
        f"pq-{factor}",
        f"PQ-Map: {factor}",
        "perceptual",
        partial(_perceptual, factor=factor),
        identity,
        licence=_LICENCE,
        target=factor,
    )
    for factor in ("technical", "rational", "natural")
)
"""Factors of PQ-Map, for data sets with labels of their own for them."""
