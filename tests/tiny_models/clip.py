"""An UNTRAINED stand-in for the quality model: open_clip's architecture, tiny. Its scores mean nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from grefine_core.clip.embeddings import CONTEXT_LENGTH, FACTORS

from .naming import fill_by_name, noise_for

#: open_clip model configuration: a ViT with eight blocks, so that the last six can run V-V attention.
CLIP_CONFIG: dict[str, Any] = {
    "embed_dim": 32,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 64, "layers": 8, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}

#: CLIP's own is 100. So low, untrained scores and maps stay off the ends of their scales.
_TEMPERATURE = 5.0


def build_clip(config: dict[str, Any] | None = None) -> nn.Module:
    """Return an untrained open_clip model with weights drawn from their names; no file is read or written.

    config: of the model; None for ``CLIP_CONFIG``.
    """
    from open_clip.model import CLIP

    return fill_by_name(CLIP(**(CLIP_CONFIG if config is None else config)), _scale)


def build_embeddings() -> dict[str, Tensor]:
    """Untrained PQ embeddings for ``build_clip``: factor to ``(2, 77, 32)``, in the layout of the real ones."""
    width = CLIP_CONFIG["text_cfg"]["width"]
    pairs = {factor: 0.1 * noise_for(factor, (2, CONTEXT_LENGTH, width), "standin.pq.") for factor in FACTORS}
    # Which of two random sequences is "good" is arbitrary; like this, photographs come out high on the scale.
    return {factor: pair if factor == "rational" else pair.flip(0) for factor, pair in pairs.items()}


def write_quality_model(folder: str | Path) -> Path:
    """Write ``clip.json`` (open_clip configuration), ``clip.safetensors`` and ``pq_embeddings.safetensors``.

    Untrained: the scores mean nothing, the files only show that the whole path from files to maps runs.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "clip.json").write_text(json.dumps(CLIP_CONFIG, indent=2) + "\n", encoding="utf-8")
    tensors = {name: tensor.contiguous() for name, tensor in build_clip().state_dict().items()}
    note = {"grefine": "untrained stand-in, results mean nothing"}
    save_file(tensors, folder / "clip.safetensors", metadata=note)
    save_file(build_embeddings(), folder / "pq_embeddings.safetensors", metadata=note)
    return folder


def _scale(name: str, noise: Tensor) -> Tensor:
    if name == "logit_scale":
        return torch.full_like(noise, float(np.log(_TEMPERATURE)))
    if name.endswith("bias"):
        return 0.02 * noise
    if ".ln_" in name or name.startswith("ln_final"):
        return 1.0 + 0.1 * noise
    if "embedding" in name:
        return 0.1 * noise
    if name in ("visual.proj", "text_projection"):
        return noise / float(np.sqrt(noise.shape[0]))
    if noise.ndim < 2:
        return noise
    return noise / float(np.sqrt(np.prod(noise.shape[1:])))
