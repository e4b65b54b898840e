"""UNTRAINED stand-ins for the miniature models: their very formats, with weights drawn from names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grefine_core.clip.embeddings import CONTEXT_LENGTH, FACTORS
from grefine_core.miniature import networks as diffusion
from grefine_core.miniature.loading import FILES

from .clip import build_clip
from .naming import even_scale, fill_by_name, noise_for

CLIP_CONFIG: dict[str, Any] = {
    "embed_dim": 96,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 128, "patch_size": 8, "layers": 6, "width": 192, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 96, "heads": 3, "layers": 4},
}


def write_miniature_models(folder: str | Path) -> Path:
    """Write every file of ``miniature.loading.FILES`` in half precision.

    Untrained: what they measure and paint means nothing, the files only show that they can be loaded and run.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILES["clip configuration"]).write_text(json.dumps(CLIP_CONFIG, indent=2) + "\n", encoding="utf-8")
    save_file(_half(build_clip(CLIP_CONFIG).state_dict()), folder / FILES["clip"])
    width = CLIP_CONFIG["text_cfg"]["width"]
    pairs = {factor: 0.1 * noise_for(factor, (2, CONTEXT_LENGTH, width), "standin.pq.") for factor in FACTORS}
    save_file(_half(pairs), folder / FILES["embeddings"])
    networks: tuple[diffusion.Network, ...] = ("unet", "vae")
    for name in networks:
        module = fill_by_name(diffusion.build(name), even_scale, f"standin.{name}.")
        diffusion.save(module, folder / FILES[name], name)
    return folder


def _half(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.to(torch.float16).contiguous() for name, tensor in tensors.items()}
