"""Load PASD: the published weights, on a Stable Diffusion 1.5 of the user's, as a restorer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import comfy.latent_formats
import comfy.model_management
import torch
from comfy_api.latest import io
from torch import Tensor, nn

from ..grefine_core.engines.pasd import PasdModel
from ..grefine_core.engines.pasd.model import Color, PasdSettings
from ..grefine_core.engines.pasd.restorer import PasdRestorer
from ..grefine_core.engines.pasd.sampling import Hooks, cell_pixels
from ..grefine_core.errors import GRefineError, InputError
from ..grefine_core.memory import is_out_of_memory
from ..grefine_core.refine.protocols import Progress
from . import host, inputs
from .diffusers import pipeline_path, pipelines
from .io_types import CATEGORY, RestorerType
from .sampling import LARGEST_CFG, latent_previews

_KINDS = (host.PASD_FOLDER, host.FOLDER)
_BASES = (".safetensors", ".ckpt")
#: Folders between a model folder and `unet`: none, or up to `runs/pasd/checkpoint-100000`.
_DEPTHS = range(4)
_CELL = 8
NONE = "none"
PRECISIONS = {"auto": None, "fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
COLORS: tuple[Color, ...] = ("wavelet", "adain", "none")
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
        cls,
        pasd: str,
        base: str,
        personalised: str,
        precision: str,
        cfg: float,
        conditioning_scale: float,
        process_size: int,
        added_noise_level: int,
        tile_size: int,
        color: str,
        added_prompt: str,
        negative_prompt: str,
        device: str,
    ) -> io.NodeOutput:
        """Load it into memory; the host brings it onto the device when it is used."""
        settings = pasd_settings(
            cfg,
            conditioning_scale,
            process_size,
            added_noise_level,
            tile_size,
            color,
            added_prompt,
            negative_prompt,
        )
        wanted = PRECISIONS[inputs.choice(precision, "precision", tuple(PRECISIONS))]
        inputs.choice(device, "device", host.DEVICES)
        folder, stock = checkpoint_path(pasd, "pasd"), pipeline_path(base, "base", _BASES)
        person = None if personalised == NONE else pipeline_path(personalised, "personalised", _BASES)

        from ..grefine_core.engines.pasd import load_pasd

        # The host moves models outside of inference mode, too; what was made inside cannot be changed there.
        with torch.inference_mode(False):
            placed = host.compute_device(device)
            model = load_pasd(
                folder,
                stock,
                personalised=person,
                dtype=wanted or host.network_dtype(placed),
                vae_dtype=torch.float32 if wanted == torch.float32 else host.vae_dtype(placed),
                device="cpu",
            )
        return io.NodeOutput(ManagedPasd(model, settings, device))


def pasd_settings(
    cfg: object,
    conditioning_scale: object,
    process_size: object,
    added_noise_level: object,
    tile_size: object,
    color: object,
    added_prompt: object,
    negative_prompt: object,
) -> PasdSettings:
    """The node's settings as the library's; sides are in pixels here and in latent cells there.

    Raises:
        InputError: a number out of range, an unknown choice, or something that is no text.
    """

    def whole(value: object, name: str) -> int:
        low, high = RANGES[name]
        return inputs.whole_number(value, name, int(low), int(high))

    level = whole(added_noise_level, "added_noise_level")
    return PasdSettings(
        guidance_scale=inputs.number(cfg, "cfg", 0.0, LARGEST_CFG),
        conditioning_scale=inputs.number(conditioning_scale, "conditioning_scale", *RANGES["conditioning_scale"]),
        process_size=whole(process_size, "process_size"),
        added_noise_level=None if level < 0 else level,
        tile_size=whole(tile_size, "tile_size") // _CELL,
        color=inputs.choice(color, "color", COLORS),
        added_prompt=inputs.text(added_prompt, "added_prompt"),
        negative_prompt=inputs.text(negative_prompt, "negative_prompt"),
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
            tooltip="auto takes what the host computes in on this device: fp16 on most GPUs, fp32 on the CPU. The VAE "
            "works in the host's type for VAEs.",
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


# The restorer

#: Numbers (of the networks' types) per pixel that are alive at most, both conditions of the guidance in one call:
#: 310 and 768 as `benchmarks/pasd.py` counts them, and a quarter more for what it cannot see.
_DENOISER, _VAE = 390, 960


class ManagedPasd:
    """`grefine_core.refine.protocols.Restorer` by PASD.

    The networks are one module of the host's memory manager: it brings them onto the device before every picture,
    counts them, and moves them away when another model needs the room. When memory runs out, other models go first and
    then the tiles become smaller.
    """

    def __init__(self, model: PasdModel, settings: PasdSettings, device: str = "auto") -> None:
        self.model, self.settings, self.device = model, settings, host.compute_device(device)
        host.adopt(self, nn.ModuleDict(model.networks), device)

    @property
    def size_multiple(self) -> int:
        """Pixels of one latent cell."""
        return cell_pixels(self.model)

    @property
    def min_side(self) -> int:
        """Smaller pictures are enlarged to this shorter side."""
        return self.settings.process_size

    def restore(
        self,
        image: Tensor,
        *,
        prompt: str,
        strength: float,
        steps: int,
        seed: int,
        index: int = 0,
        progress: Progress | None = None,
    ) -> Tensor:
        """Restore a whole picture; see the protocol. Strength 1 is the published pass.

        Raises:
            OOM_EXCEPTION: the host's, with what to do; the host frees everything on it.
        """
        try:
            host.ready(self, memory=self._needed(image))
            return PasdRestorer(self.model, self.settings, self._hooks()).restore(
                image, prompt=prompt, strength=strength, steps=steps, seed=seed, index=index, progress=progress
            )
        except (GRefineError, RuntimeError, MemoryError) as error:
            # The library's own says what it tried; else it was the networks themselves that did not fit.
            if isinstance(error, GRefineError) and is_out_of_memory(error.__cause__):
                message = str(error)
            elif is_out_of_memory(error):
                message = (
                    f"Out of memory while bringing PASD ({self._weights() / 1e9:.1f} GB of weights) onto "
                    f"{self.device}. Choose precision fp16 in Load PASD, or its device cpu."
                )
            else:
                raise
            raise comfy.model_management.OOM_EXCEPTION(message) from error
        finally:
            comfy.model_management.soft_empty_cache()

    def _hooks(self) -> Hooks:
        # Made for one call: a hook that outlived it would hold on to this object, and the host could not drop it.
        return Hooks(
            check=host.check_interrupted,
            preview=latent_previews(self.device, comfy.latent_formats.SD15()),
            free_memory=lambda: host.make_room(self),
        )

    def _weights(self) -> int:
        """Bytes of all weights."""
        parts = (tensor for network in self.model.networks.values() for tensor in network.state_dict().values())
        return sum(tensor.numel() * tensor.element_size() for tensor in parts)

    def _needed(self, image: Tensor) -> int:
        """Bytes that the work needs beside the weights: those of the denoiser or of the VAE, which come in turns."""
        settings, pixels = self.settings, image.shape[1] * image.shape[2]
        tile, whole = (settings.tile_size * self.size_multiple) ** 2, settings.vae_tile_above**2
        denoiser = min(pixels, tile) * _DENOISER * self.model.dtype.itemsize
        return max(denoiser, min(pixels, whole) * _VAE * self.model.vae.dtype.itemsize)
