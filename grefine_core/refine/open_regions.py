"""Regions repaired by whoever likes to: a picture taken apart into crops, and put together again.

Between the two stands any sampler, edit model, detailer or service. What it gives may have another size than what it
got; outside of the composite mask every value of the picture stays as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor

from ..alignment.results import PhraseQuality
from ..diagnosis import Diagnosis
from ..errors import InputError
from ..masks import label_regions
from ..plan import RepairPlan, region_prompt
from ..regions import RegionOptions, find_regions, phrases_in
from ..tensors import as_canvas, as_images
from .crops import CropOptions, CropSizes, RegionCrop, Regions, cut, to_sample
from .jobs import RegionJob, paste, region_jobs
from .stages import crops_of

logger = logging.getLogger(__name__)

#: An answer whose proportions are further off than this was probably cut, not only resized.
_PROPORTIONS = 0.03


def open_regions(
    size: tuple[int, int],
    denoise: Tensor,
    composite: Tensor | None,
    sizes: CropSizes,
    *,
    prompt: str | None = None,
    strength: float = 0.7,
    steps: int = 10,
    seed: int = 0,
    crop: CropOptions | None = None,
    repairs: RepairPlan | None = None,
    diagnosis: Diagnosis | None = None,
    own_phrases: bool = True,
) -> Regions:
    """Where the crops of one picture lie, and what is to be painted in each.

    Args:
        size: (height, width) of the picture.
        denoise: ``(H, W)``, above 0 = repair.
        composite: ``(H, W)``, how strongly the new picture is pasted; None = ``denoise``.
        sizes: of the crops.
        prompt: None = that of the plan, or of the diagnosis.
        strength, steps: of regions that ``repairs`` says nothing of.
        seed: of the picture; every region gets its own from it, as in stage 1.
        crop: context, size and joining of crops.
        repairs: the plan; its masks have to be the ones that are given.
        diagnosis: where there is no plan: whose unmatched phrases are mended where.
        own_phrases: put a region's own phrases in front of its prompt.
    """
    crop = crop or CropOptions()
    found = diagnosis if repairs is None else repairs.diagnosis
    words = ((found.prompt if found is not None else None) or "") if prompt is None else prompt
    regions = crops_of(
        size,
        denoise,
        composite,
        sizes,
        prompt=words,
        strength=strength,
        steps=steps,
        seed=seed,
        crop=crop,
        repairs=repairs,
    )
    if found is not None and repairs is None:
        regions = told_by(found, regions)
    crops = regions.crops
    if prompt is not None:
        crops = tuple(replace(each, prompt=prompt) for each in crops)
    if found is not None and own_phrases:
        crops = tuple(replace(each, prompt=_own_first(found, each)) for each in crops)
    return replace(regions, crops=crops, diagnosis=found)


def diagnosis_of(phrases: Sequence[PhraseQuality], size: tuple[int, int], prompt: str | None = None) -> Diagnosis:
    """What is known of a picture of ``size`` (height, width) of which there are the ``phrases`` with their verdicts."""
    return Diagnosis(size, prompt=prompt, phrases=tuple(phrases))


def _own_first(found: Diagnosis, crop: RegionCrop) -> str:
    own = region_prompt(found, crop.phrases, "")
    # The plan may have put them there already.
    there = not own or crop.prompt == own or crop.prompt.startswith(f"{own}, ")
    return crop.prompt if there else region_prompt(found, crop.phrases, crop.prompt)


def told_by(found: Diagnosis, regions: Regions) -> Regions:
    """Regions of a mask with what was found in their picture: in each the phrases whose own places meet it.

    Raises:
        InputError: a diagnosis of a picture of another size.
    """
    if tuple(found.size) != tuple(regions.size):
        raise InputError(
            f"diagnosis: of a picture of {found.size[1]}×{found.size[0]}, but the one that was split is "
            f"{regions.size[1]}×{regions.size[0]}. Make both from the same picture."
        )
    masks = find_regions(found, RegionOptions(), perceptual_map=found.perceptual_map)
    labels, _ = label_regions(regions.denoise, regions.join)
    crops = tuple(
        replace(each, phrases=phrases, bad=bad)
        for each in regions.crops
        for phrases, bad in [phrases_in(masks.owners, labels == each.number, masks.taken)]
    )
    return replace(regions, crops=crops, diagnosis=found)


def cut_regions(image: Tensor, regions: Regions, cell: int = 1) -> list[tuple[Tensor, Tensor]]:
    """The crops of a picture: what each shows ``(1, h, w, 3)`` in [0, 1], and its region's own mask ``(1, h, w)``.

    Args:
        image: ``(1, H, W, C)``, over white where it has alpha.
        regions: where they lie.
        cell: the masks cover whole squares of so many pixels: a latent cell that is half old and half new is neither.

    Raises:
        InputError: a picture of another size.
    """
    picture = _fitting(image, regions)
    crops = []
    for job, crop in zip(_jobs(regions), regions.crops, strict=True):
        seen = as_images(cut(picture, crop.crop.box), "image")
        sample, mask = to_sample(seen, job.own_denoise(crop.crop.box).to(seen.device), crop.crop)
        assert mask is not None
        crops.append((sample, _whole_cells(mask, cell)))
    return crops


def merge_regions(image: Tensor, regions: Regions, repaired: Sequence[Tensor], *, keep_color: bool = False) -> Tensor:
    """Paste repaired crops into a picture, as stage 1 does.

    Args:
        image: ``(1, H, W, C)``.
        regions: where the crops lie, and their masks.
        repaired: ``(1, h, w, C)`` for each of the crops, in their order and of any size: they are brought to that of
            the crop.
        keep_color: match each crop's colours to the picture's over the pixels around the mask.

    Returns:
        A picture like ``image``, bit-identical where the composite mask is 0; ``image`` itself if there are no crops.

    Raises:
        InputError: a picture of another size, another number of crops, or several pictures for one.
    """
    picture = _fitting(image, regions)
    if len(repaired) != len(regions.crops):
        raise InputError(
            f"repaired: {len(repaired)} crops, but the picture was split into {len(regions.crops)}. Give one for each, "
            "in their order."
        )
    if not regions.crops:
        return image
    result = picture.clone()
    for job, crop, new in zip(_jobs(regions), regions.crops, repaired, strict=True):
        drawn = as_images(new, "repaired").to(result.device)
        if drawn.shape[0] != 1:
            raise InputError(f"repaired: {drawn.shape[0]} pictures for region {crop.number}. Give one for each.")
        _see_proportions(drawn, crop)
        seen = as_images(cut(picture, crop.crop.box), "image")
        paste(cut(result, crop.crop.box), seen, drawn, job, crop.crop, keep_color)
    return result


def _fitting(image: Tensor, regions: Regions) -> Tensor:
    picture = as_canvas(image, "image")
    if tuple(picture.shape[1:3]) != tuple(regions.size):
        raise InputError(
            f"image: is {picture.shape[2]}×{picture.shape[1]}, but the one that was split is "
            f"{regions.size[1]}×{regions.size[0]}. Connect the very picture that went into Split Regions."
        )
    return picture


def _jobs(regions: Regions) -> list[RegionJob]:
    """The work behind the crops, in their order."""
    numbers = {crop.number for crop in regions.crops}
    own = ("", 1.0, 1)  # what a region is painted by is the crop's own
    jobs = region_jobs(0, regions.denoise, regions.composite, regions.join, own, None, numbers)
    by_number = {job.region.number: job for job in jobs}
    return [by_number[crop.number] for crop in regions.crops]


def _whole_cells(mask: Tensor, cell: int) -> Tensor:
    height, width = mask.shape[1:]
    if cell <= 1 or height % cell or width % cell:
        return mask
    cells = F.adaptive_max_pool2d(mask.unsqueeze(1), (height // cell, width // cell))
    return F.interpolate(cells, size=(height, width), mode="nearest")[:, 0]


def _see_proportions(drawn: Tensor, crop: RegionCrop) -> None:
    height, width = crop.crop.sample
    off = abs(drawn.shape[2] / drawn.shape[1] * height / width - 1.0)
    if off > _PROPORTIONS:
        logger.warning(
            "Region %d: split off with %d×%d pixels, came back with %d×%d, which are other proportions. It is "
            "stretched; where it was cut on the way, it will not fit.",
            crop.number,
            width,
            height,
            drawn.shape[2],
            drawn.shape[1],
        )
