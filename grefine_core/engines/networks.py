"""Stable Diffusion's networks, from their configurations and weights, by our own hand: see ``folders`` for why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..errors import ModelFileError
from . import names
from .folders import arguments_of, check_sizes
from .weights import Weights, fill, shapes_of

#: What is read of a text encoder's configuration; among the rest is what runs code (``attn_implementation``).
_TEXT_SETTINGS = (
    *("attention_dropout", "bos_token_id", "eos_token_id", "pad_token_id", "hidden_act", "hidden_size"),
    *("intermediate_size", "layer_norm_eps", "max_position_embeddings", "num_attention_heads", "num_hidden_layers"),
    *("projection_dim", "vocab_size"),
)


def empty_network(make: Callable[[], Any], config: dict[str, Any], title: object, what: str) -> Any:
    """What ``make`` makes of a configuration, on the meta device: names and shapes, no memory.

    Raises:
        ModelFileError: no network can be made of it; names ``title``, where it is from, and ``what`` was to be made.
    """
    check_sizes(title, config)
    try:
        with torch.device("meta"):
            return make()
    except Exception as e:  # the libraries raise nearly anything on settings that fit nothing
        raise ModelFileError(f"{title}: its configuration fits no {what} ({type(e).__name__}: {str(e)[:300]}).") from e


def load_unet(weights: Weights, config: dict[str, Any], dtype: torch.dtype, device: torch.device) -> Any:
    """A UNet under diffusers' names.

    Raises:
        ModelFileError: the configuration fits none, or the weights do not fit the configuration.
    """
    from diffusers import UNet2DConditionModel

    settings = arguments_of(UNet2DConditionModel, config)
    network = empty_network(lambda: UNet2DConditionModel(**settings), config, weights.title, "UNet")
    return fill(network, weights, "Stable Diffusion's UNet", dtype, device)


def load_vae(weights: Weights, config: dict[str, Any], dtype: torch.dtype, device: torch.device) -> Any:
    """A VAE, under diffusers' names, the original layout's, or those that diffusers had before.

    Raises:
        ModelFileError: as :func:`load_unet`.
    """
    from diffusers import AutoencoderKL

    settings = arguments_of(AutoencoderKL, config)
    network = empty_network(lambda: AutoencoderKL(**settings), config, weights.title, "VAE")
    blocks = len(network.config.up_block_types)
    weights = weights.renamed(lambda name: names.vae_name(name, blocks)).squeezed(shapes_of(network))
    return fill(network, weights, "Stable Diffusion's VAE", dtype, device)


def load_text_encoder(
    weights: Weights, config: dict[str, Any], dtype: torch.dtype, device: torch.device, *, projection: bool = False
) -> nn.Module:
    """A CLIP text encoder under transformers' names; with its projection, as SDXL's second, or without.

    Raises:
        ModelFileError: as :func:`load_unet`.
    """
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    settings = text_settings(config)
    kind = CLIPTextModelWithProjection if projection else CLIPTextModel
    network = empty_network(lambda: kind(CLIPTextConfig(**settings)), config, weights.title, "text encoder")
    # Only some versions of transformers have "text_model." before every name.
    ours = {names.text_name(name, projection): name for name in network.state_dict()}
    weights = weights.renamed(lambda name: names.text_name(name, projection)).renamed(lambda name: ours.get(name, name))
    return fill(network, weights, "Stable Diffusion's text encoder", dtype, device)


def text_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Those entries of a text encoder's configuration that are read."""
    return {name: config[name] for name in _TEXT_SETTINGS if name in config}
