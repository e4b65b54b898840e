"""Unpack Plan: what a plan of Binarize Map holds, as sockets."""

from __future__ import annotations

from comfy_api.latest import io

from ..grefine_core.errors import InputError
from ..grefine_core.plan import RepairPlan
from . import inputs
from .host import schema, to_host
from .io_types import CATEGORY, DiagnosisType, PhrasesType, PlanType
from .scores import Score


class GRefineUnpackPlan(io.ComfyNode):
    """Takes one bundle apart, so that a single link carries all that was found from group to group."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return schema(
            node_id="GRefineUnpackPlan",
            display_name="Unpack Plan",
            category=f"{CATEGORY}/refine",
            description="Takes the plan of Binarize Map apart: the diagnosis with its scores, phrases and maps, and "
            "the masks. So one link carries all that was found.",
            search_aliases=["from bundle", "plan to masks", "split plan"],
            inputs=[PlanType.Input("plan", tooltip="From Binarize Map, made with a diagnosis.")],
            outputs=[
                DiagnosisType.Output(
                    "diagnosis", display_name="diagnosis", tooltip="For the stages: all that was found."
                ),
                PhrasesType.Output(
                    "phrases", display_name="phrases", tooltip="For Prompt Emphasis and Quality Report: the phrases."
                ),
                io.String.Output(
                    "prompt", display_name="prompt", tooltip="What the picture was meant to show, as AQ-Map read it."
                ),
                io.Float.Output(
                    "perceptual_score", display_name="perceptual_score", tooltip="PS, for Refine Plan: 1 is good."
                ),
                io.Float.Output(
                    "alignment_score", display_name="alignment_score", tooltip="AS, for Refine Plan: 1 shows all."
                ),
                io.Float.Output(
                    "worst_region",
                    display_name="worst_region",
                    tooltip="For Refine Plan: the quality of the worst region, in [0, 1].",
                ),
                io.Float.Output(
                    "area", display_name="area", tooltip="For Refine Plan: share of the picture in the denoise mask."
                ),
                io.Mask.Output("denoise_mask", display_name="denoise_mask", tooltip="Hard: what is sampled anew."),
                io.Mask.Output("composite_mask", display_name="composite_mask", tooltip="Soft: what is pasted back."),
                io.Mask.Output(
                    "perceptual_defects",
                    display_name="perceptual_defects",
                    tooltip="PQ-Map's defect map, for Quality Report.",
                ),
                io.Mask.Output(
                    "alignment_defects",
                    display_name="alignment_defects",
                    tooltip="AQ-Map's defect map, for Quality Report.",
                ),
            ],
        )

    @classmethod
    def execute(cls, plan: object) -> io.NodeOutput:
        """Take one picture's plan apart; the host calls this once for each."""
        if plan is None:
            raise InputError(
                "plan: Binarize Map gives none without a diagnosis. Connect that of AQ-Map to it, and turn AQ-Map on."
            )
        known = inputs.instance(plan, "plan", RepairPlan, "what Binarize Map gives when it has a diagnosis")
        found = known.diagnosis
        values = {
            "PQ-Map": (found.perceptual_score, found.worst_region, found.perceptual_map),
            "AQ-Map": (found.prompt, found.alignment_score, found.alignment_map),
        }
        for node, parts in values.items():
            if any(part is None for part in parts):
                raise InputError(
                    f"plan: {node} has not looked at this picture. Connect the diagnosis of PQ-Map to AQ-Map, and that "
                    "of AQ-Map to Binarize Map."
                )
        numbers = {
            "perceptual_score": found.perceptual_score,
            "alignment_score": found.alignment_score,
            "worst_region": found.worst_region,
            "area": known.area,
        }
        scores = [Score(value, f"Unpack Plan's {name}") for name, value in numbers.items() if value is not None]
        maps = [each.unsqueeze(0) for each in (found.perceptual_map, found.alignment_map) if each is not None]
        return io.NodeOutput(
            (found,),
            (found.phrases,),
            found.prompt,
            *scores,
            to_host(known.denoise.unsqueeze(0)),
            to_host(known.composite.unsqueeze(0)),
            *(to_host(each) for each in maps),
        )
