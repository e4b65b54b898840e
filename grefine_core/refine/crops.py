"""Crops: the regions of a mask, which rectangle around each is sampled and at what size, and the way there and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..masks import label_regions, nearest
from ..tensors import strips

if TYPE_CHECKING:
    from ..diagnosis import Diagnosis

#: ``(top, left, bottom, right)`` in pixels, the last two exclusive.
Box = tuple[int, int, int, int]
CropSize = Literal["source", "native"]
#: How many times ``min_side`` the longer side of an enlarged crop is, at most.
_LONGEST = 8


@dataclass(frozen=True)
class CropOptions:
    """How crops are chosen.

    Attributes:
        crop_size: "source" samples at the picture's own scale (the crop takes in more of the picture until its shorter
            side reaches the engine's ``min_side``); "native" scales the crop to the engine's native resolution.
        context: surroundings on every side, as a share of the longer side of the region's box.
        min_context: the same in pixels; the larger of both counts.
        max_side: with "source", crops larger than a square of this side (by area) are sampled smaller, so that a huge
            picture does not exhaust the memory.
        join: regions closer than this many pixels are one group and one crop.
    """

    crop_size: CropSize = "source"
    context: float = 0.25
    min_context: int = 32
    max_side: int = 2048
    join: int = 32

    def __post_init__(self) -> None:
        if self.crop_size not in get_args(CropSize):
            raise InputError(f"crop_size: expected one of {get_args(CropSize)}, got {self.crop_size!r}.")
        if not (math.isfinite(self.context) and self.context >= 0):
            raise InputError(f"context: expected a share of 0 or more, got {self.context!r}.")
        if self.min_context < 0 or self.join < 0:
            raise InputError("min_context, join: expected 0 pixels or more.")
        if self.max_side < 64:
            raise InputError(f"max_side: expected at least 64 pixels, got {self.max_side}.")


@dataclass(frozen=True)
class CropPlan:
    """One crop: cut ``box``, pad it to ``padded``, resize to ``sample``; then all the way back.

    Attributes:
        box: the rectangle in the picture, always inside it.
        padded: (height, width) after edge replication at the bottom and the right; equal to the box's size unless
            the picture itself is too small or odd for the engine.
        sample: (height, width) that the engine gets: multiples of its ``size_multiple``.
    """

    box: Box
    padded: tuple[int, int]
    sample: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the box."""
        top, left, bottom, right = self.box
        return bottom - top, right - left

    @property
    def resized(self) -> bool:
        """Whether the engine samples at another scale than the picture's."""
        return self.padded != self.sample


@dataclass(frozen=True)
class Place:
    """Where the crop that an engine is given lies in the user's picture."""

    size: tuple[int, int]
    """(height, width) of the picture."""
    crop: CropPlan
    """What was cut out of it, and the size that it is sampled at."""


def plan_crop(
    region: Box,
    picture: tuple[int, int],
    options: CropOptions | None = None,
    *,
    size_multiple: int = 8,
    min_side: int = 1,
    native_side: int = 1024,
) -> CropPlan:
    """Plan the crop around one region of a picture.

    The box is the region's plus context, kept inside the picture. It then grows (more surroundings, never padding,
    while the picture has them) until the engine's minimum and multiple are met. Only a picture that is itself too
    small or odd is padded, and enlarged where its shorter side is below ``min_side``; its longer side to eight times
    that at most, a slimmer picture is padded to ``min_side``.

    Args:
        region: ``(top, left, bottom, right)`` in pixels, not empty.
        picture: (height, width).
        options: see ``CropOptions``.
        size_multiple: sides of the sampled crop are multiples of it.
        min_side: the sampled crop's shorter side, at least ("source").
        native_side: side of the square with the engine's native area ("native").

    Raises:
        InputError: an empty region, or one outside the picture.
    """
    options = options or CropOptions()
    top, left, bottom, right = region
    height, width = picture
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise InputError(f"region: box {region} is empty or not inside the picture of {height}×{width}.")

    context = max(options.min_context, math.ceil(options.context * max(bottom - top, right - left)))
    rows = (max(0, top - context), min(height, bottom + context))
    columns = (max(0, left - context), min(width, right + context))
    tall, wide = rows[1] - rows[0], columns[1] - columns[0]
    # A long thin crop would be enlarged to a size the model never saw: at most 2 : 1 if the picture allows it.
    shortest = min_side if options.crop_size == "source" else math.ceil(max(tall, wide) / 2)
    rows = _grow(rows, height, _up(max(tall, shortest), size_multiple))
    columns = _grow(columns, width, _up(max(wide, shortest), size_multiple))
    tall, wide = rows[1] - rows[0], columns[1] - columns[0]

    least = 1
    if options.crop_size == "source":
        scale = max(1.0, min_side / min(tall, wide))
        slim = max(1.0, _LONGEST * min_side / max(tall, wide))
        if scale > slim:  # a picture of one line would become one of millions of pixels: that is padded
            scale, least = slim, min_side
        scale = min(scale, max(options.max_side, min_side) / math.sqrt(tall * wide))
    else:
        scale = native_side / math.sqrt(tall * wide)
    sample = (
        _up(max(least, math.ceil(tall * scale - 1e-6)), size_multiple),
        _up(max(least, math.ceil(wide * scale - 1e-6)), size_multiple),
    )
    # Padding before resizing keeps the picture's proportions although the sides are rounded up.
    padded = (max(tall, round(sample[0] / scale)), max(wide, round(sample[1] / scale)))
    return CropPlan(box=(rows[0], columns[0], rows[1], columns[1]), padded=padded, sample=sample)


def _up(length: int, multiple: int) -> int:
    return max(1, math.ceil(length / multiple)) * multiple


def _grow(span: tuple[int, int], limit: int, target: int) -> tuple[int, int]:
    """Lengthen ``span`` to ``target`` around its middle, moved to stay in ``[0, limit]``; the whole if too short."""
    target = min(target, limit)
    missing = target - (span[1] - span[0])
    if missing <= 0:
        return span
    start = min(max(0, span[0] - missing // 2), limit - target)
    return start, start + target


# Regions

_NUMBERS = (torch.uint8, torch.int16, torch.int32)


@dataclass(frozen=True)
class Region:
    """One connected group of a mask, with every pixel that is nearer to it than to any other group.

    The regions of a picture share two maps ``(H, W)`` of group numbers: masks of their own would fill the memory where
    a large mask has hundreds of specks. ``alone``: it is the picture's only group.
    """

    number: int
    cores: Tensor
    cells: Tensor
    alone: bool

    @property
    def core(self) -> Tensor:
        """``(H, W)`` bool, the group itself."""
        return self.cores == self.number

    @property
    def cell(self) -> Tensor:
        """``(H, W)`` bool, its share of the picture; the cells of one picture cover it without overlap."""
        return self.cells == self.number


def split_regions(mask: Tensor, join: int) -> list[Region]:
    """Split ``mask`` ``(H, W)`` (anything above 0 counts) into groups and cells.

    Groups closer than ``join`` pixels are one. Every pixel of the picture belongs to its nearest group, so that
    feathered edges that touch are never blended twice. Empty mask: no regions.
    """
    cores, count = label_regions(mask, join)
    cores = cores.to(next(dtype for dtype in _NUMBERS if count <= torch.iinfo(dtype).max))
    cells = _nearest(cores) if count > 1 else torch.ones((), dtype=cores.dtype, device=cores.device).expand_as(cores)
    return [Region(number, cores, cells, count == 1) for number in range(1, count + 1)]


def _nearest(numbers: Tensor) -> Tensor:
    """For every pixel the number ``(H, W)`` of the nearest pixel that has one."""
    flat = numbers.cpu().numpy()
    rows, columns = nearest(flat == 0)
    result = np.empty_like(flat)
    for part in strips(len(flat)):  # numpy would make all places int64 at once
        result[part] = flat[rows[part], columns[part]]
    return torch.from_numpy(result).to(numbers.device)


# Cutting, padding, resizing


def resize_images(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize ``(B, h, w, 3)`` to ``size`` (height, width): bicubic, antialiased, clamped to [0, 1].

    By torch, whose antialiasing is Pillow's (to 2e-7 of white noise halved in size); kornia's ``resize`` blurs first
    and is up to 0.3 off it.
    """
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
    """The part of ``(B, H, W, …)`` inside ``box``: a view, so what is written to it is written to ``values``."""
    top, left, bottom, right = box
    return values[:, top:bottom, left:right]


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
    """The way back: an engine's answer ``(1, h, w, C)``, of ``plan.sample`` or times its scale, to
    ``(1, *plan.size, C)``."""
    height, width = plan.size
    return resize_images(sample, plan.padded)[:, :height, :width]


# The crops of one picture, for whoever repairs them elsewhere and puts them back


@dataclass(frozen=True)
class CropSizes:
    """What is asked of an engine about its sizes, where there is no engine."""

    size_multiple: int = 16
    """Both sides of a crop are multiples of it."""
    min_side: int = 512
    """Its shorter side has at least so many pixels, see ``plan_crop``."""
    native_side: int = 1024
    """Side of the square with the model's native area."""


@dataclass(frozen=True)
class RegionCrop:
    """One region of a picture and the crop around it."""

    number: int
    """Of the region, from 1, in the order of ``masks.label_regions``."""
    region: Box
    """(top, left, bottom, right) of the region itself, in pixels."""
    crop: CropPlan
    """Where it is cut, and at what size it is sampled."""
    prompt: str
    strength: float
    steps: int
    seed: int
    phrases: tuple[int, ...] = ()
    """Indices of the phrases that are mended here, among those of the diagnosis."""
    bad: bool = False
    """Whether the picture looks bad here."""


@dataclass(frozen=True)
class Regions:
    """Where the crops of one picture lie, and how what is made of them is pasted back."""

    size: tuple[int, int]
    """(height, width) of the picture."""
    crops: tuple[RegionCrop, ...]
    denoise: Tensor
    """(H, W): what is sampled anew."""
    composite: Tensor
    """(H, W) in [0, 1]: how much of it is pasted."""
    join: int
    """Regions closer than this many pixels are one."""
    diagnosis: Diagnosis | None = None
    """What was found in the picture, where that is known."""
