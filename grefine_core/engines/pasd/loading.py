"""Loading PASD from the published folders and a Stable Diffusion 1.5 of the user's; nothing is fetched."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError, ModelFileError
from ..folders import arguments_of, weight_files
from ..needs import need_diffusers
from ..networks import empty_network
from ..weights import Weights, compare, fill, shapes_of
from .base import Base, load_base, open_personalised
from .folders import find_checkpoint, read_config
from .model import PasdModel, Variant
from .variants import detect, without_heads

logger = logging.getLogger(__name__)
_TYPES = (torch.float32, torch.float16, torch.bfloat16)


def load_pasd(
    folder: str | Path,
    base: str | Path,
    *,
    personalised: str | Path | None = None,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
) -> PasdModel:
    """Load PASD's UNet and ControlNet, and the text encoder and VAE that they work with.

    Which variant it is, the names of the tensors tell, never those of the folders. Names and shapes are compared with
    the networks before any tensor is read, and each tensor is then read once, straight into its type and place.

    Args:
        folder: PASD's weights as published: ``checkpoint-N`` with ``unet`` and ``controlnet`` in it, or a variant's
            folder (the newest checkpoint is taken), or a folder with one variant in it. Files are
            ``diffusion_pytorch_model`` as safetensors, whole, in half precision (``.fp16``), or in shards.
        base: Stable Diffusion 1.5, a diffusers folder or one checkpoint file; its UNet is not used.
        personalised: a checkpoint, diffusers folder or UNet whose UNet weights take the place of the stock ones in
            PASD's UNet; what PASD adds stays. To take its text encoder and VAE as well, give it as ``base``, too.
        dtype: float32, float16 or bfloat16; None keeps that of the UNet's file.
        device: where the networks go; None = the GPU if there is one.

    Raises:
        InputError: an unknown type or device, or diffusers is missing.
        ModelFileError: nothing there, several variants, damaged files, another model, or tensors that are missing,
            unknown or of another shape, which are listed.
    """
    if dtype not in (None, *_TYPES):
        raise InputError(f"dtype: expected float32, float16 or bfloat16, got {dtype}.")
    target = _device(device)
    need_diffusers("PASD")
    checkpoint = find_checkpoint(folder)
    half = dtype == torch.float16
    unet = Weights.open(weight_files(checkpoint / "unet", half=half))
    controlnet = Weights.open(weight_files(checkpoint / "controlnet", half=half))
    variant = detect(unet, controlnet)
    dtype = unet.dtype() if dtype is None else dtype

    empty_unet = build_unet(read_config(checkpoint / "unet", "unet"), variant, checkpoint)
    empty_controlnet = build_controlnet(read_config(checkpoint / "controlnet", "controlnet"), variant, checkpoint)
    controlnet = without_heads(controlnet, list(empty_controlnet.config.conditioning_embedding_out_channels))
    # Both before either is read: a mistake shows at once.
    compare(unet.title, unet.shapes, shapes_of(empty_unet), f"PASD's UNet ({variant.name})")
    compare(controlnet.title, controlnet.shapes, shapes_of(empty_controlnet), f"PASD's ControlNet ({variant.name})")
    if personalised is not None:
        unet = _personalise(unet, personalised, empty_unet, half=half)

    parts = load_base(base, dtype, target)
    _check_fit(empty_unet, empty_controlnet, parts, base)
    model = PasdModel(
        fill(empty_unet, unet, "PASD's UNet", dtype, target),
        fill(empty_controlnet, controlnet, "PASD's ControlNet", dtype, target),
        parts.vae,
        parts.text_encoder,
        parts.tokenizer,
        parts.scheduler_config,
        variant,
    )
    logger.info("Loaded %s from %s on %s (%s, %s)", variant.name, checkpoint, base, dtype, target)
    return model


def build_unet(config: dict[str, Any], variant: Variant, title: object = "PASD") -> Any:
    """PASD's UNet on the meta device: names and shapes, no memory.

    Raises:
        ModelFileError: a configuration that no UNet can be built from.
    """
    from diffusers import UNet2DConditionModel

    from .unet import PasdUNet

    settings = arguments_of(UNet2DConditionModel, config)
    return empty_network(lambda: PasdUNet(light=variant.light, **settings), config, title, "UNet of PASD")


def build_controlnet(config: dict[str, Any], variant: Variant, title: object = "PASD") -> Any:
    """PASD's ControlNet on the meta device, without the heads that only training uses.

    Raises:
        ModelFileError: a configuration that no ControlNet can be built from.
    """
    from diffusers import ControlNetModel

    from .controlnet import build_controlnet as build

    settings = arguments_of(ControlNetModel, config)
    return empty_network(lambda: build(settings, rrdb=variant.rrdb), config, title, "ControlNet of PASD")


def _personalise(unet: Weights, path: str | Path, network: Any, *, half: bool) -> Weights:
    stock = open_personalised(path, int(network.config.layers_per_block), half=half)
    added = (".pixel_attentions.", "_plus.")
    expected = {name: shape for name, shape in shapes_of(network).items() if not any(part in name for part in added)}
    compare(stock.title, stock.shapes, expected, "a Stable Diffusion 1.5 UNet, to go under PASD's attentions")
    return unet.replaced(stock)


def _check_fit(unet: Any, controlnet: Any, base: Base, path: str | Path) -> None:
    """Networks that load one by one need not belong together."""
    pairs = (
        ("ControlNet", "widths", controlnet.config.block_out_channels, unet.config.block_out_channels),
        ("ControlNet", "latent channels", controlnet.config.in_channels, unet.config.in_channels),
        ("ControlNet", "text width", controlnet.config.cross_attention_dim, unet.config.cross_attention_dim),
        (path, "latent channels", base.vae.config.latent_channels, unet.config.in_channels),
        (path, "text width", base.text_encoder.config.hidden_size, unet.config.cross_attention_dim),
    )
    wrong = [
        f"{part}: {what} {theirs}, the UNet's {ours}"
        for part, what, theirs, ours in pairs
        if (list(theirs) if isinstance(theirs, (list, tuple)) else theirs)
        != (list(ours) if isinstance(ours, (list, tuple)) else ours)
    ]
    if wrong:
        raise ModelFileError(f"PASD's UNet does not go with {'; '.join(wrong)}. Give parts of the same model.")


def _device(device: str | torch.device | None) -> torch.device:
    try:
        return torch.device(device if device is not None else ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as e:
        raise InputError(f"device: {device!r} is none ({str(e)[:200]}).") from e
