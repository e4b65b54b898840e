"""Refine Plan: from the scores to what is done, and how strongly."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..grefine_core.plan import MODES, plan_refinement
from . import inputs, preview
from .host import known, schema
from .io_types import CATEGORY

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
            description="Decides from the two scores whether to refine at all, and with which strengths and steps. A "
            "picture that passes both bars goes through untouched.",
            search_aliases=["denoise strength", "quality gate"],
            inputs=[
                io.Float.Input("perceptual_score", force_input=True, tooltip="From PQ-Map."),
                io.Float.Input("alignment_score", force_input=True, tooltip="From AQ-Map."),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default="gated",
                    tooltip="gated: pictures over their bars pass untouched. paper: stage 2 always runs.",
                ),
                _share("perceptual_bar", 0.8, "From this perceptual score on a picture passes."),
                _share("alignment_bar", 0.8, "From this alignment score on a picture passes."),
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
                    "From this quality of its worst region on a picture passes; below it stage 1 runs even if both "
                    "scores pass. 0: not asked.",
                    optional=True,
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
    ) -> io.NodeOutput:
        """Plan one picture; the host calls this once for each."""
        plan = plan_refinement(
            inputs.number(perceptual_score, "perceptual_score", 0.0, 1.0),
            inputs.number(alignment_score, "alignment_score", 0.0, 1.0),
            mode=inputs.choice(mode, "mode", MODES),
            steps=inputs.whole_number(steps, "steps", 2, _MOST_STEPS),
            stage1_min=stage1_min,
            stage1_max=stage1_max,
            stage2_strength=stage2_strength,
            perceptual_bar=perceptual_bar,
            alignment_bar=alignment_bar,
            area=area,
            worst_region=worst_region,
            region_bar=region_bar,
        )
        return io.NodeOutput(
            plan.run_stage1,
            plan.stage1_strength,
            plan.stage1_steps,
            plan.run_stage2,
            plan.stage2_strength,
            plan.stage2_steps,
            plan.reason,
            ui=preview.cards([[preview.line(plan.reason)]]),
        )
