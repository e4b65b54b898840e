"""G-Refine: find what is wrong with a generated image, perceptually and against its prompt, and repair exactly that.

A plain library on tensors; it knows nothing of ComfyUI. After *G-Refine: A General Quality Refiner for Text-to-Image
Generation* (arXiv 2404.18343). Conventions at every border: images ``(B, H, W, 3)`` float32 in [0, 1], masks and maps
``(B, H, W)`` float32 in [0, 1].

Names are resolved on first use, so that importing the package stays quick.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .alignment import (
        AlignmentQuality,
        Assessment,
        Calibration,
        PhraseQuality,
        alignment_quality,
        assess,
        calibrate,
    )
    from .clip.embeddings import load_embeddings
    from .clip.loading import load_quality_model
    from .clip.quality_model import QualityModel
    from .clip.surgery import encode_image
    from .masks import Mask, binarize_map, merge_maps
    from .perceptual import PerceptualQuality, perceptual_quality
    from .plan import Plan, plan_refinement
    from .prompt.emphasis import emphasize
    from .prompt.syntax import Phrase, PromptTree, Word, parse_prompt
    from .refine import RefineResult, refine, stage1, stage2
    from .refine.guard import guard

__version__ = "0.1.0"

_HOMES = {
    "alignment": (
        "AlignmentQuality",
        "Assessment",
        "Calibration",
        "PhraseQuality",
        "alignment_quality",
        "assess",
        "calibrate",
    ),
    "clip.embeddings": ("load_embeddings",),
    "clip.loading": ("load_quality_model",),
    "clip.quality_model": ("QualityModel",),
    "clip.surgery": ("encode_image",),
    "errors": ("Cancelled", "GRefineError", "InputError", "ModelFileError"),
    "masks": ("Mask", "binarize_map", "merge_maps"),
    "perceptual": ("PerceptualQuality", "perceptual_quality"),
    "plan": ("Plan", "plan_refinement"),
    "prompt.emphasis": ("emphasize",),
    "prompt.syntax": ("Phrase", "PromptTree", "Word", "parse_prompt"),
    "refine": ("RefineResult", "guard", "stage1", "stage2"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
# Modules by the names that `from grefine_core import …` knows.
_MODULES = {
    **{
        name: name
        for name in ("alignment", "cli", "clip", "engines", "errors", "masks", "models", "perceptual", "plan")
    },
    **{name: name for name in ("prompt", "report")},
    "emphasis": "prompt.emphasis",
    "quality_model": "clip.quality_model",
    "surgery": "clip.surgery",
    "syntax": "prompt.syntax",
}

__all__ = [
    "AlignmentQuality",
    "Assessment",
    "Calibration",
    "Cancelled",
    "GRefineError",
    "InputError",
    "Mask",
    "ModelFileError",
    "PerceptualQuality",
    "Phrase",
    "PhraseQuality",
    "Plan",
    "PromptTree",
    "QualityModel",
    "RefineResult",
    "Word",
    "alignment_quality",
    "assess",
    "binarize_map",
    "calibrate",
    "emphasize",
    "encode_image",
    "guard",
    "load_embeddings",
    "load_quality_model",
    "merge_maps",
    "parse_prompt",
    "perceptual_quality",
    "plan_refinement",
    "refine",
    "stage1",
    "stage2",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None and name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})


class _Library(ModuleType):
    """This package, in which ``refine`` is the function and not the subpackage of that name.

    Importing a subpackage binds its name here, so that ``refine`` would mean the one or the other depending on what was
    imported before. With the name held fast it is always the function; what the subpackage holds is reached by
    ``from grefine_core.refine import …`` and ``from grefine_core.refine.stages import …``.
    """

    @property
    def refine(self) -> Any:
        """The function ``refine``."""
        from .refine.pipeline import refine

        return refine

    @refine.setter
    def refine(self, subpackage: ModuleType) -> None:
        """Leave the name as it is when the import system binds the subpackage to it."""


sys.modules[__name__].__class__ = _Library
