"""Normalising what comes in at the borders: images, masks and their sizes.

Everything behind these functions trusts its arguments. Conventions are the host's: images ``(B, H, W, 3)`` float32 in
[0, 1], masks and maps ``(B, H, W)`` float32 in [0, 1]. Nothing here ever writes into what it was given. What is in
order already comes back as it is, not as a copy (a picture of 4096² is 200 MB): so nobody may write into the answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .errors import InputError


def as_images(value: object, name: str = "image", background: float = 1.0) -> Tensor:
    """Return ``value`` as images ``(B, H, W, 3)`` float32 in [0, 1].

    Accepts ``(H, W, C)`` or ``(B, H, W, C)`` with 1 (grey), 3 (RGB) or 4 (RGBA, composited over ``background``)
    channels, of any floating dtype in [0, 1] or uint8 in 0…255. Values outside [0, 1] are clamped. The answer may share
    the memory of ``value``.

    Raises:
        InputError: no tensor, wrong rank or channels, an empty side or batch, another integer dtype, NaN or infinity.
    """
    tensor = _in_range(_four_dimensions(_as_float(value, name), value, name).to(torch.float32), name)
    if tensor.shape[-1] == 1:
        return tensor.expand(*tensor.shape[:-1], 3).contiguous()
    if tensor.shape[-1] == 4:
        alpha = tensor[..., 3:]
        return tensor[..., :3] * alpha + background * (1.0 - alpha)
    return tensor


def as_canvas(value: object, name: str = "image") -> Tensor:
    """Return ``value`` as pictures to be painted on: ``(B, H, W, 3)``, or 4 channels where it has alpha.

    What :func:`as_images` accepts, but every value stays as it is: outside of [0, 1], too (bicubic enlarging gives
    such), with alpha, and of its floating dtype. Grey becomes three equal channels, uint8 and bool become float32 in
    [0, 1]. How a canvas looks, ``as_images`` says. The answer may share the memory of ``value``.

    Raises:
        InputError: as ``as_images``.
    """
    tensor = _four_dimensions(_as_float(value, name), value, name)
    _extremes(tensor, name)
    return tensor.expand(*tensor.shape[:-1], 3).contiguous() if tensor.shape[-1] == 1 else tensor


def opaque(seen: Tensor, alpha: Tensor, was: Tensor) -> Tensor:
    """The colours that look like ``seen`` over white where a picture has this ``alpha``, in [0, 1].

    The way back from what ``as_images`` makes of four channels; all shapes alike or broadcast. Where nothing of a
    pixel shows (alpha 0) its colour stays what it ``was``.
    """
    share = alpha.clamp(0.0, 1.0)
    return torch.where(share > 0, ((seen - (1.0 - share)) / share).clamp(0.0, 1.0), was)


def painted(canvas: Tensor, seen: Tensor) -> Tensor:
    """``canvas`` ``(B, H, W, 3 or 4)`` with the look ``seen`` ``(B, H, W, 3)``; its alpha and its dtype stay."""
    if canvas.shape[-1] == 3:
        return seen.to(canvas.dtype)
    alpha = canvas[..., 3:]
    return torch.cat([opaque(seen, alpha, canvas[..., :3]).to(canvas.dtype), alpha], dim=-1)


def as_masks(value: object, name: str = "mask") -> Tensor:
    """Return ``value`` as masks ``(B, H, W)`` float32 in [0, 1].

    Accepts ``(H, W)`` (one mask), ``(B, H, W)``, or ``(B, 1, H, W)`` / ``(B, H, W, 1)``. The answer may share the
    memory of ``value``.

    Raises:
        InputError: no tensor, wrong rank, an empty side or batch, NaN or infinity.
    """
    tensor = _as_float(value, name).to(torch.float32)
    if tensor.ndim == 4 and tensor.shape[1] == 1:
        tensor = tensor[:, 0]
    elif tensor.ndim == 4 and tensor.shape[-1] == 1:
        tensor = tensor[..., 0]
    if tensor.ndim == 2:
        tensor = tensor.unsqueeze(0)
    if tensor.ndim != 3:
        raise InputError(f"{name}: expected a mask of shape (B, H, W) or (H, W), got {_shape(value)}.")
    return _in_range(tensor, name)


def match_masks(masks: Tensor, images: Tensor, name: str = "mask", images_name: str = "image") -> Tensor:
    """Return ``masks`` ``(b, H, W)`` as one mask per image ``(B, H, W)``: one mask serves a whole batch.

    Masks of zeros are empty whatever their size.

    Raises:
        InputError: another height or width, or a number of masks that is neither 1 nor B; both shapes are named.
    """
    masks = fit_empty(masks, images.shape[1:3])
    if masks.shape[1:] != images.shape[1:3]:
        raise InputError(
            f"{name}: size {tuple(masks.shape[1:])} (H, W) does not match {images_name} {tuple(images.shape[1:3])}. "
            "Resize the mask to the image, or make it from this image."
        )
    if masks.shape[0] == images.shape[0]:
        return masks
    if masks.shape[0] == 1:
        return masks.expand(images.shape[0], -1, -1)
    raise InputError(
        f"{name}: {masks.shape[0]} masks for {images.shape[0]} pictures in {images_name} "
        f"({tuple(masks.shape)} against {tuple(images.shape)}). Give one mask, or one for each picture."
    )


def fit_empty(masks: Tensor, size: Sequence[int]) -> Tensor:
    """Return masks of zeros ``(b, h, w)`` at ``size`` (H, W); others as they are.

    Where nothing is painted there is nothing to fit: ComfyUI's Load Image gives 64×64 zeros for a picture of any size.
    """
    if tuple(masks.shape[1:]) == tuple(size) or bool(masks.any()):
        return masks
    return masks.new_zeros(()).expand(masks.shape[0], *size)


def _as_float(value: object, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise InputError(f"{name}: expected a torch tensor, got {type(value).__name__}.")
    if value.dtype == torch.uint8:
        return value.to(torch.float32) / 255.0
    if not value.dtype.is_floating_point and value.dtype != torch.bool:
        raise InputError(f"{name}: dtype {value.dtype} is ambiguous; give floats in [0, 1] or uint8 in 0…255.")
    return value.to(torch.float32) if value.element_size() == 1 else value


def _four_dimensions(tensor: Tensor, value: object, name: str) -> Tensor:
    if tensor.ndim == 3:
        tensor = tensor.unsqueeze(0)
    if tensor.ndim != 4:
        raise InputError(f"{name}: expected an image of shape (B, H, W, C) or (H, W, C), got {_shape(value)}.")
    if tensor.shape[-1] not in (1, 3, 4):
        raise InputError(
            f"{name}: expected 1, 3 or 4 channels in the last dimension, got {_shape(value)}. "
            "Images are channels-last here; permute (B, C, H, W) first."
        )
    return tensor


def _in_range(tensor: Tensor, name: str) -> Tensor:
    low, high = _extremes(tensor, name)
    return tensor if low >= 0.0 and high <= 1.0 else tensor.clamp(0.0, 1.0)


def _extremes(tensor: Tensor, name: str) -> tuple[float, float]:
    if tensor.numel() == 0:
        raise InputError(f"{name}: empty tensor of shape {tuple(tensor.shape)}; no side may be 0.")
    # The extremes are NaN where any value is: ten times quicker than asking every value, which counts for 4096².
    low, high = (float(value) for value in torch.aminmax(tensor))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{name}: contains NaN or infinite values; the step that made it failed.")
    return low, high


def _shape(value: object) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def strips(height: int) -> Iterator[slice]:
    """Rows of a picture, 256 at a time, for work whose temporaries would be as large as the picture."""
    return (slice(start, min(start + 256, height)) for start in range(0, height, 256))
