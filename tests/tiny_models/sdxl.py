"""An UNTRAINED stand-in for SDXL inpainting: diffusers' networks, tiny. What it paints means nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .naming import even_scale, fill_by_name

_POOLED = 32
_TIME = 8

UNET_CONFIG: dict[str, Any] = {
    "act_fn": "silu",
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": _TIME,
    "attention_head_dim": [2, 4],
    "block_out_channels": [32, 64],
    "cross_attention_dim": 16 + _POOLED,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "in_channels": 9,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "out_channels": 4,
    "projection_class_embeddings_input_dim": _POOLED + 6 * _TIME,
    "sample_size": 16,
    "transformer_layers_per_block": [1, 1],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "use_linear_projection": True,
}
VAE_CONFIG: dict[str, Any] = {
    "block_out_channels": [16, 16, 16, 16],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "force_upcast": True,
    "latent_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "sample_size": 128,
    "scaling_factor": 0.13025,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
_TEXT: dict[str, Any] = {
    "bos_token_id": 0,
    "eos_token_id": 2,
    "max_position_embeddings": 77,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "pad_token_id": 1,
    "vocab_size": 49408,
}
TEXT_CONFIG: dict[str, Any] = {
    **_TEXT,
    "hidden_act": "quick_gelu",
    "hidden_size": 16,
    "intermediate_size": 32,
    "projection_dim": 16,
}
TEXT_2_CONFIG: dict[str, Any] = {
    **_TEXT,
    "hidden_act": "gelu",
    "hidden_size": _POOLED,
    "intermediate_size": 64,
    "projection_dim": _POOLED,
}
SCHEDULER_CONFIG: dict[str, Any] = {
    "_class_name": "EulerDiscreteScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "steps_offset": 1,
    "timestep_spacing": "leading",
}
MODEL_INDEX: dict[str, Any] = {
    "_class_name": "StableDiffusionXLInpaintPipeline",
    "_diffusers_version": "0.30.0",
    "force_zeros_for_empty_prompt": True,
    "requires_aesthetics_score": False,
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def build_networks(in_channels: int = 9) -> dict[str, Any]:
    """Return ``unet``, ``vae``, ``text_encoder``, ``text_encoder_2`` with weights drawn from their names."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    networks: dict[str, Any] = {
        "unet": UNet2DConditionModel(**{**UNET_CONFIG, "in_channels": in_channels}),
        "vae": AutoencoderKL(**VAE_CONFIG),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**TEXT_CONFIG)),
        "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig(**TEXT_2_CONFIG)),
    }
    for name, network in networks.items():
        fill_by_name(network, even_scale, f"standin.{name}.", ignore="text_model.")
    return networks


def write_sdxl_inpaint_folder(folder: str | Path, in_channels: int = 9) -> Path:
    """Write a complete diffusers folder of untrained networks, 9 (inpainting) or 4 input channels.

    Untrained: what it paints means nothing, the folder only shows that the whole path from files to pictures runs.
    """
    from grefine_core.engines.prompts import END, write_tokenizer

    folder = Path(folder)
    networks = build_networks(in_channels)
    for name in ("unet", "vae"):
        networks[name].save_pretrained(str(folder / name), safe_serialization=True)
    for name, config in (("text_encoder", TEXT_CONFIG), ("text_encoder_2", TEXT_2_CONFIG)):
        _write_text_encoder(folder / name, networks[name], config)
    write_tokenizer(folder / "tokenizer", END)
    write_tokenizer(folder / "tokenizer_2", "!")
    (folder / "scheduler").mkdir(parents=True, exist_ok=True)
    _write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER_CONFIG)
    _write_json(folder / "model_index.json", MODEL_INDEX)
    return folder


def _write_text_encoder(folder: Path, network: Any, config: dict[str, Any]) -> None:
    """In the published models' names, which every version of transformers reads."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name if name.startswith(("text_model.", "text_projection.")) else f"text_model.{name}": tensor.contiguous()
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    kind = {"architectures": [type(network).__name__], "model_type": "clip_text_model"}
    _write_json(folder / "config.json", {**config, **kind})


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
