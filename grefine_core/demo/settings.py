"""The choices of the miniature world as inputs of the nodes in the workflow ``grefine_miniature``."""

from __future__ import annotations

from ..miniature.choices import Choices
from ..miniature.diffusion import FACTOR, LATENT_SIDE
from ..miniature.loading import GUIDANCE

#: By kind of node its inputs, by name.
Settings = dict[str, dict[str, object]]


def node_settings(choices: Choices, seed: int = 0, include_style: bool = False) -> Settings:
    """Inputs with constant values, for every node of a kind; what the nodes have no input for stays as they are."""
    options = choices.options
    masks, plan, emphasis, crop = options.masks, options.plan, options.emphasis, options.crop
    factors = zip(("technical", "rational", "natural"), choices.importance, strict=True)
    perceptual: dict[str, object] = {
        "formula": choices.calibration,
        **{f"importance_{factor}": value for factor, value in factors},
    }
    alignment: dict[str, object] = {
        "scoring": choices.scoring or "auto",
        "aggregate": choices.aggregate,
        "include_style": include_style,
    }
    weights = zip("ab", masks.weights or (1.0, 1.0), strict=True)
    side = FACTOR * LATENT_SIDE
    return {
        "GRefinePQMap": perceptual,
        "GRefineAQMap": alignment,
        "GRefineMergeMaps": {"mode": masks.merge, **{f"weight_{name}": float(value) for name, value in weights}},
        "GRefineBinarizeMap": {
            "method": masks.method,
            "threshold": masks.threshold,
            "top_share": masks.top,
            "floor": masks.floor,
            "min_area": masks.min_area,
            "grow": masks.grow,
            "feather": masks.feather,
            "fill_holes": masks.fill_holes,
        },
        "GRefinePromptEmphasis": {
            "minimum": emphasis.minimum,
            "maximum": emphasis.maximum,
            "style": emphasis.style,
        },
        "GRefinePlan": {
            "mode": plan.mode,
            "steps": plan.steps,
            "stage1_min": plan.stage1_min,
            "stage1_max": plan.stage1_max,
            "stage2_strength": plan.stage2_strength,
            "perceptual_bar": plan.perceptual_bar,
            "alignment_bar": plan.alignment_bar,
            "region_bar": plan.region_bar,
        },
        "GRefineStage1Inpaint": {
            "seed": seed,
            "cfg": GUIDANCE if choices.guidance is None else choices.guidance,
            "crop_size": crop.crop_size,
            "min_side": side,
            "native_side": side,
            "context": crop.context,
            "color_match": options.stage1_keep_color,
        },
        "GRefineStage2Restore": {"seed": seed, "keep_color": options.stage2_keep_color},
        # With a tolerance of 1 nothing is ever refused.
        "GRefineNoHarmGuard": {**perceptual, **alignment, "tolerance": options.tolerance if options.guard else 1.0},
        "GRefineQualityReport": {**perceptual, **alignment},
    }
