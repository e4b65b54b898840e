"""Stage 1 with a guard inside: regions that are refused are painted again, and every attempt can be seen."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..checks import whole_number
from ..errors import InputError
from ..masks import bounding_box, label_regions
from ..plan import RepairPlan, region_of
from ..report.data import GuardEntry
from ..tensors import as_canvas, as_masks, match_masks
from .crops import Box, CropOptions, Place, cut
from .guard import GuardResult
from .protocols import Inpainter, Progress, attempt_seed, capabilities_of, placed, region_seed, resolve_engine
from .stages import stage1

logger = logging.getLogger(__name__)

#: ``judge(before, after, mask, keep)``: a guard over the regions of ``mask``; ``keep`` are numbers in that mask.
Judge = Callable[[Tensor, Tensor, Tensor, frozenset[int]], GuardResult]
_KEEP = re.compile(r"(\d+)(?:\s*:\s*(\d+))?")


@dataclass(frozen=True)
class Attempt:
    """One try at one region."""

    region: int
    """Its number, from 1, in the order of ``masks.label_regions``."""
    number: int
    """From 1."""
    seed: int
    box: Box
    """(top, left, bottom, right) of what ``picture`` shows, in pixels, the last two exclusive."""
    picture: Tensor
    """(1, h, w, C): the region with its surroundings, as this attempt made them."""
    entry: GuardEntry | None
    """What the guard said; None where nothing had changed."""
    stage: int = 1
    """1, or 2: then there is one region, the whole picture."""

    @property
    def accepted(self) -> bool:
        """Whether it stays."""
        return self.entry is not None and self.entry.accepted


@dataclass(frozen=True)
class Attempts:
    """What came of one picture.

    Attributes:
        image: ``(1, H, W, C)``; regions of which no attempt passed are bit for bit as they were.
        attempts: all of them, in the order in which they were made.
        calls: denoiser calls that were made.
        encodes: pictures that were assessed.
    """

    image: Tensor
    attempts: tuple[Attempt, ...]
    calls: int
    encodes: int

    @property
    def entries(self) -> list[GuardEntry]:
        """The last word on every region that changed, in their order."""
        last: dict[int, GuardEntry] = {}
        for attempt in self.attempts:
            if attempt.entry is not None:
                last[attempt.region] = attempt.entry
        return [last[region] for region in sorted(last)]


def read_keep(text: str, name: str = "keep") -> dict[int, int | None]:
    """Region → attempt (None = whichever comes first) of what is to be kept by hand.

    Args:
        text: numbers of regions, with commas or blanks between them, each perhaps with an attempt: "2, 3:4". Empty:
            nothing.
        name: for messages.

    Raises:
        InputError: anything else.
    """
    if not isinstance(text, str):
        raise InputError(f"{name}: expected text, got {type(text).__name__}.")
    found: dict[int, int | None] = {}
    for part in filter(None, re.split(r"[,;\s]+", re.sub(r"\s*:\s*", ":", text.strip()))):
        match = _KEEP.fullmatch(part)
        if match is None:
            raise InputError(
                f"{name}: {part!r:.40} is no region. Give numbers from the guard's report, with the attempt behind a "
                "colon where one of several is meant: 2, 3:4."
            )
        region = whole_number(int(match[1]), name, 1, 1_000_000)
        found[region] = None if match[2] is None else whole_number(int(match[2]), name, 1, 1_000_000)
    return found


def repair(
    image: Tensor,
    denoise: Tensor,
    composite: Tensor | None,
    inpainter: Inpainter | Callable[[], Inpainter],
    judge: Judge,
    *,
    prompt: str,
    strength: float,
    steps: int,
    seed: int,
    attempts: int,
    index: int = 0,
    keep: dict[int, int | None] | None = None,
    crop: CropOptions | None = None,
    keep_color: bool = False,
    repairs: RepairPlan | None = None,
    progress: Progress | None = None,
    interrupt: Callable[[], None] | None = None,
) -> Attempts:
    """Repaint the regions of one picture; those that ``judge`` refuses again, up to ``attempts`` times in all.

    A region stops at its first attempt that passes. An attempt's noise follows from the picture's seed, the region and
    the attempt alone, and what it sees are the picture and what was accepted before: so a person who keeps the fourth
    attempt at a region gets that very one, without the three before it.

    Args:
        image: ``(1, H, W, C)``.
        denoise, composite, inpainter, crop, keep_color, repairs: as in ``stages.stage1``, of this picture.
        judge: see ``Judge``.
        prompt, strength, steps: of regions that ``repairs`` says nothing of.
        seed: this picture's own.
        attempts: 1 or more.
        index: the picture's place, for engines that hold a conditioning for each.
        keep: see ``read_keep``.
        progress: gets calls done and planned, of all attempts that there may be.
        interrupt: called between attempts; what it raises stops the work.

    Raises:
        InputError: as ``stages.stage1``, or ``attempts`` out of range.
    """
    whole_number(attempts, "attempts", 1, 1000)
    wanted = dict(keep or {})
    crop = crop or CropOptions()
    result = as_canvas(image, "image")
    masks = match_masks(as_masks(denoise, "denoise"), result, "denoise", "image")
    labels, count = label_regions(masks[0], crop.join if repairs is None else repairs.join)
    engine = resolve_engine(inpainter, "inpaint")
    asked = engine if index == 0 else InPlace(engine, index)
    rest = list(range(1, count + 1))
    each = {number: _calls(engine, number, steps, repairs) for number in rest}
    most = max([attempts, *(number for number in wanted.values() if number is not None)])
    planned = sum(calls * (attempts if wanted.get(region) is None else 1) for region, calls in each.items())
    logger.info(
        "Stage 1: picture %d, %d regions, up to %d attempts of %d denoiser calls together: at most %d calls",
        index,
        count,
        attempts,
        sum(each.values()),
        planned,
    )
    tried: list[Attempt] = []
    calls = encodes = 0
    start = time.monotonic()
    for number in range(1, most + 1):
        open_regions = [
            region
            for region in rest
            # What a person chose is painted once, at the attempt that was chosen: no attempt hangs on those before it.
            if number == wanted.get(region) or (wanted.get(region) is None and number <= attempts)
        ]
        if not open_regions:
            continue
        if interrupt is not None:
            interrupt()
        if number > 1:
            left = sum(
                each[region] * (attempts - number + 1 if wanted.get(region) is None else 1) for region in open_regions
            )
            logger.info(
                "Stage 1: picture %d, attempt %d at %d regions; %d calls took %.1f s, up to %d more about %.0f s",
                index,
                number,
                len(open_regions),
                calls,
                time.monotonic() - start,
                left,
                (time.monotonic() - start) / max(calls, 1) * left,
            )
        own = torch.where(torch.isin(labels, labels.new_tensor(open_regions)), masks[0], 0.0).unsqueeze(0)
        painted = stage1(
            result,
            masks,
            composite,
            asked,
            prompts=prompt,
            strengths=strength,
            steps=steps,
            seed=[seed],
            crop=crop,
            keep_color=keep_color,
            progress=_after(progress, calls, planned),
            repairs=[repairs],
            regions=[open_regions],
            attempt=number,
            independent=True,
        )
        calls += sum(each[region] for region in open_regions)
        by_hand = [region for region in open_regions if region in wanted]
        places = {region: place for place, region in enumerate(open_regions, start=1)}
        checked = judge(result, painted, own, frozenset(places[region] for region in by_hand))
        encodes += checked.encodes
        entries = {open_regions[entry.number - 1]: entry for entry in checked.entries[0]}
        passed = [region for region, entry in entries.items() if entry.accepted]
        for region in open_regions:
            entry = entries.get(region)
            if entry is not None:
                entry = replace(entry, number=region, attempt=number)
            box = _shown(labels == region, crop)
            tried.append(
                Attempt(
                    region,
                    number,
                    attempt_seed(region_seed(seed, region - 1), number),
                    box,
                    cut(painted, box).clone(),
                    entry,
                )
            )
        if passed:
            result = checked.image
        rest = [region for region in rest if region not in passed]
        if not rest:
            break
    if progress is not None and calls < planned:
        progress(planned, planned, None)
    return Attempts(result, tuple(tried), calls, encodes)


def repair_whole(
    image: Tensor,
    paint: Callable[[int, Progress | None], Tensor],
    judge: Callable[[Tensor, Tensor], GuardResult],
    *,
    seed: int,
    attempts: int,
    calls: int,
    progress: Progress | None = None,
    interrupt: Callable[[], None] | None = None,
) -> Attempts:
    """Stage 2 of one picture: painted again, from the same picture with other noise, until ``judge`` lets it pass.

    Args:
        image: ``(1, H, W, C)``.
        paint: gives the whole picture from a seed and a progress callback.
        judge: a guard over whole pictures.
        seed: this picture's own.
        attempts: 1 or more.
        calls: denoiser calls of one attempt.
        progress: gets calls done and planned, of all attempts that there may be.
        interrupt: called between attempts; what it raises stops the work.
    """
    whole_number(attempts, "attempts", 1, 1000)
    logger.info("Stage 2: up to %d attempts of %d denoiser calls: at most %d calls", attempts, calls, attempts * calls)
    tried: list[Attempt] = []
    result, encodes, height, width = image, 0, image.shape[1], image.shape[2]
    start = time.monotonic()
    for number in range(1, attempts + 1):
        if interrupt is not None:
            interrupt()
        if number > 1:
            spent = time.monotonic() - start
            logger.info(
                "Stage 2: attempt %d; %.1f s so far, up to about %.0f s more",
                number,
                spent,
                spent / (number - 1) * (attempts - number + 1),
            )
        drawn = attempt_seed(seed, number)
        painted = paint(drawn, _after(progress, (number - 1) * calls, attempts * calls))
        checked = judge(image, painted)
        encodes += checked.encodes
        entry = replace(checked.entries[0][0], attempt=number) if checked.entries[0] else None
        tried.append(Attempt(1, number, drawn, (0, 0, height, width), painted, entry, stage=2))
        if entry is None or entry.accepted:
            result = checked.image
            break
    if progress is not None and len(tried) < attempts:
        progress(attempts * calls, attempts * calls, None)
    return Attempts(result, tuple(tried), len(tried) * calls, encodes)


class InPlace:
    """An engine that is told of another place in the batch than that of a picture painted alone."""

    def __init__(self, engine: Any, index: int) -> None:
        self._engine, self._index = engine, index
        self.size_multiple, self.min_side = engine.size_multiple, engine.min_side
        self.native_side, self.capabilities = getattr(engine, "native_side", 0), capabilities_of(engine)

    def at(self, place: Place) -> InPlace:
        """See ``protocols.placed``."""
        return InPlace(placed(self._engine, place), self._index)

    def inpaint(self, image: Tensor, mask: Tensor, **options: Any) -> Tensor:
        """See ``protocols.Inpainter``."""
        answer: Tensor = self._engine.inpaint(image, mask, **{**options, "index": self._index})
        return answer

    def restore(self, image: Tensor, **options: Any) -> Tensor:
        """See ``protocols.Restorer``."""
        answer: Tensor = self._engine.restore(image, **{**options, "index": self._index})
        return answer


def _calls(engine: Inpainter, region: int, steps: int, repairs: RepairPlan | None) -> int:
    if not capabilities_of(engine).steps:
        return 1
    planned = None if repairs is None else region_of(repairs, region)
    return steps if planned is None else planned.steps


def _after(progress: Progress | None, before: int, total: int) -> Progress | None:
    if progress is None:
        return None
    outer = progress

    def report(done: int, of: int, preview: Tensor | None) -> None:  # noqa: ARG001 - the whole has its own total
        outer(min(before + done, total), total, preview)

    return report


def _shown(where: Tensor, crop: CropOptions) -> Box:
    """The region with the surroundings that a person wants to see."""
    box = bounding_box(where)
    assert box is not None
    top, left, bottom, right = box
    around = max(crop.min_context, round(crop.context * max(bottom - top, right - left)))
    return (
        max(0, top - around),
        max(0, left - around),
        min(where.shape[0], bottom + around),
        min(where.shape[1], right + around),
    )
