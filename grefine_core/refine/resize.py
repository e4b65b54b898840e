"""Resizing, padding and cutting of crops."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .crops import Box, CropPlan

STRIP = 256


def resize_images(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize ``(B, h, w, 3)`` to ``size`` (height, width): bicubic, antialiased, clamped to [0, 1]."""
    if tuple(images.shape[1:3]) == size:
        return images
    if images.shape[-1] == 1:
        planes = F.interpolate(images[..., 0].unsqueeze(1), size=size, mode="bicubic", antialias=True)
        return planes.clamp_(0.0, 1.0).permute(0, 2, 3, 1)
    resized = images.new_empty(images.shape[0], *size, images.shape[-1])
    for channel, plane in enumerate(images.split(1, dim=-1)):  # each by itself: the temporaries are those of one
        resized[..., channel] = resize_images(plane, size)[..., 0]
    return resized


def resize_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize ``(B, h, w)`` to ``size``. A binary mask stays binary and never loses a pixel that it touched."""
    if tuple(masks.shape[1:]) == size:
        return masks
    out = F.interpolate(masks.unsqueeze(1), size=size, mode="bilinear", align_corners=False, antialias=True)[:, 0]
    if bool(((masks == 0) | (masks == 1)).all()):
        return (out > 1e-3).to(masks.dtype)
    return out.clamp(0.0, 1.0)


def pad_images(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Replicate the bottom and right edges of ``(B, h, w, C)`` up to ``size`` (height, width)."""
    bottom, right = size[0] - images.shape[1], size[1] - images.shape[2]
    if bottom == 0 and right == 0:
        return images
    return F.pad(images.permute(0, 3, 1, 2), (0, right, 0, bottom), mode="replicate").permute(0, 2, 3, 1)


def cut(values: Tensor, box: Box) -> Tensor:
    """The part of ``(B, H, W, …)`` inside ``box``."""
    top, left, bottom, right = box
    return values[:, top:bottom, left:right]


def strips(height: int) -> list[slice]:
    """Rows of a picture, some at a time, for work whose temporaries would be as large as the picture."""
    return [slice(start, min(start + STRIP, height)) for start in range(0, height, STRIP)]


def to_sample(images: Tensor, masks: Tensor | None, plan: CropPlan) -> tuple[Tensor, Tensor | None]:
    """Pad and resize crops ``(1, *plan.size, 3)`` and masks ``(1, *plan.size)`` as planned; new contiguous tensors.

    The mask is continued into the padding like the picture: a repaint that touches the border is not held back by
    smeared edge pixels that count as "known".
    """
    sample = _own(resize_images(pad_images(images, plan.padded), plan.sample), images)
    if masks is None:
        return sample, None
    mask = pad_images(masks.unsqueeze(-1), plan.padded)[..., 0]
    return sample, _own(resize_masks(mask, plan.sample), masks)


def _own(made: Tensor, given: Tensor) -> Tensor:
    """``made`` contiguous, and no view of what was ``given``: engines may write into it."""
    shared = made.untyped_storage().data_ptr() == given.untyped_storage().data_ptr()
    return made.clone(memory_format=torch.contiguous_format) if shared else made.contiguous()


def from_sample(sample: Tensor, plan: CropPlan) -> Tensor:
    """The way back: ``(1, *plan.sample, 3)`` to ``(1, *plan.size, 3)``."""
    height, width = plan.size
    return resize_images(sample, plan.padded)[:, :height, :width]
