"""Restorer from Model and Stage-2 Restore: mild denoising of whole pictures."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..grefine_core.refine.protocols import Progress, Restorer, second_stage_seed
from ..grefine_core.refine.stages import stage2
from . import inputs
from .host import SMALLER, explained, known, progress, schema
from .inputs import MOST_STEPS, Work
from .io_types import CATEGORY, RestorerType
from .sampling import LARGEST_CFG, HostModels, HostRestorer, sampler_settings
from .stage1 import sampler_inputs, seed_input

_TILE = (64, 8192)


class GRefineRestorerFromModel(io.ComfyNode):
    """A MODEL of the host as a restorer."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return schema(
            node_id="GRefineRestorerFromModel",
            display_name="Restorer from Model",
            category=f"{CATEGORY}/restore",
            description="Makes a restorer of any model: the whole picture once more, at the low strength that "
            "Stage-2 Restore gives. For when PASD is not at hand.",
            search_aliases=["img2img", "low denoise", "tiled"],
            inputs=[
                io.Model.Input("model", tooltip="Ordinary models and inpainting models."),
                io.Conditioning.Input("positive", tooltip="The prompt, encoded."),
                io.Conditioning.Input("negative", tooltip="What is unwanted, encoded."),
                io.Vae.Input("vae", tooltip="The model's VAE."),
                io.Float.Input(
                    "cfg",
                    default=4.0,
                    min=0.0,
                    max=LARGEST_CFG,
                    step=0.1,
                    tooltip="How strictly the prompt is followed. Lower than for drawing.",
                ),
                *sampler_inputs(),
                io.Int.Input(
                    "tile_size",
                    default=1024,
                    min=_TILE[0],
                    max=_TILE[1],
                    step=8,
                    tooltip="Larger pictures are restored in overlapping tiles of this side. Lower it when memory is "
                    "short.",
                    **known(io.Int.Input, advanced=True),
                ),
            ],
            outputs=[
                RestorerType.Output("restorer", display_name="restorer", tooltip="For Stage-2 Restore."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: Any,
        negative: Any,
        vae: Any,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        tile_size: int,
    ) -> io.NodeOutput:
        """Put them together; nothing is loaded or run yet."""
        models = HostModels(
            model,
            inputs.conditionings([positive], "positive", 1)[0],
            inputs.conditionings([negative], "negative", 1)[0],
            vae,
        )
        settings = sampler_settings(cfg, sampler_name, scheduler)
        side = inputs.whole_number(tile_size, "tile_size", *_TILE)
        return io.NodeOutput(HostRestorer(models, settings, tile_size=side))


def find_stage2_work(values: dict[str, Any]) -> Work:
    """The pictures that stage 2 has something to do for; `values` are the node's inputs, as lists.

    Raises:
        InputError: wrong types, ranges or counts.
    """
    return inputs.find_work(values["image"], values["run"], values["strength"], values["steps"])


class GRefineStage2Restore(io.ComfyNode):
    """Restores whole pictures, mildly."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return schema(
            node_id="GRefineStage2Restore",
            display_name="Stage-2 Restore",
            category=f"{CATEGORY}/restore",
            description="Redraws the whole picture mildly with a restorer. It changes all pixels, by design; the "
            "No-Harm Guard decides whether to keep the result.",
            search_aliases=["restore", "enhance", "img2img"],
            is_input_list=True,
            inputs=[
                io.Image.Input("image", tooltip="The picture, or several."),
                RestorerType.Input(
                    "restorer", lazy=True, tooltip="One, or one per picture. Made only if a picture needs it."
                ),
                io.Boolean.Input("run", default=True, tooltip="From Refine Plan. Off: the picture passes untouched."),
                io.Float.Input(
                    "strength",
                    default=0.2,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="From Refine Plan: how far the picture may change.",
                ),
                io.Int.Input(
                    "steps",
                    default=10,
                    min=1,
                    max=MOST_STEPS,
                    tooltip="Executed denoiser calls (for each tile of a large picture), whatever the strength.",
                ),
                seed_input(),
                io.Boolean.Input("keep_color", default=True, tooltip="Hold on to the picture's colours."),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    dynamic_prompts=False,
                    optional=True,
                    tooltip="For restorers that read a caption themselves (PASD). Restorer from Model has its own.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "restored_image",
                    display_name="restored_image",
                    tooltip="The pictures, restored, in the batches that came in.",
                    is_output_list=True,
                )
            ],
        )

    @classmethod
    def check_lazy_status(cls, **values: Any) -> list[str]:
        """The restorer is needed if any picture is to be restored."""
        if not find_stage2_work(values).active:
            return []
        return inputs.unevaluated({"restorer": values.get("restorer")})

    @classmethod
    @explained("putting restored parts into pictures", SMALLER)
    def execute(cls, **values: Any) -> io.NodeOutput:
        """Restore all pictures that are to be restored."""
        work = find_stage2_work(values)
        if not work.active:
            return io.NodeOutput(list(work.batches))
        count = len(work.pictures)
        restorers = [
            inputs.instance(value, "restorer", Restorer, "a restorer (from Load PASD or Restorer from Model)")  # type: ignore[type-abstract]
            for value in inputs.per_picture(values["restorer"], "restorer", count)
        ]
        prompts = inputs.prompts(values.get("prompt") or [""], "prompt", count)
        seeds = inputs.seeds(values["seed"], count)
        keep_color = inputs.flag(inputs.single(values["keep_color"], "keep_color"), "keep_color")

        def one(place: int, report: Progress | None) -> Tensor:
            return stage2(
                work.pictures.items[place],
                restorers[place],
                prompts=prompts[place],
                strengths=work.strengths[place],
                steps=work.steps[place],
                seed=second_stage_seed(seeds[place]),
                keep_color=keep_color,
                progress=report,
            )

        return io.NodeOutput(work.run(one, progress()))
