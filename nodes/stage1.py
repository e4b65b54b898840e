"""Stage-1 Inpaint: masked refinement with the host's own models."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from . import inputs, stage_work
from .denoise import HostModels, sampler_settings
from .fields import CATEGORY
from .host import schema
from .sampling import HostInpainter
from .stage1_common import (
    crop_options,
    find_stage1_work,
    refine_pictures,
    refined_image_output,
    sampler_inputs,
    stage1_inputs,
)

_MODELS = ("model", "positive", "negative", "vae")
_SETTINGS = ("cfg", "sampler_name", "scheduler")


class GRefineStage1Inpaint(io.ComfyNode):
    """Repaints what is masked, crop by crop, with any MODEL of the host."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return schema(
            node_id="GRefineStage1Inpaint",
            display_name="Stage-1 Inpaint",
            category=f"{CATEGORY}/refine",
            description="Repaints the masked regions, each in a crop with its surroundings, with an inpainting model "
            "or an ordinary one. Outside of the composite mask every byte stays as it was.",
            search_aliases=["inpaint", "detailer", "refine", "crop and stitch"],
            is_input_list=True,
            inputs=stage1_inputs(
                [
                    io.Model.Input(
                        "model", lazy=True, tooltip="Inpainting models and ordinary ones. Loaded only if needed."
                    ),
                    io.Conditioning.Input(
                        "positive", lazy=True, tooltip="The emphasised prompt, encoded: one, or one per picture."
                    ),
                    io.Conditioning.Input("negative", lazy=True, tooltip="One, or one per picture."),
                    io.Vae.Input("vae", lazy=True, tooltip="The model's VAE. Loaded only if needed."),
                ],
                sampler_inputs(),
            ),
            outputs=[refined_image_output()],
        )

    @classmethod
    def check_lazy_status(cls, **values: Any) -> list[str]:
        """The models are needed if any picture has something to be repaired."""
        if not find_stage1_work(values).active:
            return []
        return stage_work.unevaluated({name: values.get(name) for name in _MODELS})

    @classmethod
    def execute(cls, **values: Any) -> io.NodeOutput:
        """Repaint all pictures that have something to be repaired."""
        work = find_stage1_work(values)
        if not work.active:
            return io.NodeOutput(list(work.batches))
        _, min_side, native_side = crop_options(values)
        count = len(work.pictures)
        model, vae = inputs.single(values["model"], "model"), inputs.single(values["vae"], "vae")
        positive = stage_work.conditionings(values["positive"], "positive", count)
        negative = stage_work.conditionings(values["negative"], "negative", count)
        settings = sampler_settings(**{name: inputs.single(values[name], name) for name in _SETTINGS})

        def engine(place: int) -> HostInpainter:
            models = HostModels(model, positive[place], negative[place], vae)
            return HostInpainter(models, settings, min_side=min_side, native_side=native_side)

        return io.NodeOutput(refine_pictures(work, values, engine))
