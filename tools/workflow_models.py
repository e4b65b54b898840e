"""Which files the shipped workflows ask for, where they come from, and which pack a node belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from grefine_core.models.entry import HUB
from grefine_core.models.registry import REGISTRY

#: The names under which their sources have them, so that a downloaded file needs no other name; the checkpoint is the
#: user's own, and SUPIR is not among those that ``grefine models download`` knows.
FILES = {
    "quality": "open_clip_model.safetensors",
    "unet": "diffusion_pytorch_model.fp16.safetensors",
    "checkpoint": "your_checkpoint.safetensors",
    "sd15": "v1-5-pruned-emaonly-fp16.safetensors",
    "sd15_inpainting": "sd-v1-5-inpainting.safetensors",
    "sdxl": "sd_xl_base_1.0.safetensors",
    "supir": "SUPIR-v0Q_fp16.safetensors",
    "flux_fill": "flux1-fill-dev.safetensors",
    "flux_clip_l": "clip_l.safetensors",
    "t5": "t5xxl_fp16.safetensors",
    "flux_vae": "ae.safetensors",
    "z_image": "z_image_turbo_bf16.safetensors",
    "qwen3": "qwen_3_4b.safetensors",
    "qwen_image": "qwen_image_fp8_e4m3fn.safetensors",
    "qwen_lightning": "Qwen-Image-Lightning-4steps-V1.0.safetensors",
    "qwen25": "qwen_2.5_vl_7b_fp8_scaled.safetensors",
    "qwen_vae": "qwen_image_vae.safetensors",
    "qwen_control": "Qwen-Image-InstantX-ControlNet-Inpainting.safetensors",
    "qwen_edit": "qwen_image_edit_2511_fp8mixed.safetensors",
    "qwen_edit_lightning": "Qwen-Image-Edit-2511-Lightning-4steps-V1.0-bf16.safetensors",
    "klein": "flux-2-klein-4b-fp8.safetensors",
    "flux2_vae": "flux2-vae.safetensors",
    "seedvr2": "seedvr2_3b_int8_convrot.safetensors",
    "seedvr2_vae": "seedvr2_ema_vae_fp16.safetensors",
}
# As its authors' repository names it: variant and checkpoint.
PASD = "pasd/checkpoint-100000"
_SUPIR = {
    "name": FILES["supir"],
    "url": f"{HUB}/Kijai/SUPIR_pruned/resolve/main/{FILES['supir']}",
    "directory": "model_patches",
}
#: The oldest ComfyUI that the pack supports: its own nodes are as they were there.
_HOST = "0.3.64"
_PROJECT = (Path(__file__).resolve().parents[1] / "pyproject.toml").read_text(encoding="utf-8")


def wanted_files(values: Iterable[object]) -> list[dict[str, str]]:
    """Of the values of a node's widgets those that are known files, as the editor wants them: name, url, directory."""
    found = []
    for value in values:
        if value == _SUPIR["name"]:
            found.append(_SUPIR)
        for entry in REGISTRY:
            if value == entry.names[0] and entry.repository is not None:
                url = f"{HUB}/{entry.repository}/resolve/{entry.revision}/{entry.file}"
                found.append({"name": entry.names[0], "url": url, "directory": entry.folder})
    return found


def origin(kind: str) -> dict[str, str]:
    """The pack of a node and its version, by which ComfyUI-Manager finds it."""
    if not kind.startswith("GRefine"):
        return {"cnr_id": "comfy-core", "ver": _HOST}
    name, version = (re.findall(rf'^{key} = "([^"]+)"', _PROJECT, re.MULTILINE)[0] for key in ("name", "version"))
    return {"cnr_id": name, "ver": version}
