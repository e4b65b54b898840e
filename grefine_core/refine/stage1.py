"""Stage 1, refinement: strong masked denoising of crops around every defective region (method, section 6)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..tensors import as_canvas, as_images, as_masks, match_masks, opaque
from .arguments import check_answer, check_steps, check_strength, per_picture, untouched
from .color import color_match
from .crops import Box, CropOptions, CropPlan, plan_crop
from .progress import part_of
from .protocols import Inpainter, Progress, resolve_engine
from .regions import Region, split_regions
from .resize import cut, from_sample, strips, to_sample
from .seeds import region_seed, seeds_for

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Job:
    """One region of one picture that is to be repainted, and the box ``(1, …)`` of all that is not 0 in its masks.

    The masks are made when they are needed, of a crop that holds the box: those of all jobs together would fill the
    memory where a large mask has many parts.
    """

    picture: int
    region: Region
    box: Box
    denoise: Tensor
    composite: Tensor

    def own_denoise(self, crop: Box) -> Tensor:
        """What is repainted of this region alone, ``(1, h, w)``."""
        return self._own(self.denoise, self.region.cores, crop)

    def own_composite(self, crop: Box) -> Tensor:
        """How strongly it is pasted, ``(1, h, w)``."""
        return self._own(self.composite, self.region.cells, crop)

    def _own(self, mask: Tensor, numbers: Tensor, crop: Box) -> Tensor:
        part = cut(mask.unsqueeze(0), crop)
        if self.region.alone:
            return part
        return torch.where(cut(numbers.unsqueeze(0), crop) == self.region.number, part, 0.0)


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
    input afterwards, whatever its value; the engine sees colours clamped to [0, 1], over white where there is alpha.

    Args:
        images: ``(B, H, W, 3)``, or 4 with alpha, which stays as it is; see ``tensors.as_canvas``.
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
        Pictures as they came in, of the same channels and floating dtype; the very tensor ``images`` if there was
        nothing to do.

    Raises:
        InputError: wrong shapes, counts or ranges, or an engine that returns another size.
    """
    pictures = as_canvas(images, "images")
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
        logger.info(
            "Stage 1: picture %d, region %d, crop %s sampled at %s", index, job.region.number - 1, plan.box, plan.sample
        )
        before = cut(result[index : index + 1], plan.box)
        seen = as_images(before, "images")
        sample, mask = to_sample(seen, job.own_denoise(plan.box), plan)
        assert mask is not None
        new = engine.inpaint(
            sample,
            mask,
            prompt=texts[index],
            strength=strength_each[index],
            steps=steps_each[index],
            seed=region_seed(seeds[index], job.region.number - 1),
            index=index,
            progress=part_of(progress, done, steps_each[index], total),
        )
        new = check_answer(new, sample, "inpainter").to(result.device)
        del sample, mask
        _paste(before, seen, new, job, plan, keep_color)
        done += steps_each[index]
    return result


def _jobs(index: int, denoise: Tensor, composite: Tensor, join: int) -> list[_Job]:
    jobs = []
    for region in split_regions(denoise, join):
        box = _box(region, composite)
        if box is not None:
            jobs.append(_Job(index, region, box, denoise, composite))
    return jobs


def _box(region: Region, composite: Tensor) -> Box | None:
    """What holds the region and all that is pasted of it; None if nothing of it would be pasted.

    In strips: every question about a whole large mask would be as large as that.
    """
    height, width = composite.shape
    rows, columns = (torch.zeros(side, dtype=torch.bool, device=composite.device) for side in (height, width))
    pasted = False
    for part in strips(height):
        own = composite[part] > 0
        if not region.alone:
            own &= region.cells[part] == region.number
        pasted = pasted or bool(own.any())
        own |= region.cores[part] == region.number
        rows[part] = own.any(dim=1)
        columns |= own.any(dim=0)
    if not pasted:
        return None
    down, across = torch.nonzero(rows).flatten(), torch.nonzero(columns).flatten()
    return int(down[0]), int(across[0]), int(down[-1]) + 1, int(across[-1]) + 1


def _paste(old: Tensor, seen: Tensor, new: Tensor, job: _Job, plan: CropPlan, keep_color: bool) -> None:
    """Blend ``new`` as it was sampled into ``old`` ``(1, h, w, 3 or 4)``, its place in the result; nothing where the
    composite mask is 0. ``seen`` ``(1, h, w, 3)`` is what the engine was shown of it."""
    top, left, _, right = plan.box
    parts = [(rows, (top + rows.start, left, top + rows.stop, right)) for rows in strips(plan.size[0])]
    known = None
    if keep_color:
        known = torch.empty(old.shape[:-1], dtype=torch.bool, device=old.device)
        for rows, part in parts:
            known[:, rows] = (job.own_denoise(part) == 0) & (job.own_composite(part) == 0)
        if not bool(known.any()):
            known = None
    # Channel by channel and in strips: nothing is as large as a picture, once more.
    for channel in range(new.shape[-1]):
        was, now = old[..., channel : channel + 1], from_sample(new[..., channel : channel + 1], plan)
        color = None if known is None else color_match(now, seen[..., channel : channel + 1], known)
        for rows, part in parts:
            weight = job.own_composite(part).unsqueeze(-1)
            drawn = now[:, rows] if color is None else color(now[:, rows])
            if old.shape[-1] == 4:
                drawn = opaque(drawn, old[:, rows, :, 3:], was[:, rows])
            was[:, rows] = torch.where(weight > 0, was[:, rows] * (1.0 - weight) + drawn * weight, was[:, rows])
        del now  # before the next one is made
