"""Refine Plan: from the scores to what is done, and how strongly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ..grefine_core.plan import MODES, RepairPlan, decide, plan_refinement
from . import inputs, preview
from .host import known, schema
from .io_types import CATEGORY, PlanType, plan_input

_MOST_STEPS = 400


def _share(name: str, default: float, tooltip: str, **more: Any) -> Any:
    return io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.01, tooltip=tooltip, **more)


class GRefinePlan(io.ComfyNode):
    """Decides for each picture whether its stages run, and how strongly."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        fine = known(io.Float.Input, advanced=True)
        return schema(
            node_id="GRefinePlan",
            display_name="Refine Plan",
            category=f"{CATEGORY}/refine",
            description="Decides whether to refine at all, and with which strengths and steps. A picture in which "
            "nothing is found goes through untouched.",
            search_aliases=["denoise strength", "quality gate"],
            has_intermediate_output=True,
            inputs=[
                io.Float.Input("perceptual_score", force_input=True, tooltip="From PQ-Map."),
                io.Float.Input("alignment_score", force_input=True, tooltip="From AQ-Map."),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default="verdicts",
                    tooltip="verdicts: stage 1 runs where something is masked, stage 2 where the picture looks bad as "
                    "a whole. gated: by bars for both scores. paper: stage 2 always runs.",
                ),
                _share("perceptual_bar", 0.8, "From this perceptual score on a picture passes."),
                _share("alignment_bar", 0.8, "From this alignment score on a picture passes, in gated mode."),
                io.Int.Input(
                    "steps",
                    default=20,
                    min=2,
                    max=_MOST_STEPS,
                    tooltip="Of both stages together, half each. Steps are executed denoiser calls, whatever the "
                    "strength.",
                ),
                _share("stage1_min", 0.5, "Stage 1's strength for the slightest defect.", **fine),
                _share("stage1_max", 0.9, "Stage 1's strength for the worst.", **fine),
                _share("stage2_strength", 0.2, "Stage 2's strength: how far the whole picture may change.", **fine),
                io.Float.Input(
                    "area",
                    optional=True,
                    force_input=True,
                    tooltip="From Binarize Map: with nothing masked, stage 1 has nothing to do.",
                ),
                io.Float.Input(
                    "worst_region",
                    optional=True,
                    force_input=True,
                    tooltip="From PQ-Map: asked only if region_bar is above 0.",
                ),
                # The last widget: saved workflows know widgets by their places.
                _share(
                    "region_bar",
                    0.0,
                    "In gated mode: from this quality of its worst region on a picture passes; below it stage 1 runs "
                    "even if both scores pass. 0: not asked.",
                    optional=True,
                ),
                plan_input("From Binarize Map: each region gets a strength and a prompt of its own."),
                io.String.Input(
                    "emphasized_prompt",
                    optional=True,
                    force_input=True,
                    tooltip="From Prompt Emphasis: what the regions of the plan are painted by. Without it the prompt.",
                ),
                io.Boolean.Input(
                    "own_phrases",
                    default=False,
                    optional=True,
                    tooltip="With a plan: put a region's own phrases in front of its prompt.",
                    **known(io.Boolean.Input, advanced=True),
                ),
                io.Boolean.Input(
                    "calibrated",
                    default=True,
                    optional=True,
                    tooltip="With a plan: take the bar that was measured for the quality model, where there is one.",
                    **known(io.Boolean.Input, advanced=True),
                ),
            ],
            outputs=[
                io.Boolean.Output("run_stage1", display_name="run_stage1", tooltip="Whether stage 1 runs."),
                io.Float.Output("stage1_strength", display_name="stage1_strength", tooltip="For Stage-1 Inpaint."),
                io.Int.Output("stage1_steps", display_name="stage1_steps", tooltip="For Stage-1 Inpaint."),
                io.Boolean.Output("run_stage2", display_name="run_stage2", tooltip="Whether stage 2 runs."),
                io.Float.Output("stage2_strength_out", display_name="stage2_strength", tooltip="For Stage-2 Restore."),
                io.Int.Output("stage2_steps", display_name="stage2_steps", tooltip="For Stage-2 Restore."),
                io.String.Output("reason", display_name="reason", tooltip="The decision in words."),
                PlanType.Output(
                    "plan_out",
                    display_name="plan",
                    tooltip="For both stages: what is done to each region. Nothing if no plan is linked.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        perceptual_score: float,
        alignment_score: float,
        mode: str,
        perceptual_bar: float,
        alignment_bar: float,
        steps: int,
        stage1_min: float,
        stage1_max: float,
        stage2_strength: float,
        area: float | None = None,
        worst_region: float | None = None,
        region_bar: float = 0.0,
        plan: object = None,
        emphasized_prompt: str | None = None,
        own_phrases: bool = False,
        calibrated: bool = True,
    ) -> io.NodeOutput:
        """Plan one picture; the host calls this once for each."""
        ps = inputs.number(perceptual_score, "perceptual_score", 0.0, 1.0)
        as_ = inputs.number(alignment_score, "alignment_score", 0.0, 1.0)
        choices: dict[str, Any] = {
            "mode": inputs.choice(mode, "mode", MODES),
            "steps": inputs.whole_number(steps, "steps", 2, _MOST_STEPS),
            "stage1_min": stage1_min,
            "stage1_max": stage1_max,
            "stage2_strength": stage2_strength,
            "perceptual_bar": perceptual_bar,
            "alignment_bar": alignment_bar,
            "region_bar": region_bar,
        }
        if plan is None:
            decided = plan_refinement(ps, as_, area=area, worst_region=worst_region, **choices)
            repairs = None
        else:
            known_plan = inputs.instance(plan, "plan", RepairPlan, "what Binarize Map gives")
            found = known_plan.diagnosis
            found = replace(
                found,
                perceptual_score=ps if found.perceptual_score is None else found.perceptual_score,
                alignment_score=as_ if found.alignment_score is None else found.alignment_score,
            )
            repairs = decide(
                replace(known_plan, diagnosis=found),
                own_phrases=inputs.flag(own_phrases, "own_phrases"),
                calibrated=inputs.flag(calibrated, "calibrated"),
                prompt=None if emphasized_prompt is None else inputs.text(emphasized_prompt, "emphasized_prompt"),
                **choices,
            )
            assert repairs.plan is not None
            decided = repairs.plan
        return io.NodeOutput(
            decided.run_stage1,
            decided.stage1_strength,
            decided.stage1_steps,
            decided.run_stage2,
            decided.stage2_strength,
            decided.stage2_steps,
            decided.reason,
            repairs,
            ui=preview.cards([[preview.line(decided.reason, main=True)]]),
        )
