"""The no-harm guard: a change that lowers an indicator is refused, region by region (method, section 6)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor

from ..checks import per_picture
from ..errors import InputError
from ..masks import bounding_box
from ..report.data import GuardEntry
from ..tensors import as_canvas, as_images, as_masks, match_masks, painted
from .crops import Box, CropOptions, split_regions

logger = logging.getLogger(__name__)
#: (PS, AS), both in [0, 1], higher is better.
Scores = tuple[float, float]
_JOIN = CropOptions().join
#: The same picture measures a little differently in another batch (float32 sums in another order): no change at all.
NOISE = 1e-6
#: A picture beyond 2048² is assessed by itself: then the candidate is not copied, which is 200 MB at 4096².
_PIXELS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class GuardResult:
    """What the guard let through.

    Attributes:
        image: ``(B, H, W, 3)``, or 4 with the alpha of ``before``; wherever a change was refused, or there was none,
            bit-identical to ``before``.
        entries: for each picture one entry per changed region (a single one for the whole picture without a mask).
        before: (PS, AS) of each picture as it was; None for pictures in which nothing had changed.
        after: the same for the result.
        encodes: number of pictures that had to be assessed.
    """

    image: Tensor
    entries: list[list[GuardEntry]]
    before: list[Scores | None]
    after: list[Scores | None]
    encodes: int

    @property
    def refused(self) -> int:
        """Number of refused changes over all pictures."""
        return sum(not entry.accepted for entries in self.entries for entry in entries)


def guard(
    before: Tensor,
    after: Tensor,
    quality: Any,
    prompt: str | Sequence[str],
    *,
    mask: Tensor | None = None,
    tolerance: float = 0.0,
    stage: int | None = None,
    join: int = _JOIN,
    scores: Sequence[Scores | None] | None = None,
    assess: Callable[..., Any] | None = None,
    batch: int = 8,
) -> GuardResult:
    """Keep only changes that lower neither the perceptual nor the alignment score.

    With a mask, every changed pixel belongs to the nearest connected region of the mask, and each region is judged by
    itself: the picture with that region alone changed must not score lower than ``before`` by more than
    ``tolerance``, in either indicator. Then the accepted regions together must pass the same test; while they do not,
    the one with the worst change of its own is dropped. So the result never scores lower than ``before``, beyond the
    tolerance. An unchanged picture costs nothing.

    Args:
        before: ``(B, H, W, 3)``, or 4 with alpha; see ``tensors.as_canvas``.
        after: the same size; with other channels, what it looks like counts.
        quality: the quality model that ``assess`` is called with.
        prompt: one, or one for each picture.
        mask: ``(B, H, W)`` or one for all, above 0 = what the stage was to change; None = judge whole pictures.
        tolerance: by how much an indicator may fall.
        stage: the number for the report; None = 1 with a mask, 2 without.
        join: regions closer than this many pixels are one; as in stage 1.
        scores: (PS, AS) of the pictures before, where they are known already.
        assess: ``assess(quality, images, prompts)`` with ``.perceptual.score`` and ``.alignment.score`` ``(B,)``;
            None = this package's own.
        batch: pictures assessed at once, at most; large pictures are assessed in smaller batches.

    Raises:
        InputError: shapes that do not match, a negative tolerance, a wrong number of prompts.

    Source: method, section 6; ours, the paper has no guard.
    """
    old, new = as_canvas(before, "before"), as_canvas(after, "after")
    if old.shape[:3] != new.shape[:3]:
        raise InputError(f"after: shape {tuple(new.shape)} does not match before {tuple(old.shape)}.")
    dtype = torch.promote_types(old.dtype, new.dtype)  # neither loses anything
    old, new = old.to(dtype), _like(new.to(old.device, dtype), old)
    count = old.shape[0]
    masks = None if mask is None else match_masks(as_masks(mask, "mask"), old, "mask", "before").to(old.device)
    check_tolerance(tolerance)
    prompts = per_picture(prompt, count, "prompt", str)
    known: list[Scores | None] = [None] * count if scores is None else list(scores)
    if len(known) != count:
        raise InputError(f"scores: {len(known)} for {count} pictures.")
    number = stage if stage is not None else (2 if masks is None else 1)

    meter = _Meter(quality, assess, batch)
    result = old.clone()
    entries: list[list[GuardEntry]] = []
    scores_before: list[Scores | None] = []
    scores_after: list[Scores | None] = []
    for index in range(count):
        changes = _changes(old[index], new[index], None if masks is None else masks[index], join)
        if not changes:
            entries.append([])
            scores_before.append(known[index])
            scores_after.append(known[index])
            continue
        judge = _Judge(old[index], new[index], result[index], prompts[index], changes, tolerance, meter, known[index])
        judge.decide()
        whole = masks is None
        boxes = [None if whole else change.box for change in changes]
        entries.append([judge.entry(number, place, box) for place, box in enumerate(boxes)])
        scores_before.append(judge.before)
        scores_after.append(judge.after)
        logger.info("Guard: picture %d, stage %d, kept %d of %d", index, number, len(judge.kept), len(changes))
    return GuardResult(result, entries, scores_before, scores_after, meter.encodes)


def _like(new: Tensor, old: Tensor) -> Tensor:
    """``new`` with the channels of ``old``: the same tensor where it has them."""
    if new.shape == old.shape:
        return new
    look, known = as_images(new, "after"), as_images(old, "before")
    return torch.where((look != known).any(-1, keepdim=True), painted(old, look), old)


def check_tolerance(tolerance: float) -> None:
    """Refuse what is no number of 0 or more."""
    if not (isinstance(tolerance, (int, float)) and math.isfinite(tolerance) and tolerance >= 0):
        raise InputError(f"tolerance: expected 0 or more, got {tolerance!r}.")


@dataclass(frozen=True)
class _Change:
    """Changed pixels: which of those in ``box``. Masks of the whole picture for many regions would fill the memory."""

    box: Box
    pixels: Tensor

    def apply(self, new: Tensor, result: Tensor) -> None:
        """Put the pixels of ``new`` ``(H, W, C)`` into ``result``."""
        top, left, bottom, right = self.box
        place = (slice(top, bottom), slice(left, right))
        result[place] = torch.where(self.pixels.unsqueeze(-1), new[place], result[place])


def _changes(old: Tensor, new: Tensor, mask: Tensor | None, join: int) -> list[_Change]:
    """Disjoint sets that together are all changed pixels, one for each region with any."""
    # Channel by channel: all at once are three times the memory.
    changed = torch.zeros(old.shape[:2], dtype=torch.bool, device=old.device)
    for channel in range(old.shape[-1]):
        changed |= old[..., channel] != new[..., channel]
    if not bool(changed.any()):
        return []
    regions = [] if mask is None else split_regions(mask, join)
    owned = (changed if region.alone else region.cell & changed for region in regions)
    return [change for change in map(_change, owned if regions else [changed]) if change is not None]


def _change(changed: Tensor) -> _Change | None:
    box = bounding_box(changed)
    if box is None:
        return None
    top, left, bottom, right = box
    return _Change(box, changed[top:bottom, left:right].clone())


class _Meter:
    """Scores pictures in batches and counts them; each may be gone when the next one is asked for."""

    def __init__(self, quality: Any, assess: Callable[..., Any] | None, batch: int) -> None:
        if assess is None:
            from ..alignment import assess as own  # late: it needs the text side

            assess = partial(own, map_size=(1, 1))  # its scores are wanted, not its maps
        self._quality = quality
        self._assess = assess
        self._batch = max(1, batch)
        self.encodes = 0

    def __call__(self, pictures: Iterable[Tensor], prompt: str) -> list[Scores]:
        scores: list[Scores] = []
        remaining = iter(pictures)
        for first in remaining:
            size = min(self._batch, max(1, _PIXELS_AT_ONCE // first[..., 0].numel()))
            part = first.unsqueeze(0)
            if size > 1:
                copies = [first.clone(), *(picture.clone() for picture in islice(remaining, size - 1))]
                part = torch.stack(copies)
            self.encodes += part.shape[0]
            found = self._assess(self._quality, as_images(part), [prompt] * part.shape[0])
            perceptual, alignment = found.perceptual.score.tolist(), found.alignment.score.tolist()
            scores += zip(perceptual, alignment, strict=True)
        return scores


class _Judge:
    """Decides about the changes of one picture.

    ``result`` is as ``old``; all candidates are made in it one after the other, and what is decided stays in it.
    """

    def __init__(
        self,
        old: Tensor,
        new: Tensor,
        result: Tensor,
        prompt: str,
        changes: Sequence[_Change],
        tolerance: float,
        meter: _Meter,
        known: Scores | None,
    ) -> None:
        self._old, self._new, self._result, self._prompt = old, new, result, prompt
        self._changes, self._tolerance, self._meter = changes, tolerance, meter
        single = (self._with([place]) for place in range(len(changes)))
        if known is None:
            # One call, so that all are measured in the same way.
            self.before, *self.alone = meter(chain([old], single), prompt)
        else:
            self.before, self.alone = known, meter(single, prompt)
        self.kept = [place for place, score in enumerate(self.alone) if self._passes(score)]
        self._dropped_together: set[int] = set()
        self.after = self.before

    def decide(self) -> None:
        """Leave everything in the result that may stay."""
        while len(self.kept) > 1:
            (together,) = self._meter([self._with(self.kept)], self._prompt)
            if self._passes(together):
                self.after = together
                return
            worst = min(self.kept, key=lambda place: min(self._change(self.alone[place])))
            self.kept.remove(worst)
            self._dropped_together.add(worst)
        if self.kept:
            self.after = self.alone[self.kept[0]]
        self._with(self.kept)

    def entry(self, stage: int, place: int, region: Box | None) -> GuardEntry:
        """The report on one change; ``region`` is None for a whole picture."""
        accepted = place in self.kept
        if accepted:
            reason = "no indicator falls" if self._tolerance == 0 else "no indicator falls by more than the tolerance"
        elif place in self._dropped_together:
            reason = "harmless alone, but together with the other regions an indicator falls"
        else:
            reason = self._complaint(self.alone[place])
        return GuardEntry(stage, region, accepted, self.before, self.alone[place], reason)

    def _with(self, places: Sequence[int]) -> Tensor:
        """The result ``(H, W, C)`` with these changes and no others."""
        self._result.copy_(self._old)
        for place in places:
            self._changes[place].apply(self._new, self._result)
        return self._result

    def _change(self, score: Scores) -> Scores:
        return score[0] - self.before[0], score[1] - self.before[1]

    def _passes(self, score: Scores) -> bool:
        # Written so that a score that is not a number is refused.
        return all(now >= was - self._tolerance - NOISE for now, was in zip(score, self.before, strict=True))

    def _complaint(self, score: Scores) -> str:
        parts = []
        for name, now, was in zip(("perceptual", "alignment"), score, self.before, strict=True):
            if not now >= was - self._tolerance - NOISE:
                parts.append(f"{name} score falls from {was:.4f} to {now:.4f}")
        return ", ".join(parts)
