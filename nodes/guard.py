"""No-Harm Guard: the better of before and after, region by region."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from comfy_api.latest import io

from ..grefine_core.refine.guard import guard
from . import host, inputs, preview, report_data
from .io_types import (
    CATEGORY,
    alignment_inputs,
    image_input,
    measure_anyway_input,
    perceptual_inputs,
    prompt_input,
    quality_model_input,
)
from .options import Measure
from .quality_model import quality_of


class GRefineNoHarmGuard(io.ComfyNode):
    """Takes back what made a picture worse."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return host.schema(
            node_id="GRefineNoHarmGuard",
            display_name="No-Harm Guard",
            category=f"{CATEGORY}/refine",
            description="Measures both pictures and takes back every region that got worse, byte for byte.",
            search_aliases=["compare images", "keep better image", "rollback"],
            is_input_list=True,
            inputs=[
                image_input("after", "The changed pictures."),
                image_input("before", "What they were made from."),
                quality_model_input(),
                prompt_input("What the picture was meant to show: the prompt that AQ-Map was given."),
                io.String.Input("stage", default="stage 1", tooltip="The name of what is guarded, for the report."),
                io.Float.Input(
                    "tolerance",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="How much either score may fall before a change is refused.",
                ),
                *perceptual_inputs(),
                *alignment_inputs(),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="The denoise mask: decide for each connected region of it. Without it, for the whole "
                    "picture.",
                ),
                measure_anyway_input(),
            ],
            outputs=[
                io.Image.Output(
                    "image",
                    display_name="image",
                    tooltip="The changed pictures; regions that got worse are as before.",
                    is_output_list=True,
                ),
                io.String.Output(
                    "guard_report",
                    display_name="guard_report",
                    tooltip="JSON for each picture: each decision with its figures.",
                    is_output_list=True,
                ),
            ],
        )

    @classmethod
    @host.explained("comparing pictures", host.SMALLER)
    def execute(
        cls,
        after: Sequence[object],
        before: Sequence[object],
        quality_model: Sequence[object],
        prompt: Sequence[object],
        stage: Sequence[object],
        tolerance: Sequence[object],
        formula: Sequence[object],
        importance_technical: Sequence[object],
        importance_rational: Sequence[object],
        importance_natural: Sequence[object],
        scoring: Sequence[object],
        aggregate: Sequence[object],
        include_style: Sequence[object],
        mask: Sequence[object] | None = None,
        measure_anyway: Sequence[object] = (False,),
    ) -> io.NodeOutput:
        """Judge picture by picture; batches come out as they came in."""
        new = inputs.flatten_images(after, "after", canvas=True)
        old = inputs.like_images(before, "before", new, "after")
        prompts = [inputs.text(value, "prompt") for value in inputs.per_picture(prompt, "prompt", len(new))]
        margins = [
            inputs.number(value, "tolerance", 0.0, 1.0)
            for value in inputs.per_picture(tolerance, "tolerance", len(new))
        ]
        masks = inputs.flatten_masks(mask, "mask", new, "after") if inputs.given(mask) else [None] * len(new)
        name = inputs.text(inputs.single(stage, "stage"), "stage")
        measure = Measure.from_inputs(
            inputs.single(formula, "formula"),
            inputs.single(importance_technical, "importance_technical"),
            inputs.single(importance_rational, "importance_rational"),
            inputs.single(importance_natural, "importance_natural"),
            inputs.single(scoring, "scoring"),
            inputs.single(aggregate, "aggregate"),
            inputs.single(include_style, "include_style"),
            inputs.single(measure_anyway, "measure_anyway"),
            interrupt=host.check_interrupted,
        )
        quality = quality_of(inputs.single(quality_model, "quality_model"))

        report = host.progress(len(new))
        kept, texts, lines = [], [], []
        for index, picture in enumerate(new.items):
            report(index, len(new), None)
            result = guard(
                old[index],
                picture,
                quality,
                prompts[index],
                mask=masks[index],
                tolerance=margins[index],
                assess=partial(measure, map_size=(1, 1)),  # its scores are wanted, not its maps
            )
            kept.append(result.image)
            texts.append(report_data.write(name, result.entries[0], result.before[0], result.after[0]))
            told = [preview.decision(entry, name) for entry in result.entries[0]]
            lines.append(told or [preview.line("Nothing had changed.", "faint")])
        report(len(new), len(new), None)
        return io.NodeOutput(
            [host.to_host(batch, batch.dtype) for batch in new.regroup(kept)], texts, ui=preview.cards(lines)
        )
