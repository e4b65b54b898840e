"""Both stages (method, section 6).

Stage 1, refinement: strong masked denoising of crops around every defective region. Stage 2, restoration: mild
denoising of the whole picture, which changes all pixels, by design.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor

from ..checks import per_picture, whole_number
from ..errors import InputError
from ..plan import RepairPlan, region_of
from ..tensors import as_canvas, as_images, as_masks, match_masks, painted
from .color import match_color
from .crops import (
    CropOptions,
    CropPlan,
    CropSizes,
    Place,
    RegionCrop,
    Regions,
    cut,
    from_sample,
    plan_crop,
    to_sample,
)
from .jobs import RegionJob, Task, answers, check_answer, paste, region_jobs
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


def untouched(given: object, normalised: Tensor) -> bool:
    """Whether ``given`` may be handed back as it is: normalising it changed neither shape nor type."""
    return isinstance(given, Tensor) and given.shape == normalised.shape and given.dtype == normalised.dtype


# Stage 1


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
        independent: every region sees the pictures as they came in, not what was painted in the regions before it. An
            engine that works in phases (``protocols.PhasedInpainter``) then does each for all regions at once.

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

    jobs: list[RegionJob] = []
    for index in range(count):
        if strength_each[index] > 0 and steps_each[index] > 0:
            own = (texts[index], strength_each[index], steps_each[index])
            jobs += region_jobs(index, denoise[index], blend[index], crop.join, own, plans[index], only[index])
    if not jobs:
        return images if untouched(images, pictures) else pictures

    engine = resolve_engine(inpainter, "inpaint")
    can = capabilities_of(engine)
    total = sum(job.steps if can.steps else 1 for job in jobs)
    result = pictures.clone()

    def seen(job: RegionJob, plan: CropPlan) -> Tensor:
        shown = pictures if independent else result
        return as_images(cut(shown[job.picture : job.picture + 1], plan.box), "images")

    done = 0
    tasks = []
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
        tasks.append(
            Task(
                job,
                plan,
                seed=attempt_seed(region_seed(seeds[index], job.region.number - 1), attempt),
                progress=part_of(progress, done, calls, total),
            )
        )
        done += calls
    for task, new in answers(engine, tasks, seen, together=independent):
        old = cut(result[task.job.picture : task.job.picture + 1], task.plan.box)
        # What was shown is cut again: to hold it for every region would take as much memory as the regions are many.
        paste(old, seen(task.job, task.plan), new.to(result.device), task.job, task.plan, keep_color)
    return result


def crops_of(
    size: tuple[int, int],
    denoise: Tensor,
    composite: Tensor | None,
    engine: Inpainter | CropSizes,
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
    jobs = region_jobs(0, denoise, blend, crop.join, (prompt, strength, steps), repairs, None)
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
                phrases=() if planned is None else planned.phrases,
                bad=planned is not None and planned.bad,
            )
            for job in jobs
            for planned in [None if repairs is None else region_of(repairs, job.region.number)]
        ),
        denoise=denoise,
        composite=blend,
        join=crop.join if repairs is None else repairs.join,
        diagnosis=None if repairs is None else repairs.diagnosis,
    )


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
        new = from_sample(check_answer(new, tuple(sample.shape), "restorer", can.scale).to(pictures.device), plan)
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
