"""PASD's UNet: diffusers' own layers, with attention to the ControlNet's residuals in the up blocks.

diffusers' ``forward`` adds the residuals to the skips and forgets them; here the blocks are run one by one, because
the up blocks need the residuals on their own as well. Composed and not derived, so that importing this module does
not import diffusers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, cat, nn

from ...errors import InputError

# How the ControlNet's residuals are attended to: what PASD adds to the stock blocks, for both variants.


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
    """A stock transformer that reads a residual of ``context`` channels instead of a text (variant ``pasd``).

    Source: PASD (arXiv 2308.14469): pixel-aware cross-attention.
    """
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

    Source: PASD (arXiv 2308.14469), as in the published light variant.
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

    Source: PASD (arXiv 2308.14469), as in the published light variant.
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


# PASD's ControlNet: diffusers' own, and for the rrdb variants a deeper encoder of the condition.

GROWTH = 16
_SHARE = 0.2


class DenseBlock(nn.Module):
    """Five 3x3 convolutions, each of which sees the outputs of all before it; a fifth of the result is added."""

    def __init__(self, channels: int, growth: int = GROWTH) -> None:
        super().__init__()
        for i in range(1, 6):
            out = growth if i < 5 else channels
            setattr(self, f"conv{i}", nn.Conv2d(channels + (i - 1) * growth, out, kernel_size=3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """``(b, c, h, w)`` to the same shape."""
        *convolutions, last = (getattr(self, f"conv{i}") for i in range(1, 6))
        seen = x
        for convolution in convolutions:
            seen = torch.cat([seen, F.leaky_relu(convolution(seen), 0.2)], dim=1)
        out: Tensor = x + _SHARE * last(seen)
        return out


class ResidualDenseBlock(nn.Module):
    """Three dense blocks in a row; a fifth of the result is added (RRDB)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(channels) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """``(b, c, h, w)`` to the same shape."""
        out: Tensor = x + _SHARE * self.rdb3(self.rdb2(self.rdb1(x)))
        return out


class DenseConditioningEmbedding(nn.Module):
    """The stock encoder of the condition with two residual dense blocks after its first convolution.

    ``stock`` is the encoder whose layers are used; its class lies elsewhere in each version of diffusers.
    """

    def __init__(self, stock: Any) -> None:
        super().__init__()
        self.conv_in, self.blocks, self.conv_out = stock.conv_in, stock.blocks, stock.conv_out
        # The name is that of the published weights.
        self.preprocesser = nn.Sequential(*(ResidualDenseBlock(stock.conv_in.out_channels) for _ in range(2)))

    def forward(self, conditioning: Tensor) -> Tensor:
        """``(b, 3, 8h, 8w)`` to ``(b, c, h, w)``."""
        x = self.preprocesser(F.silu(self.conv_in(conditioning)))
        for block in self.blocks:
            x = F.silu(block(x))
        out: Tensor = self.conv_out(x)
        return out


def build_controlnet(config: dict[str, Any], *, rrdb: bool = False) -> Any:
    """A ControlNet from the arguments of diffusers' ``ControlNetModel``, untrained.

    The six ``to_rgbs`` tensors of the published files belong to heads that only training uses, and are not built.

    Source: PASD (arXiv 2308.14469): degradation removal and ControlNet.
    """
    from diffusers import ControlNetModel

    network: Any = ControlNetModel(**config)
    if rrdb:
        network.controlnet_cond_embedding = DenseConditioningEmbedding(network.controlnet_cond_embedding)
    return network


_DOWN = ("CrossAttnDownBlock2D", "DownBlock2D")
_UP = ("CrossAttnUpBlock2D", "UpBlock2D")
#: Settings of diffusers' UNet that this one's ``forward`` knows only one value of.
_FIXED: dict[str, Any] = {
    "attention_type": "default",
    "center_input_sample": False,
    "class_embed_type": None,
    "class_embeddings_concat": False,
    "dual_cross_attention": False,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "mid_block_only_cross_attention": None,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "num_class_embeds": None,
    "only_cross_attention": False,
    "time_cond_proj_dim": None,
    "time_embedding_act_fn": None,
    "time_embedding_type": "positional",
}
_ADDED = (None, "text_time")


class PasdUNet(nn.Module):
    """The UNet of ``pasd`` or, with ``light``, of ``pasd_light``; other arguments as diffusers' UNet takes them.

    ``pasd`` has ``pixel_attentions`` in every up block, one after each resnet (and its text attention); ``pasd_light``
    has ``proj_in_plus``, ``norm2_plus`` and ``attn2_plus`` inside the text attentions of the up blocks that have any.
    All other layers, their names and ``config`` are those of diffusers' ``UNet2DConditionModel``.

    Raises:
        InputError: a configuration that is no Stable Diffusion UNet of the plain kind.
    """

    # diffusers' layers, which nn.Module itself knows nothing of.
    add_embedding: Any
    add_time_proj: Any
    conv_act: Any
    conv_in: Any
    conv_norm_out: Any
    conv_out: Any
    down_blocks: Any
    mid_block: Any
    time_embedding: Any
    time_proj: Any
    up_blocks: Any

    def __init__(self, *, light: bool = False, **config: Any) -> None:
        from diffusers import UNet2DConditionModel

        _check_config(config)
        super().__init__()
        stock: Any = UNet2DConditionModel(**config)
        for name, layer in stock.named_children():
            self.add_module(name, layer)
        self.light = light
        self.config: Any = stock.config
        settings = self.config
        channels = residual_channels(settings)
        heads = settings.num_attention_heads or settings.attention_head_dim
        blocks: list[Any] = list(self.up_blocks)
        for i, block in enumerate(blocks):
            mirror = len(blocks) - 1 - i  # settings by block are listed for the down blocks
            contexts = [channels.pop() for _ in block.resnets]
            if light:
                for attention, context in zip(getattr(block, "attentions", ()), contexts, strict=False):
                    add_context_attention(attention, context)
                continue
            block.pixel_attentions = nn.ModuleList(
                pixel_attention(
                    resnet.out_channels,
                    context,
                    heads=_of_block(heads, mirror),
                    groups=settings.norm_num_groups,
                    layers=_of_block(settings.transformer_layers_per_block, mirror),
                    linear=settings.use_linear_projection,
                    upcast=settings.upcast_attention,
                )
                for resnet, context in zip(block.resnets, contexts, strict=True)
            )

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        encoder_hidden_states: Tensor,
        down_block_additional_residuals: Sequence[Tensor],
        mid_block_additional_residual: Tensor,
        added_cond_kwargs: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """Return the predicted noise ``(b, 4, h, w)``.

        Args:
            sample: noisy latents ``(b, 4, h, w)``, any size.
            timestep: one number, or one per row.
            encoder_hidden_states: the text's, ``(b, n, d)``.
            down_block_additional_residuals: the ControlNet's, scaled, first to last.
            mid_block_additional_residual: the ControlNet's last.
            added_cond_kwargs: ``text_embeds`` and ``time_ids``, for a UNet of SDXL's kind.

        Raises:
            InputError: another number of residuals than skips, or SDXL's conditions are missing.

        Source: PASD (arXiv 2308.14469).
        """
        states, residuals = encoder_hidden_states, list(down_block_additional_residuals)
        time = self._time(sample, timestep, added_cond_kwargs)
        x = self.conv_in(sample)
        skips = [x]
        for block in self.down_blocks:
            x, more = _with_text(block, states)(hidden_states=x, temb=time)
            skips += more
        if len(residuals) != len(skips):
            raise InputError(f"down_block_additional_residuals: expected {len(skips)} of them, got {len(residuals)}.")
        x = self.mid_block(x, time, encoder_hidden_states=states) + mid_block_additional_residual

        for block in self.up_blocks:
            x = self._up(block, x, time, states, skips, residuals)
        out: Tensor = self.conv_out(self.conv_act(self.conv_norm_out(x)))
        return out

    def _time(self, sample: Tensor, timestep: Tensor | float | int, added: dict[str, Tensor] | None) -> Tensor:
        """The embedding of the timestep, and of what a UNet of SDXL's kind is told besides, ``(b, c)``."""
        steps = torch.as_tensor(timestep, device=sample.device).expand(sample.shape[0])
        time: Tensor = self.time_embedding(self.time_proj(steps).to(sample.dtype))
        if self.config.addition_embed_type is None:
            return time
        if not added or not {"text_embeds", "time_ids"} <= added.keys():
            raise InputError("added_cond_kwargs: this UNet needs text_embeds (b, p) and time_ids (b, 6).")
        text = added["text_embeds"]
        sizes = self.add_time_proj(added["time_ids"].flatten()).reshape(text.shape[0], -1)
        embedded: Tensor = self.add_embedding(cat([text, sizes], dim=-1).to(time.dtype))
        return time + embedded

    def _up(
        self, block: Any, x: Tensor, time: Tensor, states: Tensor, skips: list[Tensor], residuals: list[Tensor]
    ) -> Tensor:
        """One up block; takes its skips and residuals from the ends of the lists."""
        for k, resnet in enumerate(block.resnets):
            residual = residuals.pop()
            x = resnet(cat([x, skips.pop() + residual], dim=1), time)
            if hasattr(block, "attentions"):
                if self.light:
                    x = attend_with_context(block.attentions[k], x, states, residual)
                else:
                    x = block.attentions[k](x, encoder_hidden_states=states, return_dict=False)[0]
            if not self.light:
                pixels = block.pixel_attentions[k]
                x = pixels(x, encoder_hidden_states=flatten(residual), return_dict=False)[0]
        for upsampler in block.upsamplers or ():
            # Odd sizes: half of them was rounded up on the way down, so the target is the next skip's.
            x = upsampler(x, skips[-1].shape[2:])
        return x


def residual_channels(config: Any) -> list[int]:
    """Channels of the UNet's skips, which are those of the ControlNet's residuals, first to last."""
    widths = list(config.block_out_channels)
    found = [widths[0]]
    for i, width in enumerate(widths):
        found += [width] * (_of_block(config.layers_per_block, i) + (i < len(widths) - 1))
    return found


def _of_block(value: Any, down_block: int) -> int:
    """A setting that is one number for all blocks, or one for each down block."""
    return int(value[down_block] if isinstance(value, (list, tuple)) else value)


def _with_text(block: Any, states: Tensor) -> Any:
    if not getattr(block, "has_cross_attention", False):
        return block
    return lambda **inputs: block(encoder_hidden_states=states, **inputs)


def _check_config(config: Mapping[str, Any]) -> None:
    wrong = [f"{key} = {config[key]!r}" for key, value in _FIXED.items() if config.get(key, value) != value]
    added = config.get("addition_embed_type")
    if added not in _ADDED:
        wrong.append(f"addition_embed_type = {added!r}")
    for key, known in (("down_block_types", _DOWN), ("up_block_types", _UP)):
        wrong += [f"{key} with {kind}" for kind in config.get(key, ()) if kind not in known]
    if wrong:
        raise InputError(f"UNet configuration: {', '.join(wrong)} is nothing that PASD's UNet can have.")
