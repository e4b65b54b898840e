"""A real network of every family of the host, shrunk and seeded, whose result is one known colour.

All of the host's code for the family runs, the network included; only what comes out of the guidance is replaced by the
colour. Families that the host has no class for are left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.supported_models
import torch
from torch import Tensor

from .paint import block_mean_vae
from .seeding import seed_weights
from .tiny_models import _flux, _unet

_WIDTH = 64
_TEXT = 48
_POOLED = 40


@dataclass(frozen=True)
class TinyFamily:
    """How one is built: the name of the host's class, its network's settings, and its VAE's."""

    kind: str
    settings: Callable[[], dict[str, Any]]
    channels: int = 16
    factor: int = 8
    video: bool = False
    text: int = _TEXT
    pooled: int | None = None
    extra: Callable[[], dict[str, Any]] = dict
    """Of the conditioning."""


def _sd3() -> dict[str, Any]:
    return {
        "in_channels": 16,
        "patch_size": 2,
        "depth": 2,
        "input_size": None,
        "adm_in_channels": _POOLED,
        "pos_embed_max_size": 96,
        "pos_embed_scaling_factor": None,
        "num_patches": 96 * 96,
        "qk_norm": "rms",
        "x_block_self_attn_layers": [],
        "context_embedder_config": {
            "target": "torch.nn.Linear",
            "params": {"in_features": _TEXT, "out_features": 64 * 2},
        },
    }


def _flux2(guidance: bool) -> dict[str, Any]:
    return {
        "image_model": "flux2",
        "in_channels": 128,
        "out_channels": 128,
        "vec_in_dim": None,
        "context_in_dim": _TEXT,
        "hidden_size": _WIDTH,
        "mlp_ratio": 3.0,
        "num_heads": 2,
        "depth": 1,
        "depth_single_blocks": 1,
        "axes_dim": [8, 8, 8, 8],
        "theta": 2000,
        "patch_size": 1,
        "qkv_bias": False,
        "guidance_embed": guidance,
        "txt_ids_dims": [3],
        "global_modulation": True,
        "mlp_silu_act": True,
        "ops_bias": False,
        "default_ref_method": "index",
        "ref_index_scale": 10.0,
    }


def _chroma() -> dict[str, Any]:
    module = import_module("comfy.ldm.chroma.model")
    settings = {
        "image_model": "chroma",
        "in_channels": 64,
        "out_channels": 64,
        "context_in_dim": _TEXT,
        "hidden_size": _WIDTH,
        "mlp_ratio": 2.0,
        "num_heads": 2,
        "depth": 1,
        "depth_single_blocks": 1,
        "axes_dim": [8, 12, 12],
        "theta": 10000,
        "patch_size": 2,
        "qkv_bias": True,
        "in_dim": 64,
        "out_dim": _WIDTH,
        "hidden_dim": _WIDTH,
        "n_layers": 2,
        "txt_ids_dims": [],
        "vec_in_dim": None,
    }
    return _known(settings, module.ChromaParams)


def _known(settings: dict[str, Any], parameters: Any) -> dict[str, Any]:
    """Those that this host's network has a parameter for."""
    known = {field.name for field in dataclasses.fields(parameters)} | {"image_model"}
    return {name: value for name, value in settings.items() if name in known}


def _radiance() -> dict[str, Any]:
    settings = {
        **_chroma(),
        "image_model": "chroma_radiance",
        "in_channels": 3,
        "out_channels": 3,
        "patch_size": 16,
        "nerf_hidden_size": 16,
        "nerf_mlp_ratio": 2,
        "nerf_depth": 1,
        "nerf_max_freqs": 4,
        "nerf_tile_size": 0,
        "nerf_final_head_type": "conv",
        "nerf_embedder_dtype": torch.float32,
        "use_x0": False,
        "use_sequential_txt_ids": False,
    }
    return _known(settings, import_module("comfy.ldm.chroma_radiance.model").ChromaRadianceParams)


def _qwen() -> dict[str, Any]:
    return {
        "image_model": "qwen_image",
        "in_channels": 64,
        "out_channels": 16,
        "num_layers": 1,
        "attention_head_dim": 32,
        "num_attention_heads": 2,
        "joint_attention_dim": _TEXT,
        "axes_dims_rope": (8, 12, 12),
    }


def _lumina(turbo: bool) -> dict[str, Any]:
    return {
        "image_model": "lumina2",
        "patch_size": 2,
        "in_channels": 16,
        "dim": 256 if turbo else _WIDTH,  # the modulation is 256 wide
        "cap_feat_dim": _TEXT,
        "n_layers": 1,
        "n_refiner_layers": 1,
        "qk_norm": True,
        "n_heads": 8 if turbo else 2,
        "n_kv_heads": 8 if turbo else 2,
        "axes_dims": [8, 12, 12],
        "axes_lens": [300, 512, 512],
        "multiple_of": 16,
        **({"z_image_modulation": True, "time_scale": 1000.0, "pad_tokens_multiple": 32} if turbo else {}),
    }


def _hidream() -> dict[str, Any]:
    return {
        "image_model": "hidream",
        "attention_head_dim": 32,
        "axes_dims_rope": [16, 8, 8],
        "caption_channels": [_TEXT, _TEXT],
        "max_resolution": [128, 128],
        "in_channels": 16,
        "llama_layers": [0, 1],
        "num_attention_heads": 2,
        "num_routed_experts": 2,
        "num_activated_experts": 1,
        "num_layers": 1,
        "num_single_layers": 1,
        "out_channels": 16,
        "patch_size": 2,
        "text_emb_dim": _POOLED,
    }


def _tokens() -> dict[str, Any]:
    return {"attention_mask": torch.ones(1, 5, dtype=torch.long)}


FAMILIES: dict[str, TinyFamily] = {
    "SD 1.5": TinyFamily("SD15", lambda: _unet("sd15").unet_config, channels=4, text=64),
    "SDXL": TinyFamily("SDXL", lambda: _unet("sdxl").unet_config, channels=4, text=128, pooled=64),
    "SDXL inpainting": TinyFamily("SDXL", lambda: _unet("sdxl_inpaint").unet_config, channels=4, text=128, pooled=64),
    "SD 3.5": TinyFamily("SD3", _sd3, pooled=_POOLED),
    "Flux.1": TinyFamily("Flux", lambda: _flux("flux").unet_config, text=64, pooled=64),
    "Flux.1 Fill": TinyFamily("FluxInpaint", lambda: _flux("flux_fill").unet_config, text=64, pooled=64),
    "Flux.2": TinyFamily("Flux2", lambda: _flux2(True), channels=128, factor=16, pooled=_POOLED),
    "Flux.2 Klein": TinyFamily("Flux2", lambda: _flux2(False), channels=128, factor=16, pooled=_POOLED),
    "Chroma": TinyFamily("Chroma", _chroma, pooled=_POOLED),
    "Chroma Radiance": TinyFamily("ChromaRadiance", _radiance, channels=3, factor=1, pooled=_POOLED),
    "Qwen-Image": TinyFamily("QwenImage", _qwen, video=True),
    "Qwen-Image-Edit": TinyFamily(
        "QwenImage", _qwen, video=True, extra=lambda: {"reference_latents": [torch.zeros(1, 16, 1, 8, 8)]}
    ),
    "Z-Image": TinyFamily("ZImage", lambda: _lumina(True), extra=_tokens),
    "Lumina 2": TinyFamily("Lumina2", lambda: _lumina(False), extra=_tokens),
    "HiDream": TinyFamily(
        "HiDream", _hidream, pooled=_POOLED, extra=lambda: {"conditioning_llama3": torch.zeros(1, 2, 5, _TEXT)}
    ),
}


def known_families() -> list[str]:
    """Those that this host has a class for."""
    return [name for name, family in FAMILIES.items() if hasattr(comfy.supported_models, family.kind)]


def family_network(name: str) -> Any:
    """A MODEL of the family with its seeded network, which draws what it likes."""
    family = FAMILIES[name]
    device = comfy.model_management.get_torch_device()
    config = getattr(comfy.supported_models, family.kind)(family.settings())
    if family.kind in ("SD15", "SDXL"):
        config.unet_config["num_heads"], config.unet_config["num_head_channels"] = -1, 16
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "", device)
    if family.settings().get("in_channels") == 9:
        model.set_inpaint()
    seed_weights(model.diffusion_model)
    return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=torch.device("cpu"))


def family_model(name: str, color: tuple[float, float, float], calls: list[list[int]]) -> Any:
    """A MODEL of the family that draws ``color`` (each in [0, 1]); the shape of every call of its network is noted."""
    patcher = family_network(name)
    model = patcher.model
    model.diffusion_model.register_forward_pre_hook(lambda _, args: calls.append(list(args[0].shape)))

    def painted(arguments: dict[str, Any]) -> Tensor:
        drawn: Tensor = arguments["denoised"]
        assert bool(torch.isfinite(drawn).all()), "the network gives no numbers"
        clean = torch.zeros_like(drawn)
        for channel, value in enumerate(color):
            clean[:, channel] = value * 2.0 - 1.0
        return model.latent_format.process_in(clean)

    patcher.set_model_sampler_post_cfg_function(painted)
    return patcher


def family_vae(name: str) -> Any:
    """The VAE that goes with it: means of blocks."""
    family = FAMILIES[name]
    return block_mean_vae(family.channels, family.factor, family.video)


def family_conditioning(name: str) -> Any:
    """A CONDITIONING that its network can read."""
    family = FAMILIES[name]
    options = dict(family.extra())
    if family.pooled is not None:
        options["pooled_output"] = torch.zeros(1, family.pooled)
    return [[torch.ones(1, 5, family.text) * 0.1, options]]
