"""The names of ImageReward's weights: those of the published file, and those of the network of transformers' parts.

The two differ in the image encoder alone; no tensor is transposed or split.
"""

from __future__ import annotations

import re

from torch import Tensor

from .network import ImageRewardNetwork

#: A counter in the published file, which holds 0, 1, 2, … and no weights; files written by newer code lack it.
POSITION_IDS = "blip.text_encoder.embeddings.position_ids"

_VISION = (
    ("blip.visual_encoder.cls_token", "vision_model.embeddings.class_embedding"),
    ("blip.visual_encoder.pos_embed", "vision_model.embeddings.position_embedding"),
    ("blip.visual_encoder.patch_embed.proj.", "vision_model.embeddings.patch_embedding."),
    ("blip.visual_encoder.norm.", "vision_model.post_layernorm."),
    ("blip.visual_encoder.blocks.", "vision_model.encoder.layers."),
)
_BLOCK = (
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
    (".attn.qkv.", ".self_attn.qkv."),
    (".attn.proj.", ".self_attn.projection."),
)
_OTHERS = re.compile(r"^(text_encoder|vision_proj|text_proj)\.")


def network_name(published: str) -> str | None:
    """The network's name of a weight of the published file; None for ``POSITION_IDS``. Unknown names stay."""
    if published == POSITION_IDS:
        return None
    for theirs, ours in _VISION:
        if published.startswith(theirs):
            name = ours + published.removeprefix(theirs)
            for before, after in _BLOCK:
                name = name.replace(before, after)
            return name
    return published.removeprefix("blip.") if _OTHERS.match(published.removeprefix("blip.")) else published


def published_name(name: str) -> str:
    """The published file's name of one of the network's weights."""
    for theirs, ours in _VISION:
        if name.startswith(ours):
            published = theirs + name.removeprefix(ours)
            for before, after in _BLOCK:
                published = published.replace(after, before)
            return published
    return f"blip.{name}" if _OTHERS.match(name) else name


def published_shapes(network: ImageRewardNetwork) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the whole published file of a network of this size, ``POSITION_IDS`` included."""
    shapes = {published_name(name): tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return {**shapes, POSITION_IDS: (1, network.sizes.positions)}


def published_tensors(network: ImageRewardNetwork) -> dict[str, Tensor]:
    """A network's weights under the published names, to be written and loaded again (the counter left out)."""
    return {published_name(name): tensor for name, tensor in network.state_dict().items()}
