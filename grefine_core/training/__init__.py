"""Training of the indicators: what the authors never released (paper, section on PQ-Map; method, sections 2 and 7).

PQ-Map is trained by *prompt tuning*: the CLIP model is frozen, pictures are encoded once (:mod:`.feature_store`), and
only the context of four pairs of prompts learns (:mod:`.prompt_tuning`).
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
