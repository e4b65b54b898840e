"""Where in a picture ImageReward sees what a text says: three ways, each giving one value for every patch.

Which of them localises best can only be told with trained weights. The values of different ways, and of different
texts, are on no common scale.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from .network import REWARD_STD, ImageRewardNetwork

Localisation = Literal["gradient", "values", "slices"]
LOCALISATIONS: tuple[Localisation, ...] = ("gradient", "values", "slices")
VALUE_BLOCKS = 6
"""Last blocks of the image encoder with V-V attention, as CLIP Surgery has it."""
SLICES_AT_ONCE = 64
"""Parts of a picture in one forward pass."""


def middle_layers(depth: int) -> range:
    """The text layers whose attention is looked at: the third quarter of them (6 to 8, from 0, of twelve)."""
    return range(depth // 2, max(depth * 3 // 4, depth // 2 + 1))


def token_gradients(network: ImageRewardNetwork, tokens: Tensor, ids: Tensor, mask: Tensor, layer: int) -> Tensor:
    """Gradient × attention of one text layer (ALBEF 2021, BLIP 2022): what of the reward hangs on looking where.

    Cross-attention probabilities times the positive part of the reward's gradient by them, the mean over heads; the
    image's class token is left out.

    Args:
        network: its weights need no gradients, and may have been moved in inference mode.
        tokens: of the picture, (N, width) for all texts, or (n, N, width), one for each.
        ids, mask: the texts, (n, L).
        layer: of the text encoder, from 0 on.

    Returns:
        (n, L, N − 1) float32, from 0 on; 0 for padding.

    Source: Li et al., ALBEF (arXiv 2107.07651): Grad-CAM on cross-attention; here of ImageReward's reward (arXiv
        2304.05977).
    """
    return _gradients(network, tokens, ids, mask, [layer])[0]


def gradient_maps(network: ImageRewardNetwork, tokens: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Gradient × attention of texts (n, L) over one picture (N, width): (n, N − 1) float32, from 0 on.

    The mean over the middle layers and over the tokens of a text, without its start and end; as ALBEF localises
    referring expressions, each text is read alone.

    Args:
        network: an ImageReward network.
        tokens: (N, vision width) of one picture, class token first.
        ids: (n, L) token ids.
        mask: (n, L), 1 for a token, 0 for padding.

    Source: Li et al., ALBEF (arXiv 2107.07651); the mean over the middle layers is ours.
    """
    layers = list(middle_layers(network.sizes.text_layers))
    mean = torch.stack(_gradients(network, tokens, ids, mask, layers)).mean(0)
    words = mask.clone()
    words[:, 0] = 0
    words[torch.arange(len(mask)), mask.sum(1) - 1] = 0
    # A text without a token of its own, the empty one: its start and end are all there is.
    words = torch.where(words.sum(1, keepdim=True) > 0, words, mask).to(mean)
    return torch.einsum("nlp,nl->np", mean, words) / words.sum(1, keepdim=True)


@torch.no_grad()
def value_features(network: ImageRewardNetwork, pixel_values: Tensor, blocks: int = VALUE_BLOCKS) -> Tensor:
    """V-V attention (CLIP Surgery) over the image encoder: (B, 1 + h·w, vision width), behind its last norm.

    The class token comes from the ordinary path; the patch tokens take the new one, which adds
    ``projection(softmax(v vᵀ · d^-0.5) v)`` in each of the last ``blocks`` blocks, v from the ordinary path.

    Args:
        network: an ImageReward network.
        pixel_values: (B, 3, n, n), normalised.
        blocks: last blocks with V-V attention.

    Source: Li et al., CLIP Surgery (arXiv 2304.05653), in BLIP's image encoder.
    """
    vision: Any = network.vision_model
    weight = network.vision_proj.weight
    x = vision.embeddings(pixel_values.to(device=weight.device, dtype=weight.dtype))
    new = x
    layers = list(vision.encoder.layers)
    first = max(len(layers) - blocks, 0)
    for index, layer in enumerate(layers):
        normed = layer.layer_norm1(x)
        if index >= first:
            new = (x if index == first else new) + _value_update(layer.self_attn, normed)
        x = x + layer.self_attn(normed)[0]
        x = x + layer.mlp(layer.layer_norm2(x))
    joined = x if first == len(layers) else torch.cat([x[:, :1], new[:, 1:]], dim=1)
    states: Tensor = vision.post_layernorm(joined)
    return states


@torch.no_grad()
def joint_patches(network: ImageRewardNetwork, states: Tensor) -> Tensor:
    """Unit features of patches in BLIP's joint space, float32: (B, 1 + h·w, vision width) -> (B, h·w, joint width).

    Args:
        network: an ImageReward network.
        states: (B, 1 + h·w, vision width), class token first.

    Source: Li et al., BLIP (arXiv 2201.12086): the space of its image-text contrastive loss.
    """
    return F.normalize(network.vision_proj(states[:, 1:]).float(), dim=-1)


@torch.no_grad()
def joint_texts(network: ImageRewardNetwork, ids: Tensor, mask: Tensor) -> Tensor:
    """Unit features (n, joint width) float32 of texts read without a picture.

    Args:
        network: an ImageReward network.
        ids: (n, L) token ids.
        mask: (n, L), 1 for a token, 0 for padding.

    Source: Li et al., BLIP (arXiv 2201.12086): the space of its image-text contrastive loss.
    """
    states = network.text_states(ids, mask, None).last_hidden_state
    return F.normalize(network.text_proj(states[:, 0]).float(), dim=-1)


@torch.no_grad()
def slice_rewards(network: ImageRewardNetwork, tokens: Tensor, ids: Tensor, mask: Tensor, window: int = 1) -> Tensor:
    """Rewards of a text for parts of a picture: squares of ``window`` × ``window`` patches, one about every patch.

    The text encoder gets those tokens alone (the library ignores masks of the picture). Squares that would stick out
    are moved inwards.

    Args:
        network: in evaluation mode.
        tokens: of the picture, (1 + h·h, width), class token first; it is left out.
        ids, mask: one text, (1, L).
        window: patches in a row of a part.

    Returns:
        (h·h,) float32.

    Source: ours: ImageReward's reward (arXiv 2304.05977) of a part of the picture's tokens.
    """
    side = network.sizes.side
    window = min(window, side)
    start = (torch.arange(side) - (window - 1) // 2).clamp(0, side - window)
    inside = torch.arange(window)
    rows = (start[:, None] + inside)[:, None, :, None]
    columns = (start[:, None] + inside)[None, :, None, :]
    indices = (rows * side + columns).reshape(side * side, window * window).to(tokens.device)
    patches = tokens[1:]
    found = []
    for part in indices.split(SLICES_AT_ONCE):
        texts = ids.expand(len(part), -1), mask.expand(len(part), -1)
        states = network.text_states(*texts, patches[part]).last_hidden_state
        found.append(network.reward(states[:, 0]))
    return torch.cat(found)


def _gradients(
    network: ImageRewardNetwork, tokens: Tensor, ids: Tensor, mask: Tensor, layers: list[int]
) -> list[Tensor]:
    weight = network.vision_proj.weight
    with torch.inference_mode(False), torch.enable_grad():
        # Copies: what was made (or moved, as a host's memory manager does) in inference mode takes part in no gradient.
        image = tokens.to(device=weight.device, dtype=weight.dtype, copy=True).clone().requires_grad_()
        ids, mask = ids.to(weight.device).clone(), mask.to(weight.device).clone()
        output = functional_call(
            network.text_encoder,
            _usable(network.text_encoder),
            (),  # may be left out from torch 2.5 on only
            kwargs={
                "input_ids": ids,
                "attention_mask": mask,
                "encoder_hidden_states": image.expand(len(ids), -1, -1),
                "output_attentions": True,
                "return_dict": True,
            },
        )
        raw = functional_call(network.mlp, _usable(network.mlp), (output.last_hidden_state[:, 0],))
        probabilities = [output.cross_attentions[layer] for layer in layers]
        gradients = torch.autograd.grad(raw.float().sum() / REWARD_STD, probabilities)
        padding = mask[:, :, None]
        return [
            ((attention * gradient.clamp(min=0))[..., 1:].mean(1) * padding).detach().float()
            for attention, gradient in zip(probabilities, gradients, strict=True)
        ]


def _usable(module: torch.nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers that gradients can pass: copies of those that were moved in inference mode."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: tensor.clone() if tensor.is_inference() else tensor for name, tensor in tensors.items()}


def _value_update(attention: Any, normed: Tensor) -> Tensor:
    width = normed.shape[-1]
    values = F.linear(normed, attention.qkv.weight[2 * width :], attention.qkv.bias[2 * width :])
    values = values.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
    mixed = F.scaled_dot_product_attention(values, values, values).transpose(1, 2).flatten(2)
    update: Tensor = attention.projection(mixed)
    return update
