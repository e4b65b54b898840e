"""Which known files each of the shipped workflows asks for, by their ids in the registry."""

from __future__ import annotations

from ..errors import InputError
from .registry import CLIP, ModelEntry, entry_of

_SDXL = ("sdxl-inpainting-unet", "sdxl-text-encoder-l", "sdxl-text-encoder-g", "sdxl-vae")

NEEDED: dict[str, tuple[str, ...]] = {
    "grefine_miniature": (),
    "grefine_score_only": (CLIP.id,),
    "grefine_maps_only": (CLIP.id,),
    "grefine_ordinary_checkpoint": (CLIP.id,),
    "grefine_sdxl_inpainting": (CLIP.id, *_SDXL),
    "grefine_sdxl_inpainting_pasd": (CLIP.id, *_SDXL, "pasd-unet", "pasd-controlnet", "sd15-checkpoint"),
    "grefine_sdxl_supir": (CLIP.id, "sdxl-base"),
    "grefine_sd15_inpainting": (CLIP.id, "sd15-inpainting"),
    "grefine_flux_fill": (CLIP.id, "flux-fill", "flux-clip-l", "flux-t5xxl", "flux-vae"),
    "grefine_score_gated_batch": (CLIP.id,),
}
#: What a user brings himself.
OWN: dict[str, str] = {
    "grefine_ordinary_checkpoint": "any checkpoint of yours, in models/checkpoints",
    "grefine_score_gated_batch": "any checkpoint of yours, in models/checkpoints",
    "grefine_sdxl_supir": "SUPIR-v0Q_fp16.safetensors of Kijai/SUPIR_pruned, in models/model_patches",
}


def needed_by(workflow: str) -> list[ModelEntry]:
    """The files that a shipped workflow asks for, beside what comes with the pack and what is the user's own.

    Args:
        workflow: its name, with or without ``grefine_`` in front and ``.json`` behind.

    Raises:
        InputError: there is no such workflow; lists those that there are.
    """
    return [entry_of(each) for each in NEEDED[_name(workflow)]]


def own_of(workflow: str) -> str | None:
    """What the user brings himself for a shipped workflow, in words, if anything. Argument and error: ``needed_by``."""
    return OWN.get(_name(workflow))


def _name(workflow: str) -> str:
    name = workflow.removesuffix(".json")
    for known in NEEDED:
        if name in (known, known.removeprefix("grefine_")):
            return known
    raise InputError(f"--for: {workflow!r} is no workflow of this pack; there are {', '.join(NEEDED)}.")
