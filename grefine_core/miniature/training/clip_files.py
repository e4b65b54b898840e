"""Writing the miniature CLIP in the format that ``grefine_core.load_quality_model`` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .loop import write_text

#: open_clip configuration of the miniature CLIP.
CONFIG: dict[str, Any] = {
    "embed_dim": 96,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 128, "layers": 6, "width": 192, "head_width": 32, "patch_size": 8},
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
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"{name}.json", json.dumps(config, indent=2) + "\n")
    target = folder / f"{name}.safetensors"
    part = target.with_name(target.name + ".part")
    tensors = {key: value.detach().cpu().to(torch.float16).contiguous() for key, value in clip.state_dict().items()}
    save_file(tensors, part, metadata={"grefine": "miniature CLIP", **note})
    part.chmod(0o644)
    part.replace(target)
    return target
