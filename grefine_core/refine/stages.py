"""Both stages (method, section 6).

Stage 1, refinement: strong masked denoising of crops around every defective region. Stage 2, restoration: mild
denoising of the whole picture, which changes all pixels, by design.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import per_picture, whole_number
from ..errors import InputError
from ..plan import RepairPlan, region_of
from ..tensors import as_canvas, as_images, as_masks, match_masks, opaque, painted, strips
from .color import color_match, match_color
from .crops import (
    Box,
    CropOptions,
    CropPlan,
    Place,
    Region,
    RegionCrop,
    Regions,
    cut,
    from_sample,
    plan_crop,
    split_regions,
    to_sample,
)
from .protocols import (
    Inpainter,
    Progress,
    Restorer,
    attempt_seed,
    capabilities_of,
    part_of,
    placed,
    region_seed,
    resolve_engine,
    seeds_for,
)

logger = logging.getLogger(__name__)

# Arguments: one value for all pictures, or one for each


def check_strength(value: float) -> float:
    """``value`` if it is in [0, 1]."""
    if not 0.0 <= float(value) <= 1.0:
        raise InputError(f"strengths: expected values from 0 to 1, got {value!r}.")
    return float(value)


def check_steps(value: int) -> int:
    """``value`` if it is 0 or more."""
    if value < 0:
        raise InputError(f"steps: expected 0 or more, got {value!r}.")
    return value


def check_answer(answer: object, sample: Tensor, name: str, scale: int = 1) -> Tensor:
    """What an engine returned, as ``(1, h, w, 3)`` in [0, 1], ``scale`` times the size that it was given."""
    picture = as_images(answer, f"result of the {name}")
    if picture.shape != (sample.shape[0], scale * sample.shape[1], scale * sample.shape[2], 3):
        raise InputError(f"{name}: was given a picture of {tuple(sample.shape)} and returned {tuple(picture.shape)}.")
    return picture


def untouched(given: object, normalised: Tensor) -> bool:
    """Whether ``given`` may be handed back as it is: normalising it changed neither shape nor type."""
    return isinstance(given, Tensor) and given.shape == normalised.shape and given.dtype == normalised.dtype


# Stage 1


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
    prompt: str
    strength: float
    steps: int

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
    repairs: Sequence[RepairPlan | None] | None = None,
    regions: Sequence[Collection[int] | None] | None = None,
    attempt: int = 1,
    independent: bool = False,
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
        seed: see ``protocols.seeds_for``: one for all (each picture gets its own from it) or one each.
        crop: context, size and joining of crops.
        keep_color: match the new crop's colours to the old one's over the pixels around the mask.
        progress: gets calls done and planned over all crops of all pictures.
        repairs: for each picture its plan, or None: strength, steps and prompt of every region are those of the plan
            then, wherever the picture's own are above 0. The masks have to be the plan's.
        regions: for each picture the numbers of the regions that are repainted, from 1; None = all.
        attempt: from 1; another one gives other noise, whatever was tried before.
        independent: every region sees the pictures as they came in, not what was painted in the regions before it.

    Returns:
        Pictures as they came in, of the same channels and floating dtype; the very tensor ``images`` if there was
        nothing to do.

    Raises:
        InputError: wrong shapes, counts or ranges, or an engine that returns another size.
    """
    pictures = as_canvas(images, "images")
    count = pictures.shape[0]
    whole_number(attempt, "attempt", 1, 1_000_000)
    plans = [None] * count if repairs is None else list(repairs)
    only = [None] * count if regions is None else list(regions)
    for name, values in (("repairs", plans), ("regions", only)):
        if len(values) != count:
            raise InputError(f"{name}: {len(values)} for {count} pictures; give one for each.")
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
            own = (texts[index], strength_each[index], steps_each[index])
            jobs += _jobs(index, denoise[index], blend[index], crop.join, own, plans[index], only[index])
    if not jobs:
        return images if untouched(images, pictures) else pictures

    engine = resolve_engine(inpainter, "inpaint")
    can = capabilities_of(engine)
    total = sum(job.steps if can.steps else 1 for job in jobs)
    result = pictures.clone()
    done = 0
    for job in jobs:
        index, calls = job.picture, job.steps if can.steps else 1
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
        seen = as_images(cut(pictures[index : index + 1], plan.box) if independent else before, "images")
        sample, mask = to_sample(seen, job.own_denoise(plan.box), plan)
        assert mask is not None
        new = placed(engine, Place((result.shape[1], result.shape[2]), plan)).inpaint(
            sample,
            mask,
            prompt=job.prompt,
            strength=job.strength,
            steps=job.steps,
            seed=attempt_seed(region_seed(seeds[index], job.region.number - 1), attempt),
            index=index,
            progress=part_of(progress, done, calls, total),
        )
        new = check_answer(new, sample, "inpainter", can.scale).to(result.device)
        del sample, mask
        _paste(before, seen, new, job, plan, keep_color)
        done += calls
    return result


def crops_of(
    size: tuple[int, int],
    denoise: Tensor,
    composite: Tensor | None,
    engine: Inpainter,
    *,
    prompt: str,
    strength: float,
    steps: int,
    seed: int,
    crop: CropOptions | None = None,
    repairs: RepairPlan | None = None,
) -> Regions:
    """The crops that ``stage1`` makes of one picture; arguments as there, masks ``(H, W)``.

    Args:
        size: (height, width) of the picture.
        denoise: what is sampled anew.
        composite: how strongly it is pasted; None = ``denoise``.
        engine: its sizes are what is asked for.
        prompt, strength, steps, seed, crop, repairs: see ``stage1``.
    """
    crop = crop or CropOptions()
    blend = denoise if composite is None else composite
    jobs = _jobs(0, denoise, blend, crop.join, (prompt, strength, steps), repairs, None)
    return Regions(
        size=size,
        crops=tuple(
            RegionCrop(
                number=job.region.number,
                region=job.box,
                crop=plan_crop(
                    job.box,
                    size,
                    crop,
                    size_multiple=engine.size_multiple,
                    min_side=engine.min_side,
                    native_side=engine.native_side,
                ),
                prompt=job.prompt,
                strength=job.strength,
                steps=job.steps,
                seed=region_seed(seed, job.region.number - 1),
            )
            for job in jobs
        ),
        denoise=denoise,
        composite=blend,
        join=crop.join if repairs is None else repairs.join,
    )


def _jobs(
    index: int,
    denoise: Tensor,
    composite: Tensor,
    join: int,
    own: tuple[str, float, int],
    plan: RepairPlan | None,
    only: Collection[int] | None,
) -> list[_Job]:
    """``own``: prompt, strength and steps of the picture, where a region has none of its own."""
    jobs = []
    for region in split_regions(denoise, join if plan is None else plan.join):
        planned = None if plan is None else region_of(plan, region.number)
        prompt, strength, steps = own if planned is None else (planned.prompt, planned.strength, planned.steps)
        if (only is not None and region.number not in only) or strength <= 0 or steps < 1:
            continue
        box = _box(region, composite)
        if box is not None:
            jobs.append(_Job(index, region, box, denoise, composite, prompt, strength, steps))
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
    """Blend ``new`` as it was sampled into ``old`` ``(1, h, w, 3 or 4)``, a view of the result, which so is written to;
    nothing where the composite mask is 0. ``seen`` ``(1, h, w, 3)`` is what the engine was shown of it."""
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


# Stage 2

#: A picture is never sampled smaller than it is: large ones are the restorer's own business (tiles).
_UNLIMITED = 1 << 30


def stage2(
    images: Tensor,
    restorer: Restorer | Callable[[], Restorer],
    *,
    prompts: str | Sequence[str],
    strengths: float | Sequence[float],
    steps: int | Sequence[int],
    seed: int | Sequence[int] = 0,
    keep_color: bool = True,
    progress: Progress | None = None,
) -> Tensor:
    """Restore whole pictures, each with its own prompt, strength and steps.

    Pictures are padded to the restorer's multiple (and enlarged if smaller than its minimum) and come back at their
    own size. A picture with strength 0 or 0 steps is returned bit-identical.

    Args:
        images: ``(B, H, W, 3)``, or 4 with alpha, which stays as it is; see ``tensors.as_canvas``. The restorer sees
            colours clamped to [0, 1], over white where there is alpha.
        restorer: the engine, or a function without arguments that loads it; it is called only if there is work.
        prompts: one, or one for each picture.
        strengths: [0, 1], one or one each.
        steps: denoiser calls, one or one each.
        seed: one for all (each picture gets its own from it) or one each.
        keep_color: give every channel the mean and the standard deviation that it had before.
        progress: gets calls done and planned over all pictures.

    Returns:
        Pictures as they came in, of the same channels and floating dtype; the very tensor ``images`` if there was
        nothing to do.

    Raises:
        InputError: wrong shapes, counts or ranges, or an engine that returns another size.
    """
    pictures = as_canvas(images, "images")
    count = pictures.shape[0]
    texts = per_picture(prompts, count, "prompts", str)
    strength_each = [check_strength(value) for value in per_picture(strengths, count, "strengths", (int, float))]
    steps_each = [check_steps(value) for value in per_picture(steps, count, "steps", int)]
    seeds = seeds_for(seed, count)
    active = [index for index in range(count) if strength_each[index] > 0 and steps_each[index] > 0]
    if not active:
        return images if untouched(images, pictures) else pictures

    engine = resolve_engine(restorer, "restore")
    height, width = pictures.shape[1:3]
    plan = plan_crop(
        (0, 0, height, width),
        (height, width),
        CropOptions(max_side=_UNLIMITED),
        size_multiple=engine.size_multiple,
        min_side=engine.min_side,
    )
    can = capabilities_of(engine)
    calls = steps_each if can.steps else [1] * count
    total = sum(calls[index] for index in active)
    result: Tensor | None = None
    done = 0
    for index in active:
        canvas = pictures[index : index + 1]
        before = as_images(canvas, "images")
        sample, _ = to_sample(before, None, plan)
        logger.info("Stage 2: picture %d sampled at %s", index, plan.sample)
        new = placed(engine, Place((height, width), plan)).restore(
            sample,
            prompt=texts[index],
            strength=strength_each[index],
            steps=steps_each[index],
            seed=seeds[index],
            index=index,
            progress=part_of(progress, done, calls[index], total),
        )
        new = from_sample(check_answer(new, sample, "restorer", can.scale).to(pictures.device), plan)
        del sample
        new = match_color(new, before) if keep_color else new
        if not can.strength:
            new = torch.lerp(before, new, strength_each[index])
        new = painted(canvas, new)
        if count == 1:
            return new.contiguous()
        result = pictures.clone() if result is None else result  # only now: the engine needs the memory
        result[index : index + 1] = new
        done += calls[index]
    assert result is not None
    return result
