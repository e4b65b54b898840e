"""Stage 2, restoration: mild denoising of the whole picture (method, section 6). It changes all pixels, by design."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from torch import Tensor

from ..tensors import as_canvas, as_images, painted
from .arguments import check_answer, check_steps, check_strength, per_picture, untouched
from .color import match_color
from .crops import CropOptions, plan_crop
from .progress import part_of
from .protocols import Progress, Restorer, resolve_engine
from .resize import from_sample, to_sample
from .seeds import seeds_for

logger = logging.getLogger(__name__)
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
    total = sum(steps_each[index] for index in active)
    result: Tensor | None = None
    done = 0
    for index in active:
        canvas = pictures[index : index + 1]
        before = as_images(canvas, "images")
        sample, _ = to_sample(before, None, plan)
        logger.info("Stage 2: picture %d sampled at %s", index, plan.sample)
        new = engine.restore(
            sample,
            prompt=texts[index],
            strength=strength_each[index],
            steps=steps_each[index],
            seed=seeds[index],
            index=index,
            progress=part_of(progress, done, steps_each[index], total),
        )
        new = from_sample(check_answer(new, sample, "restorer").to(pictures.device), plan)
        del sample
        new = painted(canvas, match_color(new, before) if keep_color else new)
        if count == 1:
            return new.contiguous()
        result = pictures.clone() if result is None else result  # only now: the engine needs the memory
        result[index : index + 1] = new
        done += steps_each[index]
    assert result is not None
    return result
