"""Training of the indicators: what the authors never released (paper, section on PQ-Map; method, sections 2 and 7).

PQ-Map is trained by *prompt tuning*: the CLIP model is frozen, pictures are encoded once (:mod:`.feature_store`), and
only the context of four pairs of prompts learns (:mod:`.prompt_tuning`), or a copy of the text encoder with it.
AQ-Map's bounds are fitted to raw scores that were measured once (:mod:`.alignment_scores`, :mod:`.alignment_bounds`);
ImageReward's image encoder, which may stand in CLIP's place there, is fine-tuned by :mod:`.reward_tuning`.
:mod:`.data` brings data sets (:mod:`grefine_research.datasets`) to what all of these take.
"""

from __future__ import annotations

from .feature_store import Features, build_features, open_features
from .options import PromptTuningOptions
from .prompt_tuning import TunedPrompts, tune_prompts
from .targets import Targets

__all__ = [
    "Features",
    "PromptTuningOptions",
    "Targets",
    "TunedPrompts",
    "build_features",
    "open_features",
    "tune_prompts",
]
