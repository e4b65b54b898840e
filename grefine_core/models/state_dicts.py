"""Names and shapes of CLIP weights: other formats brought to open_clip's names, and compared with an architecture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import ModelFileError

_BUFFERS = ("input_resolution", "context_length", "vocab_size", "attn_mask", "text.attn_mask")
_SHOWN = 4

_TRANSFORMERS = (
    (r"^vision_model\.embeddings\.class_embedding$", "visual.class_embedding"),
    (r"^vision_model\.embeddings\.patch_embedding\.weight$", "visual.conv1.weight"),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
    (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"^text_model\.embeddings\.token_embedding\.weight$", "token_embedding.weight"),
    (r"^text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^text_model\.final_layer_norm\.", "ln_final."),
    (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.layer_norm1\.", ".ln_1."),
    (r"\.layer_norm2\.", ".ln_2."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)
_PART = re.compile(r"^(.*)\.self_attn\.([qkv])_proj\.(weight|bias)$")


def to_open_clip(tensors: Mapping[str, Tensor], custom_text: bool = False) -> dict[str, Tensor]:
    """Bring weights to open_clip's names.

    Takes open_clip's and OpenAI's own layout (text encoder at the top or under ``text.``), and that of transformers'
    ``CLIPModel``; counters and masks that are no weights are left out.

    Args:
        tensors: name -> tensor.
        custom_text: whether the text encoder's weights go under ``text.`` (open_clip's CustomTextCLIP).
    """
    named = from_transformers(tensors) if is_transformers(tensors) else dict(tensors)
    named = {name: tensor for name, tensor in named.items() if name not in _BUFFERS}
    towers = ("token_embedding.", "positional_embedding", "transformer.", "ln_final.", "text_projection")
    result = {}
    for name, tensor in named.items():
        bare = name.removeprefix("text.")
        result[f"text.{bare}" if custom_text and bare.startswith(towers) else bare] = tensor
    return result


def is_transformers(names: Mapping[str, object]) -> bool:
    """Whether the names are those of transformers' CLIPModel."""
    return "vision_model.embeddings.class_embedding" in names


def from_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of transformers' CLIPModel under open_clip's names; query, key and value are put together."""
    result: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.endswith(".position_ids"):
            continue
        if name in ("visual_projection.weight", "text_projection.weight"):
            result["visual.proj" if name.startswith("visual") else "text_projection"] = tensor.T.contiguous()
            continue
        part = _PART.match(name)
        if part:
            parts.setdefault(f"{part[1]}.attn.in_proj_{part[3]}", {})[part[2]] = tensor
            continue
        result[_rename(name)] = tensor
    for name, three in parts.items():
        if set(three) == set("qkv"):
            result[_rename(name)] = torch.cat([three[letter] for letter in "qkv"])
    return result


def _rename(name: str) -> str:
    for pattern, replacement in _TRANSFORMERS:
        name = re.sub(pattern, replacement, name)
    return name


def to_floats(
    title: object, name: str, tensor: Tensor, dtype: torch.dtype, device: torch.device | None = None
) -> Tensor:
    """A weight in the type and place where it is computed with, after making sure that it is finite numbers.

    With a single NaN among its weights a network still answers, and its scores would be compared as if they were any.

    Args:
        title: of the file, for the message.
        name: of the tensor.
        tensor: of any type of floats.
        dtype: float32, float16 or bfloat16.
        device: None for where it is.

    Raises:
        ModelFileError: as :func:`check_values`; also for whole numbers, truth values and complex numbers.
    """
    if not tensor.is_floating_point():
        raise ModelFileError(
            f"{title}: {name} is of type {tensor.dtype}, expected floats: the file is quantised or damaged. Take the "
            "model in float32, float16 or bfloat16."
        )
    found = tensor.to(device=device, dtype=dtype)
    check_values(title, {name: found})
    return found


def check_values(title: object, tensors: Mapping[str, Tensor]) -> None:
    """Return if all values are finite numbers; whole numbers are passed over. See :func:`to_floats`.

    Raises:
        ModelFileError: a value is not, or not any more in the type it was converted to; names its tensor.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.is_meta and not is_finite(tensor):
            raise ModelFileError(
                f"{title}: {name} contains NaN, infinite values, or values beyond the range of {tensor.dtype}. The "
                "file is damaged, or not meant for this type: take another copy, or load it in float32."
            )


def is_finite(tensor: Tensor) -> bool:
    """Whether all values are finite numbers."""
    if not tensor.numel():
        return True
    # One pass at the speed of memory: NaN and infinity show in the sum. A sum beyond the range of floats does, too.
    wide = torch.float32 if tensor.dtype.itemsize < 4 else tensor.dtype
    return bool(torch.isfinite(tensor.sum(dtype=wide))) or bool(torch.isfinite(tensor).all())


_ADVICE = "Take the file that belongs to the model, or name the model that belongs to the file (--architecture)."


def check(
    file: Path,
    found: Mapping[str, tuple[int, ...]],
    expected: Mapping[str, tuple[int, ...]],
    model: str,
    advice: str = _ADVICE,
) -> None:
    """Compare names and shapes; ``advice`` ends the error's message.

    Raises:
        ModelFileError: anything missing, surplus or of another shape; the first few of each, and how many there are.
    """
    missing = [name for name in expected if name not in found]
    surplus = [name for name in found if name not in expected]
    other = [
        f"{name} {found[name]}≠{expected[name]}" for name in expected if name in found and found[name] != expected[name]
    ]
    if not (missing or surplus or other):
        return
    parts = [
        f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''})"
        for what, names in (("missing", missing), ("of another shape", other), ("not of this model", surplus))
        if names
    ]
    raise ModelFileError(f"{file}: these are not the weights of {model}: {'; '.join(parts)}. {advice}")
