"""V-V attention (CLIP Surgery) over an open_clip image encoder, without touching the model (method, section 1).

The class token comes out exactly as the model's own ``encode_image`` gives it; the patch tokens take a second path
through the last blocks, in which each patch gathers from patches with like *values*, so that they stay about their own
place in the picture.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError

DEFAULT_BLOCKS = 6


def encode_image(clip: nn.Module, pixel_values: Tensor, blocks: int = DEFAULT_BLOCKS) -> Tensor:
    """Encode pictures with V-V attention in the last ``blocks`` blocks (method, section 1).

    Args:
        clip: an open_clip model, or its ``visual`` part alone: any VisionTransformer (class-token or average pooling,
            LayerScale, either order of batch and tokens). It is used as it is and left as it was.
        pixel_values: (B, 3, h·p, w·p), normalised; p is the patch size. Other sizes than the model's own, also not
            square ones, get bilinearly interpolated positional embeddings.
        blocks: how many of the last blocks run both paths, from 0 (an ordinary encode) to all of them.

    Returns:
        (B, 1 + h·w, C) float32, projected, not normalised: the class feature (of the original path), then the patches
        row by row (of the new path). Gradients flow unless the caller disables them.

    Raises:
        InputError: not a ViT of open_clip, pictures of another shape, or ``blocks`` out of range.

    Source: method, section 1; Li et al., CLIP Surgery (arXiv 2304.05653): V-V attention in a second path without MLPs;
        used by G-Refine (arXiv 2404.18343) for its maps.
    """
    visual = vision_tower(clip)
    check_pixels(pixel_values, visual)
    resblocks = list(visual.transformer.resblocks)
    if isinstance(blocks, bool) or not isinstance(blocks, int) or not 0 <= blocks <= len(resblocks):
        raise InputError(f"blocks: expected a whole number from 0 to {len(resblocks)} for this model, got {blocks!r}.")

    x = _embed(visual, pixel_values)
    first = len(resblocks) - blocks
    x = _run_plain(resblocks[:first], x)
    original, new = x, x
    for index, block in enumerate(resblocks[first:], start=first + 1):
        # After the last block only the class token of the original path is used: no other query has to be computed.
        class_only = index == len(resblocks) and _pools_class_token(visual)
        original, update = _dual_block(block, original, class_only)
        new = new + update
    return _project(visual, original, new)


def vision_tower(clip: nn.Module) -> Any:
    """Return the VisionTransformer of ``clip`` (or ``clip`` itself if it is one).

    Raises:
        InputError: the image encoder is of another kind (ResNet, timm trunk, attentional pooling, …); says which.
    """
    visual: Any = getattr(clip, "visual", clip)
    needed = ("conv1", "class_embedding", "positional_embedding", "ln_pre", "transformer", "ln_post")
    missing = [name for name in needed if not hasattr(visual, name)]
    if missing or not hasattr(visual.transformer, "resblocks"):
        raise InputError(
            f"clip: the image encoder {type(visual).__name__} is not an open_clip VisionTransformer (it has no "
            f"{', '.join(missing) or 'transformer.resblocks'}). V-V attention needs one, as in ViT-B-16-quickgelu; "
            "ResNets and timm trunks are not supported."
        )
    if getattr(visual, "attn_pool", None) is not None:
        raise InputError(
            "clip: image encoders with attentional pooling (CoCa) have no patch features in the joint space."
        )
    if getattr(visual, "input_patchnorm", False):
        raise InputError("clip: image encoders that normalise patches before embedding them are not supported.")
    if getattr(visual, "pool_type", "tok") not in ("tok", "avg"):
        raise InputError(f"clip: pooling {visual.pool_type!r} gives no single picture feature; use a class-token ViT.")
    return visual


def patch_size(clip: nn.Module) -> tuple[int, int]:
    """Height and width of one patch, in pixels."""
    kernel = vision_tower(clip).conv1.weight.shape[-2:]
    return int(kernel[0]), int(kernel[1])


def check_pixels(pixel_values: Tensor, visual: Any) -> None:
    """Raise InputError unless ``pixel_values`` is (B, 3, h·p, w·p) of some floating type, and finite."""
    if not isinstance(pixel_values, Tensor) or pixel_values.ndim != 4 or pixel_values.shape[1] != 3:
        shape = tuple(pixel_values.shape) if isinstance(pixel_values, Tensor) else type(pixel_values).__name__
        raise InputError(f"pixel_values: expected normalised pictures of shape (B, 3, H, W), got {shape}.")
    if not pixel_values.dtype.is_floating_point:
        raise InputError(f"pixel_values: expected normalised floats, got {pixel_values.dtype}.")
    patch_height, patch_width = visual.conv1.weight.shape[-2:]
    height, width = pixel_values.shape[-2:]
    if min(pixel_values.shape) == 0 or height % patch_height or width % patch_width:
        raise InputError(
            f"pixel_values: {height}×{width} in a batch of {pixel_values.shape[0]}; every side has to be a multiple "
            f"of the patch size {patch_height}×{patch_width}, and nothing may be empty."
        )
    if not bool(torch.isfinite(pixel_values).all()):
        raise InputError("pixel_values: contains NaN or infinite values; the step that made it failed.")


def positional_embedding(visual: Any, grid: tuple[int, int]) -> Tensor:
    """Positional embeddings (1 + h·w, width) for a grid of h×w patches; the model's own ones where the grid is its own.

    Other grids are interpolated bilinearly (corners not aligned, no antialiasing); the class position is kept.

    Args:
        visual: an open_clip VisionTransformer.
        grid: (h, w) in patches.

    Returns:
        (1 + h·w, width) in the type of the model's own; the class position stays as it is.

    Source: method, section 1; bilinear interpolation to other grids is ours.
    """
    own: Tensor = visual.positional_embedding
    own_grid = getattr(visual, "grid_size", None)
    if own_grid is None:
        side = round((own.shape[0] - 1) ** 0.5)
        own_grid = (side, side)
    if tuple(own_grid) == grid:
        return own
    patches = own[1:].float().reshape(1, own_grid[0], own_grid[1], -1).permute(0, 3, 1, 2)
    patches = F.interpolate(patches, size=grid, mode="bilinear", align_corners=False)
    patches = patches.permute(0, 2, 3, 1).reshape(grid[0] * grid[1], -1).to(own.dtype)
    return torch.cat([own[:1], patches])


def _embed(visual: Any, pixel_values: Tensor) -> Tensor:
    """Patch, class and positional embeddings, normalised: (B, 1 + N, width). Patch dropout never applies."""
    weight = visual.conv1.weight
    x = visual.conv1(pixel_values.to(device=weight.device, dtype=weight.dtype))
    grid = (int(x.shape[-2]), int(x.shape[-1]))
    x = x.flatten(2).transpose(1, 2)
    class_token = visual.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1)
    x = torch.cat([class_token, x], dim=1) + positional_embedding(visual, grid).to(x.dtype)
    return visual.ln_pre(x)


def _batch_first(block: Any) -> bool:
    """Whether a block takes (B, L, D). Old open_clip versions put the tokens first; its own Attention class never did
    so since it accepts a batch-first block."""
    return bool(getattr(block.attn, "batch_first", True))


def _run_plain(resblocks: list[Any], x: Tensor) -> Tensor:
    """Ordinary blocks, called as the model calls them."""
    if not resblocks:
        return x
    transposed = not _batch_first(resblocks[0])
    x = x.transpose(0, 1) if transposed else x
    for block in resblocks:
        x = block(x)
    return x.transpose(0, 1) if transposed else x


def _pools_class_token(visual: Any) -> bool:
    return getattr(visual, "pool_type", "tok") == "tok"


def _dual_block(block: Any, x: Tensor, class_only: bool) -> tuple[Tensor, Tensor]:
    """One block on the original path, and what it adds to the new path.

    Returns:
        ``(original, update)``: the block's ordinary output (B, L, D), or (B, 1, D) if ``class_only``, and
        ``ls_1(out_proj(softmax(v vᵀ · d^-0.5) v))`` (B, L, D), with the same values v for both paths.
    """
    if not isinstance(block.attn, nn.MultiheadAttention) or hasattr(block, "ln_attn"):
        return block(x), _custom_update(block, x)
    attn = block.attn
    normed = block.ln_1(x)
    if class_only:
        # One query: its projection apart; keys and values of all tokens.
        width = normed.shape[-1]
        weight, bias = attn.in_proj_weight, attn.in_proj_bias
        q = F.linear(normed[:, :1], weight[:width], None if bias is None else bias[:width])
        k, v = F.linear(normed, weight[width:], None if bias is None else bias[width:]).chunk(2, dim=-1)
        x = x[:, :1]
    else:
        q, k, v = F.linear(normed, attn.in_proj_weight, attn.in_proj_bias).chunk(3, dim=-1)
    q, k, v = (_split_heads(part, attn.num_heads) for part in (q, k, v))
    ordinary = attn.out_proj(_merge_heads(F.scaled_dot_product_attention(q, k, v)))
    update = attn.out_proj(_merge_heads(F.scaled_dot_product_attention(v, v, v)))
    x = x + block.ls_1(ordinary) if hasattr(block, "ls_1") else x + ordinary
    mlp = block.mlp(block.ln_2(x))
    x = x + block.ls_2(mlp) if hasattr(block, "ls_2") else x + mlp
    return x, block.ls_1(update) if hasattr(block, "ls_1") else update


def _custom_update(block: Any, x: Tensor) -> Tensor:
    """The update of the new path for open_clip's CustomResidualAttentionBlock (head scales, inner norms)."""
    attn = block.attn
    width = x.shape[-1]
    bias = attn.in_proj_bias
    v = F.linear(block.ln_1(x), attn.in_proj_weight[2 * width :], None if bias is None else bias[2 * width :])
    v = _split_heads(v, attn.num_heads)
    out = F.scaled_dot_product_attention(v, v, v)
    if getattr(attn, "head_scale", None) is not None:
        out = out * attn.head_scale
    out = _merge_heads(out)
    for norm in (getattr(attn, "ln_inner", None), attn.out_proj, getattr(block, "ln_attn", None)):
        out = out if norm is None else norm(out)
    return block.ls_1(out)


def _split_heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _merge_heads(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def _project(visual: Any, original: Tensor, new: Tensor) -> Tensor:
    """Final norm and projection: class feature from the original path, patches from the new one, float32."""
    if _pools_class_token(visual):
        tokens = visual.ln_post(torch.cat([original[:, :1], new[:, 1:]], dim=1))
    elif getattr(visual, "final_ln_after_pool", False):
        tokens = visual.ln_post(torch.cat([original[:, 1:].mean(1, keepdim=True), new[:, 1:]], dim=1))
    else:
        pooled = visual.ln_post(original[:, 1:]).mean(1, keepdim=True)
        tokens = torch.cat([pooled, visual.ln_post(new[:, 1:])], dim=1)
    if visual.proj is not None:
        tokens = tokens.to(visual.proj.dtype) @ visual.proj
    return tokens.float()
