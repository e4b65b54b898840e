"""The miniature diffusion model: its sizes, said once for diffusers and for a ComfyUI host, and its files.

An inpainting model of Stable Diffusion 1.5's kind, so small that a processor trains it: a UNet with nine input
channels (noisy latents, mask, latents of the masked picture) that predicts the noise, and an autoencoder of factor 8
whose latents are scaled by 0.18215. Its text encoder is the text half of the miniature CLIP. Files are safetensors in
diffusers' names, half precision, with the sizes in their metadata.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import ModelFileError

Network = Literal["unet", "vae"]

FACTOR = 8
"""Pixels along one side of a latent."""
LATENT_CHANNELS = 4
SCALING = 0.18215
"""What latents are multiplied with before they are noised, as in Stable Diffusion 1.5; they then have unit variance."""
LATENT_SIDE = 16
TEXT_WIDTH = 96
TEXT_LENGTH = 77

_WIDTH = 64
_WIDTHS = (1, 2)
_BLOCKS = 2
_HEAD = 32
_GROUPS = 32
_LEVELS = len(_WIDTHS)
_VAE_WIDTH = 32
_VAE_WIDTHS = (1, 2, 2, 4)
_VAE_BLOCKS = 1

#: What ``diffusers.UNet2DConditionModel`` takes. Its "attention_head_dim" counts heads for models of this kind.
UNET_CONFIG: dict[str, Any] = {
    "sample_size": LATENT_SIDE,
    "in_channels": 2 * LATENT_CHANNELS + 1,
    "out_channels": LATENT_CHANNELS,
    "down_block_types": ["CrossAttnDownBlock2D"] * _LEVELS,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": ["CrossAttnUpBlock2D"] * _LEVELS,
    "block_out_channels": [_WIDTH * times for times in _WIDTHS],
    "layers_per_block": _BLOCKS,
    "cross_attention_dim": TEXT_WIDTH,
    "attention_head_dim": [_WIDTH * times // _HEAD for times in _WIDTHS],
    "norm_num_groups": _GROUPS,
    "use_linear_projection": False,
}


def unet_config(lean: bool = False) -> dict[str, Any]:
    """What ``diffusers.UNet2DConditionModel`` takes; a lean one attends at 8×8 latents alone, not at 16×16."""
    if not lean:
        return UNET_CONFIG
    down, up = UNET_CONFIG["down_block_types"], UNET_CONFIG["up_block_types"]
    return {
        **UNET_CONFIG,
        "down_block_types": ["DownBlock2D", *down[1:]],
        "up_block_types": [*up[:-1], "UpBlock2D"],
    }


def is_lean(names: Iterable[str]) -> bool:
    """Whether tensors of these names are those of a lean UNet."""
    return not any(name.startswith("down_blocks.0.attentions.") for name in names)


#: What ``diffusers.AutoencoderKL`` takes.
VAE_CONFIG: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * len(_VAE_WIDTHS),
    "up_block_types": ["UpDecoderBlock2D"] * len(_VAE_WIDTHS),
    "block_out_channels": [_VAE_WIDTH * times for times in _VAE_WIDTHS],
    "layers_per_block": _VAE_BLOCKS,
    "latent_channels": LATENT_CHANNELS,
    "norm_num_groups": _GROUPS,
    "sample_size": FACTOR * LATENT_SIDE,
    "scaling_factor": SCALING,
    "force_upcast": False,
}
#: What diffusers' schedulers take: Stable Diffusion's noise.
SCHEDULER_CONFIG: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "steps_offset": 1,
    "timestep_spacing": "leading",
}
#: The same UNet in a ComfyUI host's words.
HOST_UNET_CONFIG: dict[str, Any] = {
    "image_size": LATENT_SIDE,
    "in_channels": 2 * LATENT_CHANNELS + 1,
    "out_channels": LATENT_CHANNELS,
    "model_channels": _WIDTH,
    "channel_mult": list(_WIDTHS),
    "num_res_blocks": [_BLOCKS] * _LEVELS,
    "transformer_depth": [1] * (_BLOCKS * _LEVELS),
    "transformer_depth_output": [1] * ((_BLOCKS + 1) * _LEVELS),
    "transformer_depth_middle": 1,
    "context_dim": TEXT_WIDTH,
    "num_heads": -1,
    "num_head_channels": _HEAD,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "use_temporal_attention": False,
    "adm_in_channels": None,
    "legacy": False,
}


def host_unet_config(lean: bool = False) -> dict[str, Any]:
    """The same UNet in a ComfyUI host's words, as :func:`unet_config`."""
    if not lean:
        return HOST_UNET_CONFIG
    depths, out = HOST_UNET_CONFIG["transformer_depth"], HOST_UNET_CONFIG["transformer_depth_output"]
    return {
        **HOST_UNET_CONFIG,
        "transformer_depth": [0] * _BLOCKS + depths[_BLOCKS:],
        # From the lowest level upwards, taken from the end.
        "transformer_depth_output": [0] * (_BLOCKS + 1) + out[_BLOCKS + 1 :],
    }


#: The same autoencoder in a ComfyUI host's words.
HOST_VAE_CONFIG: dict[str, Any] = {
    "double_z": True,
    "z_channels": LATENT_CHANNELS,
    "resolution": FACTOR * LATENT_SIDE,
    "in_channels": 3,
    "out_ch": 3,
    "ch": _VAE_WIDTH,
    "ch_mult": list(_VAE_WIDTHS),
    "num_res_blocks": _VAE_BLOCKS,
    "attn_resolutions": [],
    "dropout": 0.0,
}


def build(network: Network, lean: bool = False) -> Any:
    """Return an untrained ``UNet2DConditionModel`` or ``AutoencoderKL`` of diffusers, float32, in training mode."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    return UNet2DConditionModel(**unet_config(lean)) if network == "unet" else AutoencoderKL(**VAE_CONFIG)


def save(module: nn.Module, path: str | Path, network: Network, notes: Mapping[str, str] | None = None) -> Path:
    """Write a network as half-precision safetensors, in one move; its sizes and ``notes`` go into the metadata."""
    from ..models.files import write_tensors

    path = Path(path)
    config = unet_config(is_lean(module.state_dict())) if network == "unet" else VAE_CONFIG
    tensors = {name: tensor.detach().half() for name, tensor in module.state_dict().items()}
    metadata = {"format": "pt", "network": network, "config": json.dumps(config), **(notes or {})}
    write_tensors(path, tensors, metadata)
    return path


def load(path: str | Path, network: Network, dtype: torch.dtype = torch.float32) -> Any:
    """Read a network that :func:`save` wrote, in evaluation mode.

    Raises:
        ModelFileError: missing, damaged, or a file of other tensors than this network's.
    """
    from ..models.files import check, existing_file, read_tensors, shapes_of, to_floats

    path = existing_file(path, network)
    tensors = read_tensors(path)
    module = build(network, network == "unet" and is_lean(tensors))
    model = f"the miniature {network}"
    check(path, shapes_of(tensors), shapes_of(module), model, "Give the file that came with the pack.")
    module.load_state_dict({name: to_floats(path, name, each, torch.float32) for name, each in tensors.items()})
    # diffusers warns of every conversion, even of one that changes nothing.
    return (module if dtype == torch.float32 else module.to(dtype)).eval()


@torch.no_grad()
def text_states(clip: nn.Module, tokens: Tensor) -> Tensor:
    """The same as :func:`learning_states`, without gradients."""
    return learning_states(clip, tokens)


def learning_states(clip: nn.Module, tokens: Tensor) -> Tensor:
    """What the UNet attends to: (n, 77, 96) float32, the last hidden states of the CLIP's text half after its norm.

    ``tokens`` are filled up with END tokens, as Stable Diffusion 1.5's are (:func:`pad_with_end`); every one counts.

    Raises:
        ModelFileError: the CLIP's text encoder is not one of open_clip's own.
    """
    from ..clip.text_encoder import text_tower

    tower = text_tower(clip)
    if tower is None:
        raise ModelFileError(
            "clip: its text encoder is not one of open_clip's own, so it gives no states to attend to."
        )
    dtype = tower.transformer.get_cast_dtype()
    hidden = tower.token_embedding(tokens).to(dtype) + tower.positional_embedding.to(dtype)
    mask = None if tower.attn_mask is None else tower.attn_mask.to(device=hidden.device, dtype=dtype)
    return tower.ln_final(tower.transformer(hidden, attn_mask=mask)).float()


def pad_with_end(tokens: Tensor) -> Tensor:
    """Fill what is behind the END token (the highest number, 49407) of (n, 77) tokens with END tokens; a copy."""
    end = tokens.max()
    behind = (tokens == end).cumsum(dim=1) > 0
    return torch.where(behind, end, tokens)


# The text tower of the miniature CLIP as the text encoder of the miniature diffusion model, as in Stable Diffusion
# 1.

#: CLIP's numbers of the tokens that open and close a text; Stable Diffusion 1 fills up with the closing one.
START, END = 49406, 49407

_TOWER = ("token_embedding.", "positional_embedding", "transformer.", "ln_final.", "text_projection")
_NAMES = (
    (r"^token_embedding\.", "text_model.embeddings.token_embedding."),
    (r"^positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"^ln_final\.", "text_model.final_layer_norm."),
    (r"^transformer\.resblocks\.", "text_model.encoder.layers."),
    (r"\.attn\.out_proj\.", ".self_attn.out_proj."),
    (r"\.ln_1\.", ".layer_norm1."),
    (r"\.ln_2\.", ".layer_norm2."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)
_JOINED = re.compile(r"^(.*)\.attn\.in_proj_(weight|bias)$")


def text_tower_weights(clip: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take the text tower out of an open_clip model's weights, under transformers' names.

    Args:
        clip: name -> tensor, text tower at the top (open_clip's CLIP, not its CustomTextCLIP).

    Returns:
        ``text_model.…`` and ``text_projection.weight``: what ``CLIPTextModelWithProjection`` has; query, key and value,
        which open_clip keeps in one tensor, apart.
    """
    result: dict[str, Tensor] = {}
    for name, tensor in clip.items():
        if not name.startswith(_TOWER):
            continue
        if name == "text_projection":
            result["text_projection.weight"] = tensor.T.contiguous()
            continue
        joined = _JOINED.match(name)
        if joined is None:
            result[_renamed(name)] = tensor
            continue
        for letter, part in zip("qkv", tensor.chunk(3), strict=True):
            result[f"{_renamed(joined[1])}.self_attn.{letter}_proj.{joined[2]}"] = part.contiguous()
    return result


def text_tower_config(clip: Mapping[str, Any]) -> dict[str, Any]:
    """Read an open_clip configuration (``clip.json``) as what transformers and ComfyUI call a CLIP text model's.

    Raises:
        ModelFileError: the configuration has no text tower of CLIP's own kind.
    """
    try:
        model: Any = clip.get("model_cfg", clip)
        text: Any = model["text_cfg"]
        return {
            "hidden_size": int(text["width"]),
            "intermediate_size": int(text["width"] * text.get("mlp_ratio", 4)),
            "num_attention_heads": int(text["heads"]),
            "num_hidden_layers": int(text["layers"]),
            "max_position_embeddings": int(text.get("context_length", 77)),
            "vocab_size": int(text.get("vocab_size", 49408)),
            "projection_dim": int(model["embed_dim"]),
            "hidden_act": "quick_gelu" if model.get("quick_gelu") else "gelu",
            "layer_norm_eps": 1e-5,
            "bos_token_id": START,
            "eos_token_id": END,
            "pad_token_id": END,
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(f"clip.json: no text tower is described in it ({error}); fetch the file again.") from error


def _renamed(name: str) -> str:
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    return name
