"""The networks of the miniature world as the host's own MODEL, CLIP and VAE, of its real classes, only smaller.

The weights are stored in diffusers' and open_clip's layouts, once; the host's own tables rename them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import comfy.diffusers_convert
import comfy.model_management
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base
import comfy.utils
import folder_paths
import torch
from torch import Tensor, nn

from ..grefine_core.errors import ModelFileError
from ..grefine_core.miniature import diffusion, loading
from ..grefine_core.models.state_dicts import check
from . import host


def miniature_model(folder: Path) -> Any:
    """MODEL: Stable Diffusion 1's inpainting UNet with fewer channels, in the host's memory manager.

    Raises:
        ModelFileError: the file is missing, damaged or of another model.
    """
    tensors = loading.read_weights("unet", folder)
    config = comfy.supported_models.SD15(diffusion.HOST_UNET_CONFIG)
    # The class has put in the heads of the large model: eight of them, however wide.
    config.unet_config.update(diffusion.HOST_UNET_CONFIG)
    memory = comfy.model_management
    device, kinds = memory.get_torch_device(), list(config.supported_inference_dtypes)
    count = sum(tensor.numel() for tensor in tensors.values())
    dtype = memory.unet_dtype(model_params=count, supported_dtypes=kinds, weight_dtype=torch.float16)
    config.set_inference_dtype(dtype, memory.unet_manual_cast(dtype, device, kinds))
    model = config.get_model({}, "", device=memory.unet_offload_device())
    names = comfy.utils.unet_to_diffusers(config.unet_config)
    _fill(model.diffusion_model, {names.get(name, name): tensor for name, tensor in tensors.items()}, "unet", folder)
    return host.patcher(model, device, memory.unet_offload_device())


def miniature_clip(folder: Path) -> Any:
    """CLIP: Stable Diffusion 1's text encoder with the host's own tokenizer and prompt weights, only smaller.

    Raises:
        ModelFileError: a file is missing, damaged or of another model.
    """
    weights, config = loading.text_tower(folder)
    options: dict[str, Any] = {"clip_l_model_config": config}
    if comfy.model_management.text_encoder_device().type == "cpu":
        options["dtype"] = torch.float32
    target = comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, comfy.sd1_clip.SD1ClipModel)
    clip = comfy.sd.CLIP(target, embedding_directory=folder_paths.get_folder_paths("embeddings"), model_options=options)
    _fill(clip.cond_stage_model.clip_l.transformer, weights, "clip", folder)
    return clip


def miniature_vae(folder: Path) -> Any:
    """VAE: Stable Diffusion's autoencoder with fewer channels; factor 8, four latent channels.

    Raises:
        ModelFileError: the file is missing, damaged or of another model.
    """
    tensors = loading.read_weights("vae", folder)
    settings = diffusion.HOST_VAE_CONFIG
    named = comfy.diffusers_convert.convert_vae_state_dict(tensors)
    sizes = {"params": {"ddconfig": settings, "embed_dim": settings["z_channels"]}}
    try:
        vae = comfy.sd.VAE(sd=named, config=sizes)
    except RuntimeError as error:
        raise ModelFileError(
            f"{loading.weights_file('vae', folder)}: of another model ({str(error)[:300]})."
        ) from error
    _check(vae.first_stage_model, named, "vae", folder)
    return vae


def _fill(network: nn.Module, tensors: Mapping[str, Tensor], part: str, folder: Path) -> None:
    """Copy the weights in."""
    _check(network, tensors, part, folder)
    network.load_state_dict(dict(tensors))


def _check(network: nn.Module, tensors: Mapping[str, Tensor], part: str, folder: Path) -> None:
    """Nothing may be missing and nothing left over: the host would only log it, and sample noise."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    check(loading.weights_file(part, folder), found, expected, f"the miniature {part}")
