"""Both towers of an open_clip CLIP as one training step needs them: quick, on chosen patches, no padded tokens.

The same numbers as the model's own ``forward`` up to rounding, several times as fast on a CPU: attention is written out
(the backward pass of the fused one is slow there), constant factors are folded into weights, only the patches that a
step looks at are embedded, and the residual stream is bfloat16 where the device has units for it. Parameters stay the
model's own, in float32.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grefine_core.clip.preprocess import OPENAI_MEAN, OPENAI_STD

from ...training.precision import quick_type

#: QuickGELU, x · sigmoid(1.702 x), is silu(1.702 x) / 1.702: one fused operation once the factors are in the weights.
_GELU = 1.702


class Towers:
    """Functional forward passes over the parameters of ``clip``.

    Args:
        clip: an open_clip CLIP with a class-token ViT, no LayerScale, QuickGELU.
        tokens: (V, W) float32, the embeddings of the tokens in use: text is given in numbers of its rows.
        dtype: of activations and of the weights as they are used; None for the quickest.
    """

    def __init__(self, clip: nn.Module, tokens: Tensor, dtype: torch.dtype | None = None) -> None:
        self.clip: Any = clip
        self.tokens = tokens
        self.dtype = dtype or quick_type(tokens.device)

    def pictures(self, pixels: Tensor, chosen: Tensor, blocks: int = 0) -> tuple[Tensor, Tensor | None]:
        """Encode pictures by some of their patches.

        Args:
            pixels: (B, H, W, 3) uint8.
            chosen: (B, n) int64, numbers of the patches to look at, row by row.
            blocks: how many of the last blocks run V-V attention beside the ordinary one; 0 for none.

        Returns:
            Class features (B, C), and those of the chosen patches from the V-V path (B, n, C), None for no blocks;
            both at unit length, float32.
        """
        visual = self.clip.visual
        side = int(visual.conv1.weight.shape[-1])
        batch, height, width, _ = pixels.shape
        patches = pixels.unflatten(1, (height // side, side)).unflatten(3, (width // side, side))
        patches = patches.permute(0, 1, 3, 2, 4, 5).flatten(1, 2).flatten(2)
        patches = patches.gather(1, chosen[..., None].expand(-1, -1, patches.shape[-1]))
        # The model normalises pixels; here its kernel takes them as they are.
        mean, std = (torch.tensor(values, device=pixels.device) for values in (OPENAI_MEAN, OPENAI_STD))
        shift = (mean / std).view(1, 3, 1, 1)
        kernel = visual.conv1.weight / std.view(1, 3, 1, 1)
        # Around mid-grey, so that little is lost when the sums are rounded.
        bias = (kernel * 0.5 - visual.conv1.weight * shift).flatten(1).sum(1)
        kernel = kernel.permute(0, 2, 3, 1).flatten(1)
        inputs = (patches.to(torch.float32) / 255.0 - 0.5).to(self.dtype)
        x = F.linear(inputs, kernel.to(self.dtype), bias.to(self.dtype))
        positions = visual.positional_embedding
        x = x + positions[1:].to(self.dtype)[chosen]
        first = (visual.class_embedding + positions[0]).to(self.dtype).expand(batch, 1, -1)
        x = self._norm(torch.cat([first, x], dim=1), visual.ln_pre)
        resblocks = list(visual.transformer.resblocks)
        new: Tensor | None = None
        for index, block in enumerate(resblocks):
            if index == len(resblocks) - blocks:
                new = x
            x, update = self._block(block, x, None, new is not None)
            new = new if new is None or update is None else new + update
        projection = visual.proj.to(self.dtype)
        whole = F.normalize((self._norm(x[:, 0], visual.ln_post) @ projection).float(), dim=-1)
        if new is None:
            return whole, None
        local = self._norm(new[:, 1:], visual.ln_post) @ projection
        return whole, F.normalize(local.float(), dim=-1)

    def texts(self, numbers: Tensor, ends: Tensor) -> Tensor:
        """Encode texts.

        Args:
            numbers: (n, L) int64, rows of ``tokens``; anything behind a text's end, no longer than the longest needs.
            ends: (n,) int64, position of each text's last token.

        Returns:
            (n, C) float32 at unit length.
        """
        clip = self.clip
        length = numbers.shape[1]
        x = F.embedding(numbers, self.tokens).to(self.dtype)
        x = x + clip.positional_embedding[:length].to(self.dtype)
        mask = torch.full((length, length), float("-inf"), dtype=self.dtype, device=x.device).triu_(1)
        for block in clip.transformer.resblocks:
            x, _ = self._block(block, x, mask, False)
        x = self._norm(x[torch.arange(len(x), device=x.device), ends], clip.ln_final)
        return F.normalize((x @ clip.text_projection.to(self.dtype)).float(), dim=-1)

    def _block(self, block: Any, x: Tensor, mask: Tensor | None, dual: bool) -> tuple[Tensor, Tensor | None]:
        """One residual block; with ``dual`` also what V-V attention adds (see ``grefine_core.clip.surgery``)."""
        attn = block.attn
        heads = attn.num_heads
        width = x.shape[-1]
        scale = (width // heads) ** -0.5
        normed = self._norm(x, block.ln_1)
        weight, bias = attn.in_proj_weight, attn.in_proj_bias
        factor = torch.ones(3 * width, device=x.device)
        factor[:width] = scale
        qkv = F.linear(normed, (weight * factor[:, None]).to(self.dtype), (bias * factor).to(self.dtype))
        q, k, v = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        out_weight, out_bias = attn.out_proj.weight.to(self.dtype), attn.out_proj.bias.to(self.dtype)
        update = None
        if dual:
            update = F.linear(_merged(_attend(v * scale, v, v, None)), out_weight, out_bias)
        x = x + F.linear(_merged(_attend(q, k, v, mask)), out_weight, out_bias)
        first, second = block.mlp.c_fc, block.mlp.c_proj
        h = F.linear(
            self._norm(x, block.ln_2), (first.weight * _GELU).to(self.dtype), (first.bias * _GELU).to(self.dtype)
        )
        h = F.linear(F.silu(h), (second.weight / _GELU).to(self.dtype), second.bias.to(self.dtype))
        return x + h, update

    def _norm(self, x: Tensor, norm: Any) -> Tensor:
        return F.layer_norm(x, (x.shape[-1],), norm.weight.to(x.dtype), norm.bias.to(x.dtype), norm.eps)


def all_but_one(count: int, patches: int, generator: torch.Generator) -> Tensor:
    """Numbers of the patches that a step looks at: all but one, drawn for each picture.

    With the class token their number is then a multiple of 32 for 16×16 patches, without which the softmax of bfloat16
    is several times slower.

    Returns:
        (count, patches - 1) int64, ascending.
    """
    dropped = torch.randint(patches, (count, 1), generator=generator)
    kept = torch.arange(patches - 1)[None]
    return kept + (kept >= dropped)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    scores = q @ k.transpose(-1, -2)
    scores = scores if mask is None else scores + mask
    return torch.softmax(scores, dim=-1) @ v


def _merged(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)
