"""Writing the miniature CLIP in the format that ``grefine_core.load_quality_model`` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from grefine_core.files import write_text
from grefine_core.models.files import check, read_tensors, shapes_of, write_tensors

from .clip_guide import Guide

#: open_clip configuration of the miniature CLIP.
CONFIG: dict[str, Any] = {
    "embed_dim": 96,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 128, "layers": 6, "width": 192, "head_width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 96, "heads": 3, "layers": 4},
}


def export(
    clip: nn.Module, config: Mapping[str, Any], folder: str | Path, note: Mapping[str, str], name: str = "clip"
) -> Path:
    """Write ``<name>.safetensors`` (half precision, open_clip's names) and ``<name>.json`` (configuration).

    Args:
        clip: an open_clip CLIP.
        config: its configuration.
        folder: where to; made if missing.
        note: what the file's header is to say of its making.
        name: of the files.

    Returns:
        The path of the weights. Each file is written in one move.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"{name}.json", json.dumps(config, indent=2) + "\n")
    return _save(clip, folder / f"{name}.safetensors", {"grefine": "miniature CLIP", **note})


def export_guide(guide: nn.Module, folder: str | Path, note: Mapping[str, str]) -> Path:
    """Write ``guide.safetensors``, half precision, in one move; returns its path."""
    return _save(guide, Path(folder) / "guide.safetensors", {"grefine": "guide of the miniature CLIP", **note})


def load_guide(path: str | Path, embed_dim: int) -> Guide:
    """Read what :func:`export_guide` wrote; in evaluation mode, without gradients."""
    tensors = read_tensors(Path(path))
    guide = Guide(embed_dim)
    check(path, shapes_of(tensors), shapes_of(guide), "the guide", "Train the guide again.")
    guide.load_state_dict({key: value if key.endswith("tracked") else value.float() for key, value in tensors.items()})
    guide.requires_grad_(False)
    return guide.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _save(model: nn.Module, target: Path, metadata: dict[str, str]) -> Path:
    state = {key: value.detach() for key, value in model.state_dict().items()}
    state = {key: value.to(torch.float16) if value.is_floating_point() else value for key, value in state.items()}
    write_tensors(target, state, metadata)
    return target
