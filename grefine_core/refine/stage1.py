"""Stage 1, refinement: strong masked denoising of crops around every defective region (method, section 6)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..masks import bounding_box
from ..tensors import as_images, as_masks, match_masks
from .arguments import check_answer, check_steps, check_strength, per_picture, untouched
from .color import match_color
from .crops import Box, CropOptions, CropPlan, plan_crop
from .progress import part_of
from .protocols import Inpainter, Progress, resolve_engine
from .regions import split_regions
from .resize import cut, from_sample, to_sample
from .seeds import region_seed, seeds_for

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Job:
    """One region of one picture that is to be repainted; of its masks only what is inside ``box`` is kept."""

    picture: int
    region: int
    box: Box
    denoise: Tensor
    composite: Tensor

    def masks(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Denoise and composite mask of this region alone, ``(1, H, W)`` of ``picture`` ``(1, H, W, 3)``."""
        masks = []
        for part in (self.denoise, self.composite):
            whole = part.new_zeros(picture.shape[:3])
            cut(whole, self.box).copy_(part)
            masks.append(whole)
        return masks[0], masks[1]


def stage1(
    images: Tensor,
    denoise: Tensor,
    composite: Tensor | None,
    inpainter: Inpainter | Callable[[], Inpainter],
    *,
    prompts: str | Sequence[str],
    strengths: float | Sequence[float],
    steps: int | Sequence[int],
    seed: int | Sequence[int] = 0,
    crop: CropOptions | None = None,
    keep_color: bool = False,
    progress: Progress | None = None,
) -> Tensor:
    """Repaint the masked regions of every picture, crop by crop.

    Every connected group of the denoise mask gets its own crop with context (far-apart groups separately, one after
    the other, each seeing the result of the one before). Every pixel where ``composite`` is 0 is bit-identical to the
    input afterwards.

    Args:
        images: ``(B, H, W, 3)`` in [0, 1].
        denoise: ``(B, H, W)`` or one for all, above 0 = repaint; soft values reach the engine.
        composite: how strongly the new picture is pasted, feathered, same shapes; None = ``denoise``.
        inpainter: the engine, or a function without arguments that loads it; it is called only if there is work.
        prompts: one, or one for each picture.
        strengths: (0, 1], one or one each; 0 leaves a picture alone.
        steps: denoiser calls for each crop, one or one each; 0 leaves a picture alone.
        seed: see ``seeds``: one for all (each picture gets its own from it) or one each.
        crop: context, size and joining of crops.
        keep_color: match the new crop's colours to the old one's over the pixels around the mask.
        progress: gets calls done and planned over all crops of all pictures.

    Returns:
        ``(B, H, W, 3)``; the very tensor ``images`` if there was nothing to do.

    Raises:
        InputError: wrong shapes, counts or ranges, or an engine that returns another size.
    """
    pictures = as_images(images, "images")
    count = pictures.shape[0]
    denoise = match_masks(as_masks(denoise, "denoise"), pictures, "denoise", "images")
    blend = denoise if composite is None else as_masks(composite, "composite")
    blend = match_masks(blend, pictures, "composite", "images").to(pictures.device)
    denoise = denoise.to(pictures.device)
    texts = per_picture(prompts, count, "prompts", str)
    strength_each = [check_strength(value) for value in per_picture(strengths, count, "strengths", (int, float))]
    steps_each = [check_steps(value) for value in per_picture(steps, count, "steps", int)]
    seeds = seeds_for(seed, count)
    crop = crop or CropOptions()

    jobs: list[_Job] = []
    for index in range(count):
        if strength_each[index] > 0 and steps_each[index] > 0:
            jobs += _jobs(index, denoise[index], blend[index], crop.join)
    if not jobs:
        return images if untouched(images, pictures) else pictures

    engine = resolve_engine(inpainter, "inpaint")
    total = sum(steps_each[job.picture] for job in jobs)
    result = pictures.clone()
    done = 0
    for job in jobs:
        index = job.picture
        plan = plan_crop(
            job.box,
            (result.shape[1], result.shape[2]),
            crop,
            size_multiple=engine.size_multiple,
            min_side=engine.min_side,
            native_side=engine.native_side,
        )
        logger.info("Stage 1: picture %d, region %d, crop %s sampled at %s", index, job.region, plan.box, plan.sample)
        before = result[index : index + 1]
        own_denoise, own_composite = job.masks(before)
        sample, mask = to_sample(before, own_denoise, plan)
        assert mask is not None
        new = engine.inpaint(
            sample,
            mask,
            prompt=texts[index],
            strength=strength_each[index],
            steps=steps_each[index],
            seed=region_seed(seeds[index], job.region),
            index=index,
            progress=part_of(progress, done, steps_each[index], total),
        )
        new = check_answer(new, sample, "inpainter").to(result)
        result[index : index + 1] = _paste(before, from_sample(new, plan), own_denoise, own_composite, plan, keep_color)
        done += steps_each[index]
    return result


def _jobs(index: int, denoise: Tensor, composite: Tensor, join: int) -> list[_Job]:
    jobs = []
    for number, region in enumerate(split_regions(denoise, join)):
        own = torch.where(region.cell, composite, 0.0)
        if not bool((own > 0).any()):
            continue  # nothing of it would be pasted
        core = region.core
        box = bounding_box((own > 0) | core)
        assert box is not None
        inside = [cut(part.unsqueeze(0), box).clone() for part in (torch.where(core, denoise, 0.0), own)]
        jobs.append(_Job(index, number, box, inside[0], inside[1]))
    return jobs


def _paste(before: Tensor, new: Tensor, denoise: Tensor, composite: Tensor, plan: CropPlan, keep_color: bool) -> Tensor:
    """``before`` ``(1, H, W, 3)`` with the new crop blended in; bit-identical where the composite mask is 0."""
    old = cut(before, plan.box)
    if keep_color:
        new = match_color(new, old, cut((denoise == 0) & (composite == 0), plan.box))
    weight = cut(composite, plan.box).unsqueeze(-1)
    out = before.clone()
    cut(out, plan.box).copy_(torch.where(weight > 0, old * (1.0 - weight) + new * weight, old))
    return out
