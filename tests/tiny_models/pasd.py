"""An UNTRAINED stand-in for PASD and the Stable Diffusion 1.5 under it, tiny, in the published layouts.

What it paints means nothing; the files only show that the whole path from files to pictures runs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grefine_core.engines.pasd.model import Variant
from grefine_core.models.files import write_tensors

from .naming import even_scale, fill_by_name, noise_for

_WIDTH = 32

UNET_CONFIG: dict[str, Any] = {
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [32, 64, 64, 64],
    "cross_attention_dim": _WIDTH,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "in_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "out_channels": 4,
    "sample_size": 16,
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
}
_UNET_ONLY = ("out_channels", "sample_size", "up_block_types")
CONTROLNET_CONFIG: dict[str, Any] = {
    **{
        key: value for key, value in UNET_CONFIG.items() if key not in ("out_channels", "sample_size", "up_block_types")
    },
    "conditioning_embedding_out_channels": [16, 32, 96, 256],
    "controlnet_conditioning_channel_order": "rgb",
}
VAE_CONFIG: dict[str, Any] = {
    "act_fn": "silu",
    "block_out_channels": [16, 16, 32, 32],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "out_channels": 3,
    "sample_size": 64,
    "scaling_factor": 0.18215,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
TEXT_CONFIG: dict[str, Any] = {
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_act": "quick_gelu",
    "hidden_size": _WIDTH,
    "intermediate_size": 2 * _WIDTH,
    "max_position_embeddings": 77,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "pad_token_id": 1,
    "projection_dim": _WIDTH,
    "vocab_size": 49408,
}


def build_pasd(variant: Variant) -> dict[str, Any]:
    """Return ``unet`` and ``controlnet`` of a variant with weights drawn from their names."""
    from grefine_core.engines.pasd.unet import PasdUNet, build_controlnet

    networks = {
        "unet": PasdUNet(light=variant.light, **UNET_CONFIG),
        "controlnet": build_controlnet(CONTROLNET_CONFIG, rrdb=variant.rrdb),
    }
    return {name: fill_by_name(network, even_scale, f"standin.pasd.{name}.") for name, network in networks.items()}


def build_base() -> dict[str, Any]:
    """Return ``unet``, ``vae`` and ``text_encoder`` of the tiny Stable Diffusion 1.5."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    networks: dict[str, Any] = {
        "unet": UNet2DConditionModel(**UNET_CONFIG),
        "vae": AutoencoderKL(**VAE_CONFIG),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**TEXT_CONFIG)),
    }
    for name, network in networks.items():
        fill_by_name(network, even_scale, f"standin.sd15.{name}.", ignore="text_model.")
    return networks


def training_heads() -> dict[str, Tensor]:
    """The six tensors that a published ControlNet has besides, and that only training uses."""
    heads: dict[str, Tensor] = {}
    for i, width in enumerate(CONTROLNET_CONFIG["conditioning_embedding_out_channels"][1:]):
        name = f"controlnet_cond_embedding.to_rgbs.{i}"
        heads[f"{name}.weight"], heads[f"{name}.bias"] = noise_for(name, (3, width, 3, 3)), torch.zeros(3)
    return heads


def write_pasd(folder: str | Path, variant: Variant | None = None, *, dtype: torch.dtype = torch.float32) -> Path:
    """Write ``<variant>/checkpoint-1/{unet,controlnet}`` under ``folder``; returns the checkpoint's folder.

    Untrained: what it paints means nothing.
    """
    variant = variant if variant is not None else Variant()
    target = Path(folder) / variant.name / "checkpoint-1"
    networks = build_pasd(variant)
    tensors = {name: dict(network.state_dict()) for name, network in networks.items()}
    tensors["controlnet"] |= training_heads()
    kinds = {"unet": (UNET_CONFIG, "UNet2DConditionModel"), "controlnet": (CONTROLNET_CONFIG, "ControlNetModel")}
    for name, (config, kind) in kinds.items():
        extra = {"return_rgbs": True} if name == "controlnet" else {}
        _write_json(target / name / "config.json", {"_class_name": kind, **config, **extra})
        _write_weights(target / name / "diffusion_pytorch_model.safetensors", tensors[name], dtype)
    return target


def write_sd15(folder: str | Path, *, dtype: torch.dtype = torch.float32) -> Path:
    """Write a complete diffusers folder of a tiny, untrained Stable Diffusion 1.5, tokenizer and schedule included."""
    from grefine_core.engines.pasd.loading import SD15_CONFIG
    from grefine_core.engines.prompts import write_tokenizer

    folder = Path(folder)
    networks = build_base()
    for name, config, kind, file in (
        ("unet", UNET_CONFIG, "UNet2DConditionModel", "diffusion_pytorch_model"),
        ("vae", VAE_CONFIG, "AutoencoderKL", "diffusion_pytorch_model"),
        ("text_encoder", {**TEXT_CONFIG, "architectures": ["CLIPTextModel"]}, "", "model"),
    ):
        tensors = dict(networks[name].state_dict())
        if name == "text_encoder":
            # The published models' names, which not every version of transformers gives.
            tensors = {f"text_model.{key.removeprefix('text_model.')}": tensor for key, tensor in tensors.items()}
        described = {"_class_name": kind, **config} if kind else {**config, "model_type": "clip_text_model"}
        _write_json(folder / name / "config.json", described)
        _write_weights(folder / name / f"{file}.safetensors", tensors, dtype)
    write_tokenizer(folder / "tokenizer")
    schedule = json.loads((SD15_CONFIG / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    _write_json(folder / "scheduler" / "scheduler_config.json", schedule)
    parts = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "scheduler": schedule["_class_name"]}
    index: dict[str, Any] = {name: ["diffusers", kind] for name, kind in parts.items()}
    index |= {"text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"]}
    _write_json(folder / "model_index.json", {"_class_name": "StableDiffusionPipeline", **index})
    return folder


def _write_weights(path: Path, tensors: dict[str, Tensor], dtype: torch.dtype) -> None:
    floating = {name: tensor.to(dtype) for name, tensor in tensors.items() if tensor.is_floating_point()}
    write_tensors(path, floating, {"format": "pt"})


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
