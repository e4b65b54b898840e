"""Stage-1 Inpaint: masked refinement with the host's own models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import comfy.samplers
from comfy_api.latest import io
from torch import Tensor

from ..grefine_core.refine.crops import CropOptions
from ..grefine_core.refine.protocols import Inpainter, Progress
from ..grefine_core.refine.stages import stage1
from . import inputs
from .host import SMALLER, explained, known, progress, schema
from .inputs import MOST_STEPS, Work
from .io_types import CATEGORY
from .sampling import LARGEST_CFG, HostInpainter, HostModels, sampler_settings

# What the two Stage-1 nodes share: their inputs, and the work around an engine.

CROP_SIZES: tuple[Literal["source", "native"], ...] = ("source", "native")
_SIDES = {"min_side": (16, 4096), "native_side": (64, 4096)}
_CONTEXT = (0.0, 4.0)


def stage1_inputs(engine: list[Any], sampling: list[Any]) -> list[Any]:
    """The node's inputs in their order; `engine` and `sampling` are those that differ between engines."""
    fine = known(io.Int.Input, advanced=True)
    return [
        io.Image.Input("image", tooltip="The picture, or several."),
        io.Mask.Input(
            "denoise_mask",
            tooltip="What is sampled anew: one mask per picture, or one for all. Soft values change later and less. "
            "A picture with an empty mask passes untouched.",
        ),
        *engine,
        io.Boolean.Input("run", default=True, tooltip="From Refine Plan. Off: the picture passes untouched."),
        io.Float.Input(
            "strength",
            default=0.7,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="From Refine Plan: the noise level at which denoising starts; 1 is pure noise.",
        ),
        io.Int.Input(
            "steps",
            default=10,
            min=1,
            max=MOST_STEPS,
            tooltip="Executed denoiser calls for each masked region, whatever the strength.",
        ),
        seed_input(),
        io.Float.Input(
            "cfg", default=6.0, min=0.0, max=LARGEST_CFG, step=0.1, tooltip="How strictly the prompt is followed."
        ),
        *sampling,
        io.Combo.Input(
            "crop_size",
            options=list(CROP_SIZES),
            default="source",
            tooltip="source: sample at the picture's own scale. native: scale the crop to the model's resolution, "
            "for more detail in small regions.",
        ),
        io.Int.Input(
            "min_side",
            default=512,
            min=_SIDES["min_side"][0],
            max=_SIDES["min_side"][1],
            tooltip="For source: what is sampled takes in surroundings until its shorter side is this long.",
            **fine,
        ),
        io.Int.Input(
            "native_side",
            default=1024,
            min=_SIDES["native_side"][0],
            max=_SIDES["native_side"][1],
            tooltip="For native: the model's own resolution. 1024 for SDXL and Flux, 512 for SD 1.5.",
            **fine,
        ),
        io.Float.Input(
            "context",
            default=0.25,
            min=_CONTEXT[0],
            max=_CONTEXT[1],
            step=0.05,
            tooltip="Surroundings of a region that the model sees, as a share of the region's size.",
        ),
        io.Boolean.Input(
            "color_match", default=True, tooltip="Keep the colour level of the surroundings (VAEs shift it a little)."
        ),
        io.Mask.Input(
            "composite_mask",
            optional=True,
            tooltip="What is pasted back, usually softer than the denoise mask. Outside of it every byte stays as it "
            "was. Without it the denoise mask.",
        ),
    ]


def seed_input() -> Any:
    """The `seed` input."""
    return io.Int.Input(
        "seed",
        default=0,
        min=0,
        max=2**64 - 1,
        control_after_generate=True,
        tooltip="Same seed, same inputs: the same picture. Several pictures get seeds derived from it.",
    )


def sampler_inputs() -> list[Any]:
    """`sampler_name` and `scheduler`: the host's."""
    return [
        io.Combo.Input(
            "sampler_name",
            options=list(comfy.samplers.KSampler.SAMPLERS),
            default="euler",
            tooltip="Samplers that call the model twice a step get half as many steps. dpm_adaptive cannot be used.",
        ),
        io.Combo.Input(
            "scheduler",
            options=list(comfy.samplers.KSampler.SCHEDULERS),
            default="normal",
            tooltip="How the noise levels are spaced.",
        ),
    ]


def refined_image_output() -> Any:
    """The `refined_image` output."""
    return io.Image.Output(
        "refined_image",
        display_name="refined_image",
        tooltip="The pictures, repaired, in the batches that came in.",
        is_output_list=True,
    )


def find_stage1_work(values: dict[str, Any]) -> Work:
    """The pictures that stage 1 has something to do for; `values` are the node's inputs, as lists.

    Raises:
        InputError: wrong types, sizes, ranges or counts.
    """
    names = ["denoise_mask"] + (["composite_mask"] if inputs.given(values.get("composite_mask")) else [])

    def masks(pictures: inputs.Pictures) -> list[list[Tensor]]:
        return [inputs.flatten_masks(values[name], name, pictures, "image") for name in names]

    return inputs.find_work(values["image"], values["run"], values["strength"], values["steps"], masks)


def crop_options(values: dict[str, Any]) -> tuple[CropOptions, int, int]:
    """How crops are chosen, `min_side` and `native_side`.

    Raises:
        InputError: an unknown choice, a number out of range, or different values for different pictures.
    """
    one = {name: inputs.single(values[name], name) for name in ("crop_size", "context", *_SIDES)}
    options = CropOptions(
        crop_size=inputs.choice(one["crop_size"], "crop_size", CROP_SIZES),
        context=inputs.number(one["context"], "context", *_CONTEXT),
    )
    sides = [inputs.whole_number(one[name], name, *bounds) for name, bounds in _SIDES.items()]
    return options, sides[0], sides[1]


@explained("putting crops into pictures", SMALLER)
def refine_pictures(
    work: Work, values: dict[str, Any], engine: Callable[[int], Inpainter], prompts: list[str] | None = None
) -> list[Any]:
    """Stage 1 on the active pictures; every batch comes back as it came in.

    engine: gives the `Inpainter` of a picture by its place; `crop_options` apply to all.
    """
    count = len(work.pictures)
    options, _, _ = crop_options(values)
    seeds = inputs.seeds(values["seed"], count)
    keep_color = inputs.flag(inputs.single(values["color_match"], "color_match"), "color_match")
    denoise = inputs.flatten_masks(values["denoise_mask"], "denoise_mask", work.pictures, "image")
    composite: list[Tensor | None] = [None] * count
    if inputs.given(values.get("composite_mask")):
        composite = list(inputs.flatten_masks(values["composite_mask"], "composite_mask", work.pictures, "image"))

    def one(place: int, report: Progress | None) -> Tensor:
        return stage1(
            work.pictures.items[place],
            denoise[place],
            composite[place],
            engine(place),
            prompts="" if prompts is None else prompts[place],
            strengths=work.strengths[place],
            steps=work.steps[place],
            seed=seeds[place],
            crop=options,
            keep_color=keep_color,
            progress=report,
        )

    return work.run(one, progress())


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
        return inputs.unevaluated({name: values.get(name) for name in _MODELS})

    @classmethod
    def execute(cls, **values: Any) -> io.NodeOutput:
        """Repaint all pictures that have something to be repaired."""
        work = find_stage1_work(values)
        if not work.active:
            return io.NodeOutput(list(work.batches))
        _, min_side, native_side = crop_options(values)
        count = len(work.pictures)
        model, vae = inputs.single(values["model"], "model"), inputs.single(values["vae"], "vae")
        positive = inputs.conditionings(values["positive"], "positive", count)
        negative = inputs.conditionings(values["negative"], "negative", count)
        settings = sampler_settings(**{name: inputs.single(values[name], name) for name in _SETTINGS})

        def engine(place: int) -> HostInpainter:
            models = HostModels(model, positive[place], negative[place], vae)
            return HostInpainter(models, settings, min_side=min_side, native_side=native_side)

        return io.NodeOutput(refine_pictures(work, values, engine))
