"""Load PASD: the published weights, on a Stable Diffusion 1.5 of the user's, as a restorer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from comfy_api.latest import io

from ..grefine_core.errors import InputError
from . import host, inputs
from .denoise import LARGEST_CFG
from .diffusers_pipeline import pipeline_path, pipelines
from .fields import CATEGORY, RestorerType

if TYPE_CHECKING:
    from ..grefine_core.engines.pasd.settings import PasdSettings

_KINDS = (host.PASD_FOLDER, host.FOLDER)
_BASES = (".safetensors", ".ckpt")
#: Folders between a model folder and `unet`: none, or up to `runs/pasd/checkpoint-100000`.
_DEPTHS = range(4)
_CELL = 8
NONE = "none"
PRECISIONS = {"auto": None, "fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
COLORS = ("wavelet", "adain", "none")
#: Lowest and highest of the numbers.
RANGES = {
    "conditioning_scale": (0.0, 2.0),
    "process_size": (64, 4096),
    "added_noise_level": (-1, 999),
    "tile_size": (256, 8192),
}
# The published ones. Written out, because the library's own are not imported before there is something to load.
ADDED_PROMPT = "clean, high-resolution, 8k"
NEGATIVE_PROMPT = "blurry, dotted, noise, raster lines, unclear, lowres, over-smoothed"


def checkpoints() -> list[str]:
    """Names of PASD's folders (those with `unet` and `controlnet` in them) in `models/pasd` and `models/grefine`."""
    found = {
        unet.parent.relative_to(root).as_posix()
        for kind in _KINDS
        for root in host.model_roots(kind)
        for depth in _DEPTHS
        for unet in root.glob("*/" * depth + "unet")
        if unet.is_dir() and (unet.parent / "controlnet").is_dir()
    }
    return sorted(found)


def checkpoint_path(value: object, name: str) -> Path:
    """The folder of that name.

    Raises:
        InputError: not there; the folders searched are listed.
    """
    wrong = "no PASD weights were found"
    if checkpoints():  # else there is nothing to choose, and the value says nothing
        given = inputs.file_name(value, name).replace("\\", "/")
        for kind in _KINDS:
            for root in host.model_roots(kind):
                if (root / given).is_dir():
                    return root / given
        wrong = f"{given!r} was not found"
    raise InputError(
        f"{name}: {wrong}. Searched for folders with unet and controlnet in {', '.join(map(host.searched, _KINDS))}. "
        "Put <variant>/checkpoint-N there as published (docs/models.md and `grefine models list` say where from), then "
        "refresh the page "
        f"(key R); other places can be added under {host.PASD_FOLDER!r} in extra_model_paths.yaml."
    )


class GRefineLoadPASD(io.ComfyNode):
    """PASD as the engine of stage 2."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return host.schema(
            node_id="GRefineLoadPASD",
            display_name="Load PASD",
            category=f"{CATEGORY}/restore",
            description="Loads PASD, the paper's restorer for stage 2, from its published weights and any Stable "
            "Diffusion 1.5. Nothing is downloaded.",
            search_aliases=["pixel-aware stable diffusion", "restorer", "super resolution", "upscale"],
            inputs=[*_file_inputs(), *_setting_inputs()],
            outputs=[
                RestorerType.Output(
                    "restorer", display_name="restorer", tooltip="For Stage-2 Restore, whose prompt it reads."
                )
            ],
        )

    @classmethod
    def execute(
        cls, pasd: str, base: str, personalised: str, precision: str, device: str, **settings: Any
    ) -> io.NodeOutput:
        """Load it into memory; the host brings it onto the device when it is used."""
        chosen = pasd_settings(settings)
        wanted = PRECISIONS[inputs.choice(precision, "precision", tuple(PRECISIONS))]
        inputs.choice(device, "device", host.DEVICES)
        folder, stock = checkpoint_path(pasd, "pasd"), pipeline_path(base, "base", _BASES)
        person = None if personalised == NONE else pipeline_path(personalised, "personalised", _BASES)

        from ..grefine_core.engines.pasd import load_pasd
        from .pasd_restorer import ManagedPasd

        # The host moves models outside of inference mode, too; what was made inside cannot be changed there.
        with torch.inference_mode(False):
            model = load_pasd(
                folder,
                stock,
                personalised=person,
                dtype=wanted or host.network_dtype(host.compute_device(device)),
                device="cpu",
            )
        return io.NodeOutput(ManagedPasd(model, chosen, device))


def pasd_settings(values: dict[str, Any]) -> PasdSettings:
    """The node's settings as the library's; sides are in pixels here and in latent cells there.

    Raises:
        InputError: a number out of range, an unknown choice, or something that is no text.
    """
    from ..grefine_core.engines.pasd.settings import PasdSettings

    numbers: dict[str, Any] = {
        name: inputs.whole_number(values[name], name, *RANGES[name])  # type: ignore[arg-type]
        for name in ("process_size", "added_noise_level", "tile_size")
    }
    level, tile = numbers["added_noise_level"], numbers["tile_size"]
    return PasdSettings(
        guidance_scale=inputs.number(values["cfg"], "cfg", 0.0, LARGEST_CFG),
        conditioning_scale=inputs.number(
            values["conditioning_scale"], "conditioning_scale", *RANGES["conditioning_scale"]
        ),
        process_size=numbers["process_size"],
        added_noise_level=None if level < 0 else level,
        tile_size=tile // _CELL,
        color=inputs.choice(values["color"], "color", COLORS),  # type: ignore[arg-type]
        added_prompt=inputs.text(values["added_prompt"], "added_prompt"),
        negative_prompt=inputs.text(values["negative_prompt"], "negative_prompt"),
    )


def _file_inputs() -> list[Any]:
    folders, bases = checkpoints(), pipelines(_BASES)
    return [
        io.Combo.Input(
            "pasd",
            options=folders,
            **({"default": folders[0]} if folders else {}),
            tooltip="Folders of models/pasd (or models/grefine) with unet and controlnet in them. Which variant it is "
            "shows in the weights.",
        ),
        io.Combo.Input(
            "base",
            options=bases,
            **({"default": bases[0]} if bases else {}),
            tooltip="Any Stable Diffusion 1.5: a file of models/checkpoints or a folder of models/diffusers. Its text "
            "encoder and VAE are used.",
        ),
        io.Combo.Input(
            "personalised",
            options=[NONE, *bases],
            default=NONE,
            tooltip="Another Stable Diffusion 1.5 whose UNet goes under PASD's own layers, for its style.",
            **host.known(io.Combo.Input, advanced=True),
        ),
        io.Combo.Input(
            "precision",
            options=list(PRECISIONS),
            default="auto",
            tooltip="auto takes what the host computes in on this device: fp16 on most GPUs, fp32 on the CPU.",
        ),
    ]


def _setting_inputs() -> list[Any]:
    def number(kind: Any, name: str, default: float, step: float, tooltip: str) -> Any:
        low, high = RANGES[name]
        more = host.known(kind.Input, advanced=True)
        return kind.Input(name, default=default, min=low, max=high, step=step, tooltip=tooltip, **more)

    return [
        io.Float.Input(
            "cfg",
            default=9.0,
            min=0.0,
            max=LARGEST_CFG,
            step=0.1,
            tooltip="How strictly the prompt is followed. Lower it where tiles show; 1 halves the work.",
        ),
        number(io.Float, "conditioning_scale", 1.0, 0.05, "How closely the picture's own pixels are followed."),
        number(io.Int, "process_size", 768, 8, "Pictures with a shorter side below this are enlarged for the work."),
        number(
            io.Int,
            "added_noise_level",
            900,
            1,
            "At strength 1: the timestep at which noise is added once more, as published. -1: not at all.",
        ),
        number(
            io.Int,
            "tile_size",
            2560,
            _CELL,
            "Larger pictures are worked on in overlapping tiles of this side, in pixels. Lower it when memory is "
            "short.",
        ),
        io.Combo.Input(
            "color",
            options=list(COLORS),
            default="wavelet",
            tooltip="Keep the picture's colours: its low frequencies (wavelet), or mean and spread (adain).",
            **host.known(io.Combo.Input, advanced=True),
        ),
        *(
            io.String.Input(
                name,
                default=default,
                multiline=True,
                dynamic_prompts=False,
                tooltip=tooltip,
                **host.known(io.String.Input, advanced=True),
            )
            for name, default, tooltip in (
                ("added_prompt", ADDED_PROMPT, "Appended to the prompt of every picture."),
                ("negative_prompt", NEGATIVE_PROMPT, "What the pictures should not show."),
            )
        ),
        io.Combo.Input(
            "device",
            options=list(host.DEVICES),
            default="auto",
            tooltip="auto leaves it to the host's memory manager.",
            **host.known(io.Combo.Input, advanced=True),
        ),
    ]
