"""From pictures as the host has them to what an image encoder reads (method, section 1): square, whole, normalised."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import InputError
from .surgery import patch_size, vision_tower

STRIPE = 512
"""Rows of a picture that are brought to 8 bits at a time."""


@dataclass(frozen=True)
class Geometry:
    """What the preprocessing has to know of an image encoder."""

    size: tuple[int, int]
    """The model's own height and width, pixels."""
    patch: tuple[int, int]
    """Height and width of a patch, pixels."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


def geometry(clip: nn.Module) -> Geometry:
    """Own size, patch size, mean and standard deviation of an image encoder; CLIP's where the model names none."""
    visual = vision_tower(clip)
    patch = patch_size(clip)
    config = getattr(visual, "preprocess_cfg", None) or {}
    mean = config.get("mean") or getattr(visual, "image_mean", None) or OPENAI_MEAN
    std = config.get("std") or getattr(visual, "image_std", None) or OPENAI_STD
    size = getattr(visual, "image_size", None)
    if size is None:
        side = round((visual.positional_embedding.shape[0] - 1) ** 0.5)
        size = (side * patch[0], side * patch[1])
    size = (size, size) if isinstance(size, int) else size
    return Geometry(
        size=(int(size[0]), int(size[1])),
        patch=patch,
        mean=(float(mean[0]), float(mean[1]), float(mean[2])),
        std=(float(std[0]), float(std[1]), float(std[2])),
    )


def check_resolution(resolution: int | tuple[int, int] | None, geometry: Geometry) -> tuple[int, int]:
    """Return the side lengths (height, width) to encode at: the model's own for None.

    Raises:
        InputError: not a whole number (or a pair), or no multiple of the patch size.
    """
    if resolution is None:
        return geometry.size
    pair = (resolution, resolution) if isinstance(resolution, int) else resolution
    valid = isinstance(pair, tuple) and len(pair) == 2 and all(type(side) is int and side > 0 for side in pair)
    if not valid or pair[0] % geometry.patch[0] or pair[1] % geometry.patch[1]:
        raise InputError(
            f"resolution: expected a multiple of the patch size {geometry.patch[0]}×{geometry.patch[1]} "
            f"(the model's own is {geometry.size[0]}×{geometry.size[1]}), got {resolution!r}."
        )
    return pair


def preprocess(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize pictures (B, H, W, 3) in [0, 1] to (B, 3, h, w) uint8 on the CPU, before normalisation.

    Bicubic and antialiased, the whole picture without a crop, so that a map covers all of it. In 8 bits and by Pillow,
    as the reference has it: a picture and its saved copy give the same, and scores agree with the reference's from the
    picture on (torch's own resize is off by one at a few pixels, which moves scores by some 1e-4). One picture at a
    time: the same bytes in every batch and on every device, and only the temporaries of one picture.
    """
    import numpy as np
    from PIL import Image

    pictures = []
    for image in images:
        whole = Image.new("RGB", (image.shape[1], image.shape[0]))
        # In stripes: a large picture is not copied once more, neither as floats nor in 8 bits beside Pillow's own copy.
        for number, rows in enumerate(image.split(STRIPE)):
            eight = rows.mul(255.0).round_().to(torch.uint8).cpu().contiguous()
            whole.paste(Image.fromarray(eight.numpy()), (0, number * STRIPE))
        resized = whole.resize((size[1], size[0]), Image.Resampling.BICUBIC)
        pictures.append(torch.from_numpy(np.array(resized)).permute(2, 0, 1))
    return torch.stack(pictures)


def normalise(pixels: Tensor, geometry: Geometry) -> Tensor:
    """From (B, 3, h, w) uint8 to float32: the model's mean subtracted, divided by its standard deviation."""
    scale = torch.tensor([1.0 / (255.0 * std) for std in geometry.std]).view(1, 3, 1, 1)
    shift = torch.tensor([mean / std for mean, std in zip(geometry.mean, geometry.std, strict=True)]).view(1, 3, 1, 1)
    return pixels * scale - shift
