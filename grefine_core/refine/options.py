"""The options of ``refine``, grouped by the step that they belong to. Defaults are those of the steps themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from .crops import CropOptions


@dataclass(frozen=True)
class MaskOptions:
    """From maps to masks; see ``masks.merge_maps`` (merge, weights) and ``masks.binarize_map`` (all else)."""

    merge: str = "max"
    weights: Sequence[float] | None = None
    method: str = "threshold"
    threshold: float = 0.5
    top: float = 0.2
    floor: float = 0.3
    contrast: float = 0.1
    min_area: float = 0.001
    grow: float = 0.02
    feather: float = 0.02
    fill_holes: bool = True


@dataclass(frozen=True)
class PlanOptions:
    """Whether, how strongly, in how many steps; see ``plan.plan_refinement``."""

    mode: str = "gated"
    steps: int = 20
    stage1_min: float = 0.5
    stage1_max: float = 0.9
    stage2_strength: float = 0.2
    perceptual_bar: float = 0.8
    alignment_bar: float = 0.8
    region_bar: float = 0.0


@dataclass(frozen=True)
class EmphasisOptions:
    """How the unmatched phrases are emphasised; see ``emphasis.emphasize``."""

    minimum: float = 1.1
    maximum: float = 1.5
    style: Literal["weight", "repeat"] = "weight"


@dataclass(frozen=True)
class RefineOptions:
    """Everything that ``refine`` can be told.

    Attributes:
        masks, plan, emphasis, crop: of the steps.
        guard: whether changes that lower an indicator are refused.
        tolerance: by how much an indicator may fall, against the stage's input and against the picture's own.
        stage1_keep_color: match the crops' colours to their surroundings.
        stage2_keep_color: give the restored picture the colours that it had.
    """

    masks: MaskOptions = field(default_factory=MaskOptions)
    plan: PlanOptions = field(default_factory=PlanOptions)
    emphasis: EmphasisOptions = field(default_factory=EmphasisOptions)
    crop: CropOptions = field(default_factory=CropOptions)
    guard: bool = True
    tolerance: float = 0.0
    stage1_keep_color: bool = True
    stage2_keep_color: bool = True
