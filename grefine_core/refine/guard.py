"""The no-harm guard: a change that harms, or brings nothing, is refused, region by region (method, section 6)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ..checks import choice, per_picture, whole_number
from ..errors import InputError
from ..masks import bounding_box
from ..report.data import GuardEntry
from ..report.words import OF_ITS_BOUND, THOUGH, shown
from ..tensors import as_canvas, as_images, as_masks, match_masks, painted
from .crops import Box, CropOptions, split_regions
from .gains import (
    PIXELS_AT_ONCE,
    Judgement,
    Noise,
    Reader,
    Reading,
    Scores,
    compare,
    cropped,
    grid_places,
    opinion,
    region_place,
)

logger = logging.getLogger(__name__)
Rule = Literal["gain", "scores"]
RULES: tuple[Rule, ...] = get_args(Rule)
_JOIN = CropOptions().join
#: The same picture measures a little differently in another batch (float32 sums in another order): no change at all.
NOISE = 1e-6


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
    rule: Rule = "scores",
    noise: Noise | None = None,
    attempts: int = 1,
    second_opinion: Any = None,
    second_assess: Callable[..., Any] | None = None,
    keep: Collection[int] | Sequence[Collection[int]] = (),
) -> GuardResult:
    """Keep only changes that do no harm, and with the rule "gain" only those that bring something.

    With a mask, every changed pixel belongs to the nearest connected region of the mask, and each region is judged by
    itself, with that region alone changed. Then the accepted regions together must pass; while they do not, the one
    with the worst change of its own is dropped. An unchanged picture costs nothing.

    - ``rule="scores"``: neither the perceptual nor the alignment score may fall by more than ``tolerance``. So the
      result never scores lower than ``before``, beyond the tolerance.
    - ``rule="gain"``: something must gain by more than ``noise`` (an unmatched phrase, the quality of the region, the
      perceptual score), and nothing may lose by more than it, see ``gains.compare``. The quality of a region is read
      from a crop with its surroundings, at the quality model's own resolution, before and after alike; without a mask
      that of a grid of crops. No gain: the original stays.

    Args:
        before: ``(B, H, W, 3)``, or 4 with alpha; see ``tensors.as_canvas``.
        after: the same size; with other channels, what it looks like counts.
        quality: the quality model that ``assess`` is called with.
        prompt: one, or one for each picture.
        mask: ``(B, H, W)`` or one for all, above 0 = what the stage was to change; None = judge whole pictures.
        tolerance: by how much an indicator may fall, for the rule "scores".
        stage: the number for the report; None = 1 with a mask, 2 without.
        join: regions closer than this many pixels are one; as in stage 1.
        scores: (PS, AS) of the pictures before, where they are known already.
        assess: ``assess(quality, images, prompts)`` with ``.perceptual.score`` and ``.alignment.score`` ``(B,)``;
            None = this package's own.
        batch: pictures assessed at once, at most; large pictures are assessed in smaller batches.
        rule: "scores" or "gain". For "gain" ``assess`` gives ``.perceptual.quality_map`` and ``.alignment.phrases``
            too.
        noise: for "gain"; None = that of the model's calibration, see ``gains.noise_of``.
        attempts: for "gain": how often a region is tried, each of which may pass by chance.
        second_opinion: another quality model, for "gain": nothing may fall in its eyes, by more than its own noise.
        second_assess: what it is asked with; None = as ``assess``.
        keep: numbers of regions (from 1, in the order of ``masks.label_regions``; 1 for a whole picture) that stay
            whatever was found; one collection for all pictures, or one each.

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
    rule = choice(rule, "rule", RULES)
    whole_number(attempts, "attempts", 1, 1000)
    kept_anyway = _kept_anyway(keep, count)

    meter = _Meter(quality, assess, batch)
    reader = Reader(quality, assess, batch, noise) if rule == "gain" else None
    second = None
    if reader is not None and second_opinion is not None:
        second = Reader(second_opinion, second_assess or assess, batch, None)
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
        whole = masks is None
        judge: _Judge | _GainJudge
        pictures = (old[index], new[index], result[index])
        if reader is None:
            judge = _Judge(*pictures, prompts[index], changes, tolerance, meter, known[index])
        else:
            judge = _GainJudge(*pictures, prompts[index], changes, reader, second, attempts, whole)
        judge.decide(kept_anyway[index])
        boxes = [None if whole else change.box for change in changes]
        entries.append([judge.entry(number, place, box) for place, box in enumerate(boxes)])
        scores_before.append(judge.before)
        scores_after.append(judge.after)
        logger.info("Guard: picture %d, stage %d, kept %d of %d", index, number, len(judge.kept), len(changes))
    encodes = meter.encodes + sum(each.encodes for each in (reader, second) if each is not None)
    return GuardResult(result, entries, scores_before, scores_after, encodes)


def _kept_anyway(keep: object, count: int) -> list[frozenset[int]]:
    """One set of region numbers for each picture."""
    if isinstance(keep, Mapping | str) or not isinstance(keep, Collection):
        raise InputError(f"keep: expected numbers of regions, got {keep!r:.80}.")
    values = list(keep)
    if any(isinstance(value, Collection) and not isinstance(value, str) for value in values):
        if len(values) != count:
            raise InputError(f"keep: {len(values)} lists for {count} pictures; give one for all, or one each.")
        return [_numbers(value) for value in values]
    return [_numbers(values)] * count


def _numbers(values: object) -> frozenset[int]:
    listed = list(values) if isinstance(values, Collection) and not isinstance(values, str) else [values]
    return frozenset(whole_number(value, "keep", 1, 1_000_000) for value in listed)


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
    """Changed pixels: which of those in ``box``. Masks of the whole picture for many regions would fill the memory.

    ``region``, ``core``: where they are to be judged, box and pixels alike: all that was masked, for a thing that came
    changes what is around it; without a mask the changed pixels. ``number``: of the region in the mask, from 1.
    """

    box: Box
    pixels: Tensor
    region: Box
    core: Tensor
    number: int

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
    regions: list[Any] = [] if mask is None else split_regions(mask, join)
    if not regions:
        regions = [None]
    found = []
    for region in regions:
        whole = region is None or region.alone
        pixels = _cut_out(changed if whole else region.cell & changed)
        if pixels is not None:
            core = None if region is None else _cut_out(region.core)
            found.append(_Change(*pixels, *(core or pixels), 1 if region is None else region.number))
    return found


def _cut_out(pixels: Tensor) -> tuple[Box, Tensor] | None:
    box = bounding_box(pixels)
    if box is None:
        return None
    top, left, bottom, right = box
    return box, pixels[top:bottom, left:right].clone()


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
            size = min(self._batch, max(1, PIXELS_AT_ONCE // first[..., 0].numel()))
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
        self._by_hand: set[int] = set()
        self.after = self.before

    def decide(self, keep: Collection[int] = ()) -> None:
        """Leave everything in the result that may stay, and what is to be kept anyway."""
        self._decide()
        self._by_hand = {
            place for place, change in enumerate(self._changes) if change.number in keep and place not in self.kept
        }
        if self._by_hand:
            self.kept = sorted({*self.kept, *self._by_hand})
            (self.after,) = self._meter([self._with(self.kept)], self._prompt)

    def _decide(self) -> None:
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
            reason = "neither score falls" + (" by more than the tolerance" if self._tolerance > 0 else "")
        elif place in self._dropped_together:
            reason = "harmless alone, but together with the other regions an indicator falls"
        else:
            reason = self._complaint(self.alone[place])
        if place in self._by_hand:
            reason = _by_hand(self._complaint(self.alone[place]))
        return GuardEntry(
            stage, region, accepted, self.before, self.alone[place], reason, number=self._changes[place].number
        )

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


def _by_hand(reason: str) -> str:
    return f"kept by hand, though refused: {reason}" if reason else "kept by hand"


class _GainJudge:
    """Decides about the changes of one picture by the rule "gain"; used as ``_Judge``."""

    def __init__(
        self,
        old: Tensor,
        new: Tensor,
        result: Tensor,
        prompt: str,
        changes: Sequence[_Change],
        reader: Reader,
        second: Reader | None,
        attempts: int,
        whole: bool,
    ) -> None:
        self._old, self._new, self._result, self._prompt = old, new, result, prompt
        self._changes, self._reader, self._second, self._attempts = changes, reader, second, attempts
        self._size = (old.shape[0], old.shape[1])
        if whole:
            self._places = [grid_places(self._size, reader.min_side)]
        else:
            self._places = [
                [region_place(change.region, change.core, self._size, reader.min_side)] for change in changes
            ]
        alone = (self._with([place]) for place in range(len(changes)))
        # One call, so that all are measured in the same way.
        self._before, *self._alone = reader.read(chain([old], alone), prompt)
        self._second_before: Reading | None = None
        self._qualities_before = self._crops(old, self._before, range(len(changes)))
        self._judged = [self._judge([place], self._alone[place]) for place in range(len(changes))]
        self.kept = [place for place, judged in enumerate(self._judged) if judged.passes]
        self._dropped: dict[int, str] = {}
        self._by_hand: set[int] = set()
        self.before = self.after = self._before.scores

    def decide(self, keep: Collection[int] = ()) -> None:
        """Leave everything in the result that may stay, and what is to be kept anyway."""
        self._decide()
        self._by_hand = {
            place for place, change in enumerate(self._changes) if change.number in keep and place not in self.kept
        }
        if self._by_hand:
            self.kept = sorted({*self.kept, *self._by_hand})
            (reading,) = self._reader.read([self._with(self.kept)], self._prompt)
            self.after = reading.scores

    def _decide(self) -> None:
        while len(self.kept) > 1:
            (together,) = self._reader.read([self._with(self.kept)], self._prompt)
            judged = self._judge(self.kept, together)
            if judged.passes:
                self.after = together.scores
                return
            worst = max(self.kept, key=lambda place: (self._judged[place].cost, -place))
            self.kept.remove(worst)
            self._dropped[worst] = "; ".join(judged.losses) or "there is no gain"
        if self.kept:
            self.after = self._alone[self.kept[0]].scores
        self._with(self.kept)

    def entry(self, stage: int, place: int, region: Box | None) -> GuardEntry:
        """The report on one change; ``region`` is None for a whole picture."""
        judged = self._judged[place]
        complaint = "; ".join(judged.losses) or f"no gain beyond noise (nearest: {judged.near})"
        accepted = place in self.kept
        if place in self._by_hand:
            dropped = self._dropped.get(place)
            reason = _by_hand(complaint if dropped is None else f"together with other regions {dropped}")
        elif accepted:
            reason = "; ".join((*judged.gains, *self._fallen(self._alone[place])))
        elif place in self._dropped:
            reason = f"good alone, but together with the other regions {self._dropped[place]}"
        else:
            reason = complaint
        return GuardEntry(
            stage,
            region,
            accepted,
            self._before.scores,
            self._alone[place].scores,
            reason,
            number=self._changes[place].number,
            quality=judged.quality,
        )

    def _fallen(self, after: Reading) -> list[str]:
        """Which factors fell though the change is kept, in words."""
        was = self._before.shares
        return [
            f"{THOUGH}{name} falls from {shown(was[name])} to {shown(now)} {OF_ITS_BOUND}"
            for name, now in after.shares.items()
            if now < was.get(name, now) - 0.05
        ]

    def _judge(self, places: Sequence[int], after: Reading) -> Judgement:
        """What these changes together, which are in the result now or were read ``after``, bring and cost."""
        self._with(places)
        crops = self._crops(self._result, after, places)
        pairs = [
            pair
            for place, now in zip(places, crops, strict=True)
            for pair in zip(self._qualities_before[place], now, strict=True)
        ]
        judged = compare(self._before, after, pairs, self._reader.noise, self._attempts)
        if not judged.passes or self._second is None:
            return judged
        if self._second_before is None:
            (self._second_before,) = self._second.read([self._old], self._prompt)
        (seen,) = self._second.read([self._result], self._prompt)
        return replace(judged, losses=opinion(self._second, self._second_before, seen))

    def _crops(self, picture: Tensor, whole: Reading, places: Iterable[int]) -> list[list[float]]:
        """The quality of each place of each change; crops that are the whole picture are read already."""
        found = []
        for number in places:
            qualities = []
            for place in self._places[number]:
                reading = whole if place.whole else self._reader.read([cropped(picture, place)], self._prompt)[0]
                qualities.append(place.quality(reading))
            found.append(qualities)
        return found

    def _with(self, places: Sequence[int]) -> Tensor:
        """The result ``(H, W, C)`` with these changes and no others."""
        self._result.copy_(self._old)
        for place in places:
            self._changes[place].apply(self._new, self._result)
        return self._result
