"""Names of the tensors: the original layout of Stable Diffusion 1 checkpoints, and what older files call things.

Every rule renames; none leaves a tensor out, except what is named as left out. A name that no rule knows stays as it
is, and is refused when the names are compared with the network's.
"""

from __future__ import annotations

import re

UNET = "model.diffusion_model."
VAE = "first_stage_model."
TEXT = "cond_stage_model.transformer."
TEXT_PROJECTION = "text_projection.weight"
#: Of the text encoder's own tensors, what its last hidden state needs not.
_TEXT_UNUSED = ("embeddings.position_ids", TEXT_PROJECTION, "text_projection", "logit_scale")

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_UNET_ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
_ATTENTION = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
    "query": "to_q",
    "key": "to_k",
    "value": "to_v",
    "proj_attn": "to_out.0",
}
_BLOCK = re.compile(r"(input|output)_blocks\.(\d+)\.(\d+)\.(.+)")


def unet_name(name: str, layers: int) -> str:
    """diffusers' name of a tensor of the UNet in the original layout, whose own prefix is gone.

    ``layers`` is the number of resnets of a down block.
    """
    for theirs, ours in _UNET_ENDS.items():
        if name.startswith(theirs + "."):
            return ours + name.removeprefix(theirs)
    if name.startswith("middle_block."):
        _, place, rest = name.split(".", 2)
        return f"mid_block.{_MIDDLE.get(place, place)}.{_resnet(rest)}"
    match = _BLOCK.fullmatch(name)
    if match is None:
        return name
    side, number, place, rest = match[1], int(match[2]), match[3], match[4]
    if side == "input":
        block, k = divmod(number - 1, layers + 1)
        block_name = f"down_blocks.{block}"
        if rest.startswith("op."):
            return f"{block_name}.downsamplers.0.conv.{rest.removeprefix('op.')}"
    else:
        block, k = divmod(number, layers + 1)
        block_name = f"up_blocks.{block}"
        if rest.startswith("conv."):
            return f"{block_name}.upsamplers.0.{rest}"
    return f"{block_name}.resnets.{k}.{_resnet(rest)}" if place == "0" else f"{block_name}.attentions.{k}.{rest}"


def _resnet(rest: str) -> str:
    for theirs, ours in _RESNET.items():
        if rest.startswith(theirs + "."):
            return ours + rest.removeprefix(theirs)
    return rest


def vae_name(name: str, blocks: int) -> str:
    """diffusers' name of a tensor of the VAE, from the original layout (prefix gone) or from its own older one.

    ``blocks`` is the number of up blocks, which the original layout counts from the other end.
    """
    name = re.sub(r"^encoder\.down\.(\d+)\.block\.", r"encoder.down_blocks.\1.resnets.", name)
    name = re.sub(r"^encoder\.down\.(\d+)\.downsample\.", r"encoder.down_blocks.\1.downsamplers.0.", name)
    match = re.match(r"decoder\.up\.(\d+)\.(block|upsample)\.", name)
    if match:
        part = "resnets" if match[2] == "block" else "upsamplers.0"
        name = f"decoder.up_blocks.{blocks - 1 - int(match[1])}.{part}.{name[match.end() :]}"
    name = re.sub(r"\.mid\.block_([12])\.", lambda m: f".mid_block.resnets.{int(m[1]) - 1}.", name)
    name = name.replace(".mid.attn_1.", ".mid_block.attentions.0.")
    name = re.sub(r"^(encoder|decoder)\.norm_out\.", r"\1.conv_norm_out.", name)
    name = name.replace(".nin_shortcut.", ".conv_shortcut.")
    return re.sub(r"(\.mid_block\.attentions\.0)\.(\w+)\.(weight|bias)$", _attention, name)


def _attention(match: re.Match[str]) -> str:
    return f"{match[1]}.{_ATTENTION.get(match[2], match[2])}.{match[3]}"


def text_name(name: str, projection: bool = False) -> str | None:
    """A tensor of CLIP's text encoder without the prefix that only some versions have; None if it is not needed, as its
    projection is where that is not asked for."""
    name = name.removeprefix("text_model.")
    if projection and name == TEXT_PROJECTION:
        return name
    return None if name in _TEXT_UNUSED else name
