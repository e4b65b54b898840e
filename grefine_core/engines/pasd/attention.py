"""How the ControlNet's residuals are attended to: what PASD adds to the stock blocks, for both variants.

Everything is made of diffusers' own blocks, under the names that the published weights have. The context of every
attention is the scaled residual of the ControlNet alone, before it is added to the UNet's skip.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


def flatten(features: Tensor) -> Tensor:
    """``(b, c, h, w)`` to the sequence ``(b, h * w, c)``."""
    return features.flatten(2).transpose(1, 2)


def pixel_attention(
    channels: int,
    context: int,
    *,
    heads: int,
    groups: int,
    layers: int = 1,
    linear: bool = False,
    upcast: bool = False,
) -> Any:
    """A stock transformer that reads a residual of ``context`` channels instead of a text (variant ``pasd``)."""
    from diffusers.models.transformers.transformer_2d import Transformer2DModel

    return Transformer2DModel(
        heads,
        channels // heads,
        in_channels=channels,
        num_layers=layers,
        cross_attention_dim=context,
        norm_num_groups=groups,
        use_linear_projection=linear,
        upcast_attention=upcast,
    )


def add_context_attention(attention: Any, context: int) -> None:
    """Let a stock text transformer read a residual of ``context`` channels too (variant ``pasd_light``).

    ``attention`` gets ``proj_in_plus``, each of its blocks ``norm2_plus`` and ``attn2_plus``; only
    :func:`attend_with_context` uses them.
    """
    from diffusers.models.attention_processor import Attention

    attention.proj_in_plus = nn.Conv2d(context, context, kernel_size=1)
    for block in attention.transformer_blocks:
        text = block.attn2
        block.norm2_plus = nn.LayerNorm(text.query_dim)
        block.attn2_plus = Attention(
            query_dim=text.query_dim,
            cross_attention_dim=context,
            heads=text.heads,
            dim_head=text.inner_dim // text.heads,
            upcast_attention=text.upcast_attention,
        )


def attend_with_context(attention: Any, hidden: Tensor, states: Tensor, residual: Tensor) -> Tensor:
    """Run a transformer that :func:`add_context_attention` has changed.

    Args:
        attention: the transformer, with 1x1 convolutions as projections.
        hidden: ``(b, c, h, w)``.
        states: the text's, ``(b, n, d)``.
        residual: the scaled ControlNet residual of the same place, ``(b, context, h, w)``.

    Returns:
        ``(b, c, h, w)``.
    """
    context = flatten(attention.proj_in_plus(residual))
    x = flatten(attention.proj_in(attention.norm(hidden)))
    for block in attention.transformer_blocks:
        x = x + block.attn1(block.norm1(x))
        x = x + block.attn2(block.norm2(x), encoder_hidden_states=states)
        x = x + block.attn2_plus(block.norm2_plus(x), encoder_hidden_states=context)
        x = x + block.ff(block.norm3(x))
    x = x.transpose(1, 2).reshape(hidden.shape[0], -1, *hidden.shape[-2:])
    out: Tensor = attention.proj_out(x) + hidden
    return out
