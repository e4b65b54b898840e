"""What a model says of itself: which family it is of, what sizes it takes, and what settings suit it.

Families are known by the names of the host's classes, the most special first, so that a host that lacks one, or a
family that came later, changes nothing for the others. The settings are those of the host's own templates; a distilled
relative (Turbo, Lightning, Schnell, a distilled Klein) that the host has no class for cannot be told from its parent.
Imports without the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..grefine_core.errors import InputError
from . import latents

#: What stands for "as it suits the model" in a list of choices, and among numbers.
AUTO = "auto"
AUTO_NUMBER = -1.0


@dataclass(frozen=True)
class Family:
    """Settings that suit a family of models."""

    name: str
    native_side: int = 1024
    """Side in pixels of the square that it was trained on."""
    cfg: float = 6.0
    """1: distilled, or guided by ``guidance`` instead."""
    sampler_name: str = "euler"
    scheduler: str = "normal"
    guidance: float | None = None
    """Of models that take it as a number beside the prompt."""

    @property
    def mild_cfg(self) -> float:
        """For a restoration, which follows the picture more than the prompt."""
        return min(self.cfg, 4.0)


UNKNOWN = Family("another family")
_FLUX = Family("Flux.1", cfg=1.0, scheduler="simple", guidance=3.5)
#: By the names of the host's classes of models and of their descriptions.
_FAMILIES: dict[str, Family] = {
    "SD15": Family("SD 1.5", native_side=512),
    "SD20": Family("SD 2", native_side=768),
    "SDXL": Family("SDXL"),
    "SDXLRefiner": Family("SDXL refiner"),
    "SD3": Family("SD 3.5", cfg=4.5, scheduler="sgm_uniform"),
    "AuraFlow": Family("AuraFlow", cfg=3.5, scheduler="simple"),
    "PixArtAlpha": Family("PixArt", cfg=4.5),
    "Flux": _FLUX,
    "FluxInpaint": Family("Flux.1 Fill", cfg=1.0, scheduler="normal", guidance=30.0),
    "FluxSchnell": Family("Flux.1 Schnell", cfg=1.0, scheduler="simple"),
    "Flux2": Family("Flux.2", cfg=1.0, scheduler="simple", guidance=4.0),
    "LongCatImage": Family("LongCat-Image", cfg=4.0, scheduler="simple"),
    "Chroma": Family("Chroma", cfg=3.5, scheduler="beta"),
    "QwenImage": Family("Qwen-Image", native_side=1328, cfg=4.0, scheduler="simple"),
    "Lumina2": Family("Lumina 2", cfg=4.0, sampler_name="res_multistep", scheduler="simple"),
    "ZImage": Family("Z-Image", cfg=1.0, sampler_name="res_multistep", scheduler="simple"),
    "HiDream": Family("HiDream", cfg=5.0, sampler_name="uni_pc", scheduler="simple"),
    "HiDreamO1": Family("HiDream-O1", native_side=2048, cfg=5.0, scheduler="normal"),
    "Omnigen2": Family("OmniGen2", cfg=5.0, scheduler="simple"),
    "HunyuanImage21": Family("HunyuanImage 2.1", native_side=2048, cfg=3.5, scheduler="simple"),
    "Kandinsky5Image": Family("Kandinsky 5", cfg=3.5, scheduler="simple"),
    "ErnieImage": Family("Ernie-Image", cfg=4.0, scheduler="simple"),
    "Anima": Family("Anima", cfg=4.0, sampler_name="er_sde", scheduler="simple"),
    "WAN21_T2V": Family("Wan", native_side=832, cfg=6.0, sampler_name="uni_pc", scheduler="simple"),
}
#: Flux.2 Klein, which takes no guidance number.
_KLEIN = Family("Flux.2 Klein", cfg=5.0, scheduler="simple")
#: Cells of a row that hosts note for every U-Net they recognise, whatever it was trained on; and pixels of one.
_NOTED_CELLS, _CELL = 32, 8
#: What networks of various authors call their patch.
_PATCH = ("patch_size", "patch_spatial", "patch")
#: Older hosts know Z-Image only as a Lumina 2 of this width.
_ZIMAGE_WIDTH = 3840


def family_of(model: Any) -> Family:
    """The family of the host's MODEL; ``UNKNOWN`` for what is in no list."""
    inner = _inner(model)
    described = getattr(inner, "model_config", None)
    settings = getattr(described, "unet_config", None) or {}
    for owner in (described, inner):
        for kind in type(owner).__mro__:
            found = _FAMILIES.get(kind.__name__)
            if found is None:
                continue
            if found.name == "Flux.2" and not settings.get("guidance_embed", False):
                return _KLEIN
            if found.name == "Lumina 2" and settings.get("dim") == _ZIMAGE_WIDTH:
                return _FAMILIES["ZImage"]
            return found
    return UNKNOWN


def native_side_of(model: Any) -> int:
    """Side in pixels of the square that the model was trained on: as its network says, else as its family has it."""
    described = getattr(getattr(_inner(model), "model_config", None), "unet_config", None) or {}
    cells = described.get("image_size")
    if isinstance(cells, int) and cells > 0 and cells != _NOTED_CELLS:
        return cells * _CELL
    return family_of(model).native_side


def _inner(model: Any) -> Any:
    """The network with its description.

    Raises:
        InputError: it is no MODEL.
    """
    inner = getattr(model, "model", None)
    if inner is None:
        raise InputError(f"model: expected the MODEL of a loader, got {type(model).__name__}.")
    return inner


def patch_of(model: Any) -> int:
    """How many latent cells of a row the network reads as one; 1 where it does not say."""
    inner = _inner(model)
    network = getattr(inner, "diffusion_model", None)
    described = getattr(getattr(inner, "model_config", None), "unet_config", None) or {}
    asked = next(
        (found for name in _PATCH for found in (getattr(network, name, None), described.get(name)) if found), None
    )
    if isinstance(asked, list | tuple):
        asked = asked[-1]  # (frames, rows, columns) of video types
    return asked if isinstance(asked, int) and not isinstance(asked, bool) and asked >= 1 else 1


def size_multiple(model: Any, vae: Any) -> int:
    """What the sides of a picture have to be multiples of, in pixels: a latent cell times the network's patch.

    A side that is none the host fills up with the other end of the picture, or the VAE cuts off, both without a word.

    Raises:
        InputError: no VAE for pictures.
    """
    return latents.size_multiple(vae) * patch_of(model)


def reads_picture(model: Any) -> bool:
    """Whether the network takes a masked picture through the conditioning: inpainting models of every kind do.

    Families decide that inside ``concat_cond``, by the shape of their weights. So it is asked, with a picture of some
    cells; what cannot be asked that way gets the picture.
    """
    inner = _inner(model)
    if getattr(inner, "concat_keys", ()):
        return True
    base: Any = next((kind for kind in type(inner).__mro__ if kind.__name__ == "BaseModel"), None)
    if base is not None and type(inner).concat_cond is base.concat_cond:
        return False
    format_ = inner.latent_format
    channels, dimensions = format_.latent_channels, getattr(format_, "latent_dimensions", 2)
    cells = torch.zeros(1, channels, *([1] if dimensions == 3 else []), 16, 16)
    try:
        asked = inner.concat_cond(
            noise=cells,
            concat_latent_image=cells,
            concat_mask=torch.ones(1, 1, 128, 128),
            device=torch.device("cpu"),
        )
    except (RuntimeError, TypeError, ValueError, KeyError, AttributeError, IndexError):
        return True
    return asked is not None


def guided(conditioning: Any, guidance: float | None, *, anyway: bool = False) -> Any:
    """The conditioning with this guidance where it has none of its own, or ``anyway``; None: as it is.

    New lists: nothing is written into.
    """
    if guidance is None:
        return conditioning
    before, after = ({}, {"guidance": guidance}) if anyway else ({"guidance": guidance}, {})
    return [[tensor, {**before, **options, **after}] for tensor, options in conditioning]
