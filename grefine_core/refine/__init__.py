"""The two-stage refiner and the no-harm guard, independent of any engine (method, section 6).

``from grefine_core import refine`` gives the function, ``from grefine_core.refine import …`` what this package holds.
"""

from __future__ import annotations

from ..regions import RegionOptions
from .attempts import Attempt, read_keep
from .crops import CropOptions, CropPlan, plan_crop
from .gains import Noise
from .guard import GuardResult, guard
from .pipeline import RefineResult, refine
from .protocols import (
    Capabilities,
    EmphasisOptions,
    Inpainter,
    MaskOptions,
    PlanOptions,
    Progress,
    RefineOptions,
    Restorer,
    picture_seed,
    region_seed,
    second_stage_seed,
)
from .stages import stage1, stage2

__all__ = [
    "Attempt",
    "Capabilities",
    "CropOptions",
    "CropPlan",
    "EmphasisOptions",
    "GuardResult",
    "Inpainter",
    "MaskOptions",
    "Noise",
    "PlanOptions",
    "Progress",
    "RefineOptions",
    "RefineResult",
    "RegionOptions",
    "Restorer",
    "guard",
    "picture_seed",
    "plan_crop",
    "read_keep",
    "refine",
    "region_seed",
    "second_stage_seed",
    "stage1",
    "stage2",
]
