"""Prompt Emphasis: the prompt with its unmatched phrases weighted."""

from __future__ import annotations

from comfy_api.latest import io

from ..grefine_core.alignment.results import PhraseQuality
from ..grefine_core.prompt.emphasis import STYLES, emphasize
from . import inputs, notices, preview
from .host import schema
from .io_types import CATEGORY, PhrasesType, prompt_input

WEIGHT_RANGE = (1.0, 3.0)


class GRefinePromptEmphasis(io.ComfyNode):
    """Weights what the picture does not show."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        low, high = WEIGHT_RANGE
        return schema(
            node_id="GRefinePromptEmphasis",
            display_name="Prompt Emphasis",
            category=f"{CATEGORY}/prompt",
            description="Emphasises in the prompt what the picture does not show: (red balloon:1.30). Weights, LoRA "
            "tags, BREAK and everything else stay as they are; with nothing unmatched the prompt comes out unchanged.",
            search_aliases=["prompt weight", "attention weight"],
            has_intermediate_output=True,
            inputs=[
                prompt_input("The same prompt that AQ-Map was given."),
                PhrasesType.Input("phrases", tooltip="From AQ-Map."),
                io.Float.Input(
                    "minimum",
                    default=1.1,
                    min=low,
                    max=high,
                    step=0.05,
                    tooltip="Weight of a phrase that is just missed.",
                ),
                io.Float.Input(
                    "maximum",
                    default=1.5,
                    min=low,
                    max=high,
                    step=0.05,
                    tooltip="Weight of a phrase that is not there at all.",
                ),
                io.Combo.Input(
                    "style",
                    options=list(STYLES),
                    default="weight",
                    tooltip="weight: (phrase:1.3). repeat: says the phrase again, for text encoders that ignore "
                    "weights (T5, as in Flux).",
                ),
            ],
            outputs=[
                io.String.Output(
                    "emphasized_prompt",
                    display_name="emphasized_prompt",
                    tooltip="One prompt for each picture.",
                    is_output_list=True,
                )
            ],
        )

    @classmethod
    def execute(cls, prompt: str, phrases: object, minimum: float, maximum: float, style: str) -> io.NodeOutput:
        """Emphasise the prompt for every picture that `phrases` speaks of."""
        prompt = inputs.text(prompt, "prompt")
        weakest = inputs.number(minimum, "minimum", *WEIGHT_RANGE)
        strongest = inputs.number(maximum, "maximum", *WEIGHT_RANGE)
        style = inputs.choice(style, "style", STYLES)
        groups = inputs.flatten_groups(phrases, "phrases", PhraseQuality, "the phrases that AQ-Map gives")
        found = [emphasize(prompt, group, minimum=weakest, maximum=strongest, style=style) for group in groups]
        lines = (
            notices.of_prompt(prompt, group)
            or [preview.line(text) if text != prompt else preview.line("As it was.", "faint")]
            for text, group in zip(found, groups, strict=True)
        )
        return io.NodeOutput(found, ui=preview.cards(lines))
