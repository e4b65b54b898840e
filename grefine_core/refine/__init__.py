"""The two-stage refiner and the no-harm guard, independent of any engine (method, section 6).

``grefine_core.refine`` is both this package and, when called, the function ``refine`` in it: the public name of the
method and the name of its home are the same word.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from .crops import CropOptions, CropPlan, plan_crop
from .guard import GuardResult, guard
from .pipeline import RefineResult, refine
from .protocols import (
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
    "CropOptions",
    "CropPlan",
    "EmphasisOptions",
    "GuardResult",
    "Inpainter",
    "MaskOptions",
    "PlanOptions",
    "Progress",
    "RefineOptions",
    "RefineResult",
    "Restorer",
    "guard",
    "picture_seed",
    "plan_crop",
    "refine",
    "region_seed",
    "second_stage_seed",
    "stage1",
    "stage2",
]


class _CallableModule(ModuleType):
    """Importing a subpackage binds its name in the parent: without this, ``grefine_core.refine`` would change its
    meaning from the function to the package with the first import."""

    def __call__(self, *args: Any, **kwargs: Any) -> RefineResult:
        return refine(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
