"""Quality Report: a picture of it all, and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from comfy_api.latest import io, ui

from ..grefine_core.errors import InputError
from ..grefine_core.report import comparison_sheet, shown_size
from . import host, inputs, notices, preview, report_data
from .io_types import (
    CATEGORY,
    PhrasesType,
    alignment_inputs,
    image_input,
    measure_anyway_input,
    perceptual_inputs,
    prompt_input,
    quality_model_input,
)
from .options import Measure
from .quality_model import quality_of


class GRefineQualityReport(io.ComfyNode):
    """Shows what was done, and what it brought."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return host.schema(
            node_id="GRefineQualityReport",
            display_name="Quality Report",
            category=f"{CATEGORY}/report",
            description="Shows before and after with scores, maps, phrases and decisions on one sheet, and as JSON.",
            search_aliases=["compare images", "image quality report"],
            is_input_list=True,
            is_output_node=True,
            inputs=[
                image_input("before", "The pictures as they were."),
                image_input("after", "The result."),
                quality_model_input(),
                prompt_input("What the picture was meant to show: the prompt that AQ-Map was given."),
                *perceptual_inputs(),
                *alignment_inputs(),
                io.String.Input(
                    "emphasized_prompt", optional=True, force_input=True, tooltip="From Prompt Emphasis, to be shown."
                ),
                PhrasesType.Input(
                    "phrases",
                    optional=True,
                    tooltip="From AQ-Map of the pictures before; without it they are measured.",
                ),
                io.Mask.Input("perceptual_defects", optional=True, tooltip="PQ-Map's defect map, to be shown."),
                io.Mask.Input("alignment_defects", optional=True, tooltip="AQ-Map's defect map, to be shown."),
                io.Mask.Input("denoise_mask", optional=True, tooltip="From Binarize Map, to be shown."),
                io.String.Input("plan_reason", optional=True, force_input=True, tooltip="reason of Refine Plan."),
                io.String.Input(
                    "stage1_guard", optional=True, force_input=True, tooltip="guard_report of the guard after stage 1."
                ),
                io.String.Input(
                    "stage2_guard", optional=True, force_input=True, tooltip="guard_report of the guard after stage 2."
                ),
                measure_anyway_input(),
            ],
            outputs=[
                io.Image.Output(
                    "sheet", display_name="sheet", tooltip="A picture of it all, one for each.", is_output_list=True
                ),
                io.String.Output(
                    "report_json", display_name="report_json", tooltip="The same as JSON.", is_output_list=True
                ),
            ],
        )

    @classmethod
    @host.explained("drawing the report", host.SMALLER)
    def execute(
        cls,
        before: Sequence[object],
        after: Sequence[object],
        quality_model: Sequence[object],
        prompt: Sequence[object],
        formula: Sequence[object],
        importance_technical: Sequence[object],
        importance_rational: Sequence[object],
        importance_natural: Sequence[object],
        scoring: Sequence[object],
        aggregate: Sequence[object],
        include_style: Sequence[object],
        emphasized_prompt: Sequence[object] | None = None,
        phrases: Sequence[object] | None = None,
        perceptual_defects: Sequence[object] | None = None,
        alignment_defects: Sequence[object] | None = None,
        denoise_mask: Sequence[object] | None = None,
        plan_reason: Sequence[object] | None = None,
        stage1_guard: Sequence[object] | None = None,
        stage2_guard: Sequence[object] | None = None,
        measure_anyway: Sequence[object] | None = None,
    ) -> io.NodeOutput:
        """Measure both pictures, and put everything that is connected on one sheet for each."""
        old, new = inputs.flatten_images(before, "before"), inputs.flatten_images(after, "after")
        if len(old) != len(new):
            raise InputError(f"after: {len(new)} pictures, but before has {len(old)}. Connect the same pictures.")
        prompts = [inputs.text(value, "prompt") for value in inputs.per_picture(prompt, "prompt", len(old))]
        measure = Measure.from_inputs(
            inputs.single(formula, "formula"),
            inputs.single(importance_technical, "importance_technical"),
            inputs.single(importance_rational, "importance_rational"),
            inputs.single(importance_natural, "importance_natural"),
            inputs.single(scoring, "scoring"),
            inputs.single(aggregate, "aggregate"),
            inputs.single(include_style, "include_style"),
            inputs.single(measure_anyway, "measure_anyway") if inputs.given(measure_anyway) else False,
            interrupt=host.check_interrupted,
        )
        connected = {
            "emphasized_prompt": emphasized_prompt,
            "phrases": phrases,
            "perceptual_defects": perceptual_defects,
            "alignment_defects": alignment_defects,
            "denoise_mask": denoise_mask,
            "plan_reason": plan_reason,
            "stage1_guard": stage1_guard,
            "stage2_guard": stage2_guard,
        }
        extras = report_data.gather(old, connected, prompts)
        quality = quality_of(inputs.single(quality_model, "quality_model"))

        tell = host.progress(len(old))
        sheets, texts, previews, words, lines = [], [], [], [], []
        for index, (first, second) in enumerate(zip(old.items, new.items, strict=True)):
            tell(index, len(old), None)
            size = shown_size((first.shape[1], first.shape[2]))
            measured = (
                measure(quality, first, prompts[index], map_size=size),
                measure(quality, second, prompts[index], map_size=(1, 1)),  # its maps are not on the sheet
            )
            report = report_data.build(first, second, prompts[index], measured, extras[index])
            sheet = host.to_host(comparison_sheet(first, second, report))
            sheets.append(sheet)
            texts.append(json.dumps(report_data.as_data(report, extras[index]), indent=2, ensure_ascii=False))
            previews += ui.PreviewImage(sheet, cls=cls).as_dict()["images"]
            words.append(report_data.summary(report))
            lines.append(
                [
                    *notices.of_prompt(prompts[index], measured[0].alignment.phrases[0]),
                    *notices.of_model(quality, notices.PERCEPTUAL + notices.ALIGNMENT),
                    *notices.of_world(quality, report.size, measured[0].alignment.phrases[0]),
                    *report_data.lines(report),
                ]
            )
        tell(len(old), len(old), None)
        pairs = ((first[0], second[0]) for first, second in zip(old.items, new.items, strict=True))
        shown = preview.cards(lines, compared=pairs)
        return io.NodeOutput(sheets, texts, ui={"images": previews, "text": words, **shown})
