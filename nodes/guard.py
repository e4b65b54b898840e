"""No-Harm Guard: the better of before and after, region by region."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from comfy_api.latest import io
from torch import Tensor

from ..grefine_core.refine.attempts import read_keep
from ..grefine_core.refine.enlarged import fits, guard_resized
from ..grefine_core.refine.gains import MAP
from ..grefine_core.refine.guard import RULES, guard
from . import host, inputs, notices, preview, report_data
from .io_types import (
    CATEGORY,
    MOST_ATTEMPTS,
    alignment_inputs,
    image_input,
    keep_input,
    measure_anyway_input,
    perceptual_inputs,
    prompt_input,
    quality_model_input,
    second_opinion_input,
)
from .options import Measure
from .quality_model import quality_of

_JUDGED_BY = notices.PERCEPTUAL + notices.ALIGNMENT


class GRefineNoHarmGuard(io.ComfyNode):
    """Takes back what made a picture worse."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return host.schema(
            node_id="GRefineNoHarmGuard",
            display_name="No-Harm Guard",
            category=f"{CATEGORY}/refine",
            description="Measures both pictures and takes back, byte for byte, every region that got worse, or brought "
            "nothing.",
            search_aliases=["compare images", "keep better image", "rollback"],
            is_input_list=True,
            has_intermediate_output=True,
            inputs=[
                image_input("after", "The changed pictures. Enlarged ones are judged at the size of before."),
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
                    tooltip="For the rule scores: how much either score may fall before a change is refused.",
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
                io.Combo.Input(
                    "rule",
                    options=list(RULES),
                    default="gain",
                    optional=True,
                    tooltip="gain: a change stays if something gains by more than noise, and nothing loses. scores: if "
                    "no score falls.",
                ),
                io.Int.Input(
                    "attempts",
                    default=1,
                    min=1,
                    max=MOST_ATTEMPTS,
                    optional=True,
                    tooltip="As in the stage: the more attempts there were, the more a gain has to be to be no chance.",
                    **host.known(io.Int.Input, advanced=True),
                ),
                keep_input(),
                second_opinion_input(),
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
        measure_anyway: Sequence[object] | None = None,
        rule: Sequence[object] | None = None,
        attempts: Sequence[object] | None = None,
        keep: Sequence[object] | None = None,
        second_opinion: Sequence[object] | None = None,
    ) -> io.NodeOutput:
        """Judge picture by picture; batches come out as they came in."""
        new = inputs.flatten_images(after, "after", canvas=True)
        old = _before(before, new)
        prompts = [inputs.text(value, "prompt") for value in inputs.per_picture(prompt, "prompt", len(new))]
        margins = [
            inputs.number(value, "tolerance", 0.0, 1.0)
            for value in inputs.per_picture(tolerance, "tolerance", len(new))
        ]
        # Pictures that were enlarged on the way have masks of their size before.
        masks = (
            inputs.flatten_masks(mask, "mask", inputs.Pictures(tuple(old), new.sizes), "before")
            if inputs.given(mask)
            else [None] * len(new)
        )
        name = inputs.text(inputs.single(stage, "stage"), "stage")
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
        # Workflows that were saved before there was a choice go by the scores, as they did.
        chosen = inputs.choice(inputs.single(rule, "rule"), "rule", RULES) if inputs.given(rule) else "scores"
        number = 1
        if inputs.given(attempts):
            number = inputs.whole_number(inputs.single(attempts, "attempts"), "attempts", 1, MOST_ATTEMPTS)
        texts = inputs.per_picture(keep, "keep", len(new)) if inputs.given(keep) else [""] * len(new)
        kept_by_hand = [frozenset(read_keep(inputs.text(value, "keep"))) for value in texts]
        quality = quality_of(inputs.single(quality_model, "quality_model"))
        second = None
        if inputs.given(second_opinion):
            second = quality_of(inputs.single(second_opinion, "second_opinion"), "second_opinion")

        report = host.progress(len(new))
        kept, texts, lines = [], [], []
        for index, picture in enumerate(new.items):
            report(index, len(new), None)
            judge = partial(
                guard,
                quality=quality,
                prompt=prompts[index],
                mask=masks[index],
                tolerance=margins[index],
                assess=partial(measure, map_size=MAP if chosen == "gain" else (1, 1)),  # full-size maps are not wanted
                rule=chosen,
                attempts=number,
                second_opinion=second,
                keep=kept_by_hand[index],
            )
            if picture.shape[1:3] == old[index].shape[1:3]:
                result = judge(old[index], picture)
                kept.append(result.image)
            else:
                sized, result = guard_resized(old[index], picture, judge)
                kept.append(sized)
            texts.append(report_data.write(name, result.entries[0], result.before[0], result.after[0]))
            told = [said for entry in result.entries[0] for said in preview.decision(entry, name)]
            notes = [*notices.of_prompt(prompts[index]), *notices.of_model(quality, _JUDGED_BY)] if told else []
            lines.append([*notes, *told] or [preview.line("Nothing had changed.", "faint")])
        report(len(new), len(new), None)
        return io.NodeOutput(
            [host.to_host(batch, batch.dtype) for batch in new.regroup(kept)], texts, ui=preview.cards(lines)
        )


def _before(values: Sequence[object], new: inputs.Pictures) -> list[Tensor]:
    """One for each picture: of its size, or of another with its proportions.

    Raises:
        InputError: another number, or other proportions.
    """
    old = inputs.flatten_images(values, "before", canvas=True)
    if len(old) == len(new) and all(fits(one, other) for one, other in zip(old.items, new.items, strict=True)):
        return list(old.items)
    return inputs.like_images(values, "before", new, "after")
