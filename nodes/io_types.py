"""Socket types and inputs that several nodes share, as the host's schema writes them."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..grefine_core.alignment.verdicts import AGGREGATES
from .host import known
from .options import FORMULAS, IMPORTANCE_RANGE, SCORINGS

QualityModelType = io.Custom("GREFINE_QUALITY_MODEL")
PhrasesType = io.Custom("GREFINE_PHRASES")
RestorerType = io.Custom("GREFINE_RESTORER")
InpaintPipelineType = io.Custom("GREFINE_INPAINT_PIPELINE")

CATEGORY = "G-Refine"


def image_input(name: str, tooltip: str) -> Any:
    """An IMAGE input."""
    return io.Image.Input(name, tooltip=tooltip)


def quality_model_input() -> Any:
    """The `quality_model` input."""
    return QualityModelType.Input("quality_model", tooltip="From Load Quality Model.")


def prompt_input(tooltip: str) -> Any:
    """The `prompt` input: multi-line, without the frontend's own wildcards (it would roll them per queueing)."""
    return io.String.Input("prompt", default="", multiline=True, dynamic_prompts=False, tooltip=tooltip)


def formula_input(**more: Any) -> Any:
    """The `formula` input."""
    return io.Combo.Input(
        "formula",
        options=list(FORMULAS),
        default="bounded",
        tooltip="How scores follow from what is measured. bounded: 1 where nothing is wrong, below 1 else. "
        "paper, released: as in the paper, or as the authors' published script computes, to compare with them.",
        **more,
        **known(io.Combo.Input, advanced=True),
    )


def perceptual_inputs() -> list[Any]:
    """`formula` and the three `importance_*` inputs."""
    low, high = IMPORTANCE_RANGE
    inputs = [formula_input()]
    explained = {
        "technical": "technical flaws (noise, blur, artefacts)",
        "rational": "things that make no sense (a sixth finger)",
        "natural": "an unnatural look (colours, light)",
    }
    for factor, what in explained.items():
        inputs.append(
            io.Float.Input(
                f"importance_{factor}",
                default=1.0,
                min=low,
                max=high,
                step=0.05,
                tooltip=f"How strictly {what} lower the score; lower is more lenient.",
                **known(io.Float.Input, advanced=True),
            )
        )
    return inputs


def alignment_inputs() -> list[Any]:
    """`scoring`, `aggregate` and `include_style`."""
    return [
        io.Combo.Input(
            "scoring",
            options=list(SCORINGS),
            default="auto",
            tooltip="How a phrase is scored: against similar phrases (contrast), or against the empty text (softmax). "
            "auto is the recommended way.",
            **known(io.Combo.Input, advanced=True),
        ),
        io.Combo.Input(
            "aggregate",
            options=list(AGGREGATES),
            default="product",
            tooltip="How the phrases' scores become one. The paper's product is hard on long prompts; geometric is "
            "not; min is the worst phrase.",
            **known(io.Combo.Input, advanced=True),
        ),
        io.Boolean.Input(
            "include_style",
            default=False,
            tooltip="Let style and quality tags (8k, oil painting, an artist's name) take part, too.",
            **known(io.Boolean.Input, advanced=True),
        ),
    ]


def score_output(name: str, tooltip: str) -> Any:
    """A FLOAT output with one value per picture."""
    return io.Float.Output(name, display_name=name, tooltip=tooltip, is_output_list=True)
