"""What a single-file checkpoint holds, read from its header alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelFileError

UNET = "model.diffusion_model."
_FIRST = UNET + "input_blocks.0.0.weight"
_VAE = "first_stage_model.decoder.conv_in.weight"
_ENCODERS = (
    "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight",
    "conditioner.embedders.1.model.token_embedding.weight",
)
_PARTS = (UNET, "first_stage_model.", "conditioner.")


@dataclass(frozen=True)
class Checkpoint:
    """A Stable Diffusion XL checkpoint in the original layout.

    Attributes:
        path: the file.
        channels: input channels of the UNet; 9 for inpainting models, 4 for ordinary ones.
    """

    path: Path
    channels: int


def inspect_checkpoint(path: Path) -> Checkpoint:
    """Return what the file holds.

    Raises:
        ModelFileError: no safetensors file, damaged, or not a whole SDXL checkpoint; says what is missing.
    """
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors":
        raise ModelFileError(
            f"{path}: single-file checkpoints are read as .safetensors only, because pickled ones can run code. "
            "Convert the file, or give a diffusers folder."
        )
    try:
        with safe_open(path, framework="pt") as file:
            keys = set(file.keys())
            shape = file.get_slice(_FIRST).get_shape() if _FIRST in keys else []
            whole = [key for key in sorted(keys) if key.startswith(_PARTS) and _is_whole(file.get_slice(key), key)]
    except (SafetensorError, OSError) as e:
        raise ModelFileError(f"{path}: damaged or no safetensors file ({e}). Download it again.") from e

    if whole:
        raise ModelFileError(
            f"{path}: {whole[0]} is of type integer, expected floats: the file is quantised or damaged. Take "
            "the model in float32, float16 or bfloat16."
        )
    if any(key.startswith("cond_stage_model.") for key in keys):
        raise ModelFileError(
            f"{path}: this is a Stable Diffusion 1 or 2 checkpoint; single files are supported for SDXL only. "
            "Give a diffusers folder of this model instead."
        )
    missing = [
        part
        for part, key in (("the UNet", _FIRST), ("the VAE", _VAE), *(("a text encoder", key) for key in _ENCODERS))
        if key not in keys
    ]
    if missing:
        hint = ""
        if "conv_in.weight" in keys or "input_blocks.0.0.weight" in keys:
            hint = " It looks like a UNet alone: put it into a diffusers folder beside text encoders and a VAE."
        raise ModelFileError(f"{path}: not a whole SDXL checkpoint, {' and '.join(missing)} missing.{hint}")
    if shape[1] not in (4, 9):
        raise ModelFileError(f"{path}: the UNet takes {shape[1]} channels; expected 9 (inpainting) or 4.")
    return Checkpoint(path, int(shape[1]))


def _is_whole(part: Any, key: str) -> bool:
    """Whether a weight is of whole numbers or truth values; positions, which only count, may be."""
    return str(part.get_dtype()).startswith(("I", "U", "BOOL")) and not key.endswith(".position_ids")
