"""What PASD takes from Stable Diffusion 1.5: text encoder, VAE, schedule; and the UNet of a personalised model."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import ModelFileError
from .. import names
from ..folders import INDEX, read_index, weight_files
from ..networks import load_text_encoder, load_vae
from ..tokenizer import load_tokenizer
from ..weights import Weights
from .folders import SD15_CONFIG, read_config

logger = logging.getLogger(__name__)
#: The latent space of Stable Diffusion 1.5's VAE; another factor means another space.
SCALING = 0.18215


@dataclass(frozen=True)
class Base:
    """Everything of Stable Diffusion 1.5 but its UNet."""

    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: dict[str, Any]


def load_base(path: str | Path, dtype: torch.dtype, device: torch.device) -> Base:
    """Load a base from a diffusers folder or a single checkpoint; its UNet is not read.

    Raises:
        ModelFileError: nothing there, damaged, incomplete, or not Stable Diffusion 1.
    """
    path = Path(path).expanduser()
    half = dtype == torch.float16
    if path.is_dir():
        _check_folder(path)
        text = Weights.open(weight_files(path / "text_encoder", half=half))
        vae = Weights.open(weight_files(path / "vae", half=half))
    elif path.is_file():
        text, vae = _parts_of_file(path)
    else:
        raise ModelFileError(f"{path}: no such file or folder. Give a diffusers folder or a checkpoint file of SD 1.5.")
    # A single file has no configurations beside it; those of the pack are taken.
    folder = path if path.is_dir() else SD15_CONFIG
    return Base(
        _vae(vae, read_config(folder / "vae", "vae"), dtype, device),
        load_text_encoder(text, read_config(folder / "text_encoder", "text_encoder"), dtype, device),
        load_tokenizer(folder / "tokenizer"),
        _schedule(folder / "scheduler"),
    )


def open_personalised(path: str | Path, layers: int, *, half: bool = False) -> Weights:
    """The UNet's weights of a personalised Stable Diffusion 1.5, under diffusers' names.

    Args:
        path: a checkpoint file (original layout, or a UNet alone), a diffusers folder, or its ``unet`` folder.
        layers: resnets of a down block.
        half: prefer half-precision files.

    Raises:
        ModelFileError: nothing there, damaged, or no UNet in it.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return Weights.open(weight_files(path / "unet" if (path / "unet").is_dir() else path, half=half))
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file or folder. Give a checkpoint or a diffusers folder of SD 1.5.")
    weights = Weights.open([path])
    if any(name.startswith(names.UNET) for name in weights.shapes):
        weights = _under(weights, names.UNET)
    if any(name.startswith("input_blocks.") for name in weights.shapes):
        return weights.renamed(lambda name: names.unet_name(name, layers))
    if "conv_in.weight" not in weights.shapes or "time_embedding.linear_1.weight" not in weights.shapes:
        raise ModelFileError(f"{path}: has no UNet in it. Give a checkpoint of SD 1.5, or its UNet.")
    return weights


def _check_folder(folder: Path) -> None:
    if (folder / "text_encoder_2").is_dir():
        raise ModelFileError(f"{folder}: is Stable Diffusion XL; PASD's weights stand on Stable Diffusion 1.5.")
    if (folder / INDEX).is_file():
        read_index(folder)
    missing = [part for part in ("text_encoder", "vae") if not (folder / part).is_dir()]
    if missing:
        raise ModelFileError(
            f"{folder}: no {' and no '.join(missing)} in it, so it is no diffusers folder of Stable Diffusion 1.5."
        )


def _parts_of_file(path: Path) -> tuple[Weights, Weights]:
    """Text encoder and VAE of a checkpoint in the original layout, under their networks' names."""
    weights = Weights.open([path])
    found = weights.shapes
    for prefix, what in (("conditioner.", "Stable Diffusion XL"), ("cond_stage_model.model.", "Stable Diffusion 2")):
        if any(name.startswith(prefix) for name in found):
            raise ModelFileError(f"{path}: is {what}; PASD's weights stand on Stable Diffusion 1.5.")
    missing = [
        what
        for what, prefix in (("text encoder", names.TEXT), ("VAE", names.VAE))
        if not any(name.startswith(prefix) for name in found)
    ]
    if missing:
        raise ModelFileError(
            f"{path}: no {' and no '.join(missing)} in it. Give a whole checkpoint of Stable Diffusion 1.5."
        )
    return _under(weights, names.TEXT), _under(weights, names.VAE)


def _under(weights: Weights, prefix: str) -> Weights:
    return weights.renamed(lambda name: name.removeprefix(prefix) if name.startswith(prefix) else None)


def _vae(weights: Weights, config: dict[str, Any], dtype: torch.dtype, device: torch.device) -> nn.Module:
    factor = config.get("scaling_factor", SCALING)
    if not isinstance(factor, int | float) or abs(factor - SCALING) > 1e-6:
        raise ModelFileError(
            f"{weights.title}: its latents are scaled by {factor}, Stable Diffusion 1.5's by {SCALING}; this is the "
            "VAE of another model."
        )
    return load_vae(weights, {**config, "scaling_factor": factor}, dtype, device)


def _schedule(folder: Path) -> dict[str, Any]:
    config = read_config(folder, "scheduler", "scheduler_config.json")
    kind = config.get("prediction_type", "epsilon")
    if kind != "epsilon":
        raise ModelFileError(f"{folder}: a base that predicts {kind!r}; PASD predicts noise, as Stable Diffusion 1.5.")
    return config
