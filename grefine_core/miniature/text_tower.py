"""The text tower of the miniature CLIP as the text encoder of the miniature diffusion model, as in Stable Diffusion 1.

The tower is stored once, in ``clip.safetensors`` under open_clip's names; diffusers and ComfyUI want transformers'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import ModelFileError

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
