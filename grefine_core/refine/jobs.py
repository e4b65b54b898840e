"""One region as a piece of work: what is cut out, what is sampled anew of it, and how the answer is pasted back.

Stage 1 walks over these; so does whoever splits a picture into crops and merges them again (``open_regions``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..plan import RepairPlan, region_of
from ..tensors import as_images, opaque, strips
from .color import color_match
from .crops import Box, CropPlan, Place, Region, cut, from_sample, split_regions, to_sample
from .protocols import Inpainter, PhasedInpainter, Progress, capabilities_of, placed


@dataclass(frozen=True)
class RegionJob:
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


def region_jobs(
    index: int,
    denoise: Tensor,
    composite: Tensor,
    join: int,
    own: tuple[str, float, int],
    plan: RepairPlan | None,
    only: Collection[int] | None,
) -> list[RegionJob]:
    """``own``: prompt, strength and steps of the picture, where a region has none of its own."""
    jobs = []
    for region in split_regions(denoise, join if plan is None else plan.join):
        planned = None if plan is None else region_of(plan, region.number)
        prompt, strength, steps = own if planned is None else (planned.prompt, planned.strength, planned.steps)
        if (only is not None and region.number not in only) or strength <= 0 or steps < 1:
            continue
        box = _box(region, composite)
        if box is not None:
            jobs.append(RegionJob(index, region, box, denoise, composite, prompt, strength, steps))
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


def paste(old: Tensor, seen: Tensor, new: Tensor, job: RegionJob, plan: CropPlan, keep_color: bool) -> None:
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
            weight = job.own_composite(part).unsqueeze(-1).to(old.device)
            drawn = now[:, rows] if color is None else color(now[:, rows])
            if old.shape[-1] == 4:
                drawn = opaque(drawn, old[:, rows, :, 3:], was[:, rows])
            was[:, rows] = torch.where(weight > 0, was[:, rows] * (1.0 - weight) + drawn * weight, was[:, rows])
        del now  # before the next one is made


# Asking an engine


@dataclass(frozen=True)
class Task:
    """A job with all that an engine is told about it."""

    job: RegionJob
    plan: CropPlan
    seed: int
    progress: Progress | None = None

    @property
    def place(self) -> Place:
        """Where in the picture the crop lies."""
        height, width = self.job.denoise.shape
        return Place((height, width), self.plan)

    def sample(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """What the engine gets: ``seen`` ``(1, *plan.size, 3)`` and the region's own mask, at the sampled size."""
        image, mask = to_sample(seen, self.job.own_denoise(self.plan.box), self.plan)
        assert mask is not None
        return image, mask


def answers(
    engine: Inpainter,
    tasks: Sequence[Task],
    seen: Callable[[RegionJob, CropPlan], Tensor],
    *,
    together: bool = False,
) -> Iterator[tuple[Task, Tensor]]:
    """What the engine makes of every crop ``(1, h, w, 3)``, one after the other, in the order of the tasks.

    Args:
        engine: it is asked when the answer before is taken.
        tasks: what it is asked.
        seen: gives the crop of a job as it is shown to the engine, ``(1, *plan.size, 3)``.
        together: no crop shows what was painted in another. An engine that works in phases then encodes all of them,
            samples all and decodes all, so that each of its models is loaded once.

    Raises:
        InputError: an answer of another size.
    """
    scale = capabilities_of(engine).scale

    def checked(task: Task, answer: object) -> tuple[Task, Tensor]:
        return task, check_answer(answer, (1, *task.plan.sample, 3), "inpainter", scale)

    engines = [placed(engine, task.place) for task in tasks]
    if not (together and isinstance(engine, PhasedInpainter)):
        for own, task in zip(engines, tasks, strict=True):
            job = task.job
            image, mask = task.sample(seen(job, task.plan))
            answer = own.inpaint(image, mask, **_told(task), index=job.picture, progress=task.progress)
            del image, mask
            yield checked(task, answer)
        return
    phased = [own for own in engines if isinstance(own, PhasedInpainter)]
    held: list[Any] = [
        own.encode(*task.sample(seen(task.job, task.plan)), index=task.job.picture)
        for own, task in zip(phased, tasks, strict=True)
    ]
    for number, (own, task) in enumerate(zip(phased, tasks, strict=True)):
        held[number] = own.sample(held[number], **_told(task), index=task.job.picture, progress=task.progress)
    for number, (own, task) in enumerate(zip(phased, tasks, strict=True)):
        sampled, held[number] = held[number], None
        yield checked(task, own.decode(sampled))


def _told(task: Task) -> dict[str, Any]:
    job = task.job
    return {"prompt": job.prompt, "strength": job.strength, "steps": job.steps, "seed": task.seed}


def check_answer(answer: object, given: tuple[int, ...], name: str, scale: int = 1) -> Tensor:
    """What an engine returned, as ``(1, h, w, 3)`` in [0, 1], ``scale`` times the size that it was ``given``."""
    picture = as_images(answer, f"result of the {name}")
    if picture.shape != (given[0], scale * given[1], scale * given[2], 3):
        raise InputError(f"{name}: was given a picture of {given} and returned {tuple(picture.shape)}.")
    return picture
