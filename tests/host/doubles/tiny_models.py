"""Real networks of the host, shrunk and seeded: what they draw means nothing, but all of the host's code runs."""

from __future__ import annotations

import dataclasses
from typing import Any

import comfy.cldm.cldm
import comfy.controlnet
import comfy.ldm.flux.model
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import torch

from .seeding import seed_weights
from .tiny_clip import SIZES

KINDS = ("sd15", "sd15_inpaint", "sdxl", "sdxl_inpaint", "flux", "flux_fill")
_L, _G = SIZES["tiny"]


def tiny_unet(kind: str, seed: int = 0) -> Any:
    """A MODEL whose conditioning comes from ``tiny_text_encoder(width="tiny")``; ``kind`` is one of ``KINDS``."""
    device = comfy.model_management.get_torch_device()
    config = _flux(kind) if kind.startswith("flux") else _unet(kind)
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "", device)
    seed_weights(model.diffusion_model, seed)
    return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=torch.device("cpu"))


def _unet(kind: str) -> Any:
    large = kind.startswith("sdxl")
    settings: dict[str, Any] = {
        "image_size": 32,
        "in_channels": 9 if kind.endswith("inpaint") else 4,
        "out_channels": 4,
        "model_channels": 32,
        "num_res_blocks": [1, 1],
        "channel_mult": [1, 2],
        "transformer_depth": [1, 1],
        "transformer_depth_output": [1, 1, 1, 1],
        "transformer_depth_middle": 1,
        "context_dim": _L + _G if large else _L,
        "use_spatial_transformer": True,
        "legacy": False,
        "use_linear_in_transformer": large,
        "use_temporal_attention": False,
        "num_classes": "sequential" if large else None,
        "adm_in_channels": _G + 1536 if large else None,
    }
    config = (comfy.supported_models.SDXL if large else comfy.supported_models.SD15)(settings)
    config.unet_config["num_heads"], config.unet_config["num_head_channels"] = -1, 16
    return config


def _flux(kind: str) -> Any:
    family = comfy.supported_models.FluxInpaint if kind == "flux_fill" else comfy.supported_models.Flux
    known = {field.name for field in dataclasses.fields(comfy.ldm.flux.model.FluxParams)}
    newer = {"txt_ids_dims": []}  # newer hosts ask for it
    return family(
        {
            **{name: value for name, value in newer.items() if name in known},
            "image_model": "flux",
            # Noise, hidden picture, and the mask in 8 × 8 channels.
            "in_channels": 96 if kind == "flux_fill" else 16,
            "out_channels": 16,
            "patch_size": 2,
            "vec_in_dim": _L,
            "context_in_dim": _L,
            "hidden_size": 64,
            "mlp_ratio": 2.0,
            "num_heads": 2,
            "depth": 1,
            "depth_single_blocks": 1,
            "axes_dim": [8, 12, 12],
            "theta": 10000,
            "qkv_bias": True,
            "guidance_embed": True,
        }
    )


class TinyUNet:
    CATEGORY, FUNCTION, RETURN_TYPES = "grefine tests", "make", ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"kind": (list(KINDS),)}, "optional": {"seed": ("INT", {"default": 0})}}

    def make(self, kind: str, seed: int = 0) -> tuple[Any]:
        return (tiny_unet(kind, seed),)


def tiny_controlnet(seed: int = 0) -> Any:
    """A CONTROL_NET of the host for the tiny "sd15" UNets."""
    settings = {**_unet("sd15").unet_config, "hint_channels": 3, "in_channels": 4}
    settings.pop("out_channels")
    network = comfy.cldm.cldm.ControlNet(**settings, dtype=torch.float32)
    seed_weights(network, seed)
    return comfy.controlnet.ControlNet(network, load_device=comfy.model_management.get_torch_device())


class TinyControlNet:
    CATEGORY, FUNCTION, RETURN_TYPES = "grefine tests", "make", ("CONTROL_NET",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {}, "optional": {"seed": ("INT", {"default": 0})}}

    def make(self, seed: int = 0) -> tuple[Any]:
        return (tiny_controlnet(seed),)


def tiny_vae(channels: int = 4, seed: int = 0) -> Any:
    """A VAE of the host: a real autoencoder of 32 channels, factor 8."""
    settings = {
        "double_z": True,
        "z_channels": channels,
        "resolution": 64,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    vae = comfy.sd.VAE(sd={}, config={"params": {"ddconfig": settings, "embed_dim": channels}})
    vae.latent_channels = channels
    seed_weights(vae.first_stage_model, seed)
    return vae


class TinyVAE:
    CATEGORY, FUNCTION, RETURN_TYPES = "grefine tests", "make", ("VAE",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {}, "optional": {"channels": ("INT", {"default": 4}), "seed": ("INT", {"default": 0})}}

    def make(self, channels: int = 4, seed: int = 0) -> tuple[Any]:
        return (tiny_vae(channels, seed),)
