"""The guard's rule "gain": a change stays if something gains by more than noise, and nothing loses by more than it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..report.words import OF_ITS_BOUND, shares_of, shown
from ..tensors import as_images
from .crops import Box, CropOptions, cut, plan_crop

logger = logging.getLogger(__name__)
#: (PS, AS), both in [0, 1], higher is better.
Scores = tuple[float, float]
#: Maps are read at this size, whatever the picture's: they have some dozens of patches a side.
MAP = (64, 64)
#: A picture beyond 2048² is assessed by itself: then the candidate is not copied, which is 200 MB at 4096².
PIXELS_AT_ONCE = 1 << 22
#: The share of exchanges of good for equally good whose rise noise figures leave above them.
_SHARE = 0.05
#: A stage that changes all of the picture is looked at in at most so many crops a side.
_MOST_CROPS = 3
#: A region of at least this quality is good: half of the good miniature pictures' own regions are below 0.87, a quarter
#: below 0.74. As with a phrase that is matched, what was better than good may become good, a thing on an empty sky say.
_GOOD = 0.8
#: A matched phrase that falls by so many times its noise was painted over, though something like it is elsewhere.
_FAR = 3.0
#: The same picture measures a little differently in another batch (float32 sums in another order): no change at all.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Noise:
    """How far each indicator rises where good content is exchanged for equally good: in 19 of 20 cases no further.

    One-sided on purpose: that it may *fall* far, because a pasted edge is a defect, is no reason to ask more of a gain.

    Attributes:
        region: of the quality of a region, the mean of the quality map there, in [0, 1].
        perceptual: of the logarithm of the unclamped perceptual score.
        phrase: of a phrase's unclamped ratio q.
    """

    region: float = 0.2
    perceptual: float = 0.2
    phrase: float = 0.2

    def __post_init__(self) -> None:
        for name in ("region", "perceptual", "phrase"):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not (math.isfinite(value) and value >= 0)
            ):
                raise InputError(f"noise: {name} has to be a number of 0 or more, got {value!r}.")

    def corrected(self, tests: int) -> Noise:
        """For so many tests, any one of which may show a gain by chance: the tail is taken for exponential."""
        factor = 1.0 + math.log(max(tests, 1)) / -math.log(_SHARE)
        return Noise(self.region * factor, self.perceptual * factor, self.phrase * factor)


def noise_of(quality: Any) -> Noise:
    """The noise that was measured for a quality model, with its calibration; the defaults without one."""
    found = getattr(getattr(quality, "calibration", None), "noise", None)
    if found is None:
        return Noise()
    return Noise(float(found.region), float(found.perceptual), float(found.phrase))


@dataclass(frozen=True)
class Reading:
    """What a quality model says of one whole picture."""

    scores: Scores
    perceptual: float
    """Logarithm of the unclamped PS."""
    phrases: tuple[float, ...]
    """q of each phrase, unclamped."""
    names: tuple[str, ...]
    """The phrases in words."""
    shares: dict[str, float]
    """What share of its bound each perceptual factor reaches, in [0, 1]."""
    quality_map: Tensor
    """(h, w) in [0, 1], small; high is good."""


class Reader:
    """Reads pictures and crops with one quality model, and counts them."""

    def __init__(self, quality: Any, assess: Callable[..., Any] | None, batch: int, noise: Noise | None) -> None:
        if assess is None:
            from ..alignment import assess as own  # late: it needs the text side

            assess = partial(own, map_size=MAP)
        self._quality, self._assess, self._batch = quality, assess, max(1, batch)
        self.noise = noise_of(quality) if noise is None else noise
        self.min_side = min(getattr(quality, "resolution", (224, 224)))
        self.encodes = 0

    def read(self, pictures: Iterable[Tensor], prompt: str) -> list[Reading]:
        """One reading of each picture ``(H, W, C)``; each may be gone when the next one is asked for."""
        readings: list[Reading] = []
        remaining = iter(pictures)
        for first in remaining:
            size = min(self._batch, max(1, PIXELS_AT_ONCE // first[..., 0].numel()))
            part = first.unsqueeze(0)
            if size > 1:
                part = torch.stack([first.clone(), *(picture.clone() for picture in islice(remaining, size - 1))])
            readings += self._read(part, prompt)
        return readings

    def _read(self, part: Tensor, prompt: str) -> list[Reading]:
        count = part.shape[0]
        self.encodes += count
        found = self._assess(self._quality, as_images(part), [prompt] * count)
        perceptual, alignment = found.perceptual, found.alignment
        ps, as_ = perceptual.score.tolist(), alignment.score.tolist()
        logged = [math.log(max(score, 1e-12)) for score in ps]
        if getattr(perceptual, "ratios", None):
            logged = perceptual.log_ratio.tolist()
        return [
            Reading(
                scores=(ps[index], as_[index]),
                perceptual=logged[index],
                phrases=tuple(float(getattr(phrase, "ratio", 1.0)) for phrase in alignment.phrases[index]),
                names=tuple(phrase.phrase.text for phrase in alignment.phrases[index]),
                shares=shares_of(perceptual, index),
                quality_map=perceptual.quality_map[index].detach().float().cpu(),
            )
            for index in range(count)
        ]


@dataclass(frozen=True)
class Place:
    """Where the quality of a region is read: a crop with its surroundings, and which of it is the region."""

    box: Box
    weight: Tensor
    """(h, w) float32 of the crop's size, 1 in the region."""
    whole: bool
    """Whether the crop is the whole picture."""

    def quality(self, reading: Reading) -> float:
        """The mean of the quality map over the region, in [0, 1]."""
        values = reading.quality_map
        share = F.interpolate(self.weight[None, None], size=values.shape, mode="area")[0, 0]
        total = float(share.sum())
        return float((values * share).sum()) / total if total > 0 else float(values.mean())


def region_place(box: Box, pixels: Tensor, picture: tuple[int, int], min_side: int) -> Place:
    """The place of a region: ``pixels`` ``(h, w)`` bool of those in ``box`` that belong to it.

    The crop has the context that stage 1 gives it and is not enlarged: it takes in more of the picture until the
    quality model sees it at its own resolution.
    """
    plan = plan_crop(box, picture, CropOptions(), size_multiple=1, min_side=min_side)
    top, left, bottom, right = plan.box
    weight = torch.zeros(bottom - top, right - left)
    weight[box[0] - top : box[2] - top, box[1] - left : box[3] - left] = pixels.float().cpu()
    return Place(plan.box, weight, plan.size == picture)


def grid_places(picture: tuple[int, int], min_side: int) -> list[Place]:
    """Crops that together cover the picture, each as large as the quality model's own resolution or larger."""
    spans = []
    for side in picture:
        count = min(_MOST_CROPS, max(1, side // max(min_side, 1)))
        edges = [round(side * part / count) for part in range(count + 1)]
        spans.append(list(pairwise(edges)))
    places = []
    for top, bottom in spans[0]:
        for left, right in spans[1]:
            whole = (bottom - top, right - left) == picture
            places.append(Place((top, left, bottom, right), torch.ones(bottom - top, right - left), whole))
    return places


@dataclass(frozen=True)
class Judgement:
    """What one change brings and costs."""

    gains: tuple[str, ...]
    losses: tuple[str, ...]
    """Both in plain words, with figures."""
    near: str
    """What comes nearest to a gain, in words."""
    cost: float
    """The largest fall in units of its noise: what is dropped first if changes do not go together."""
    quality: tuple[float, float] | None
    """Quality of the region before and after."""

    @property
    def passes(self) -> bool:
        """Kept: a gain, and no loss."""
        return bool(self.gains) and not self.losses


@dataclass(frozen=True)
class _Rise:
    name: str
    was: float
    now: float
    limit: float
    allowed: bool = True
    """Whether it speaks for the change, given what else happens."""
    of_bound: bool = False
    """Whether the figures are shares of a bound."""

    @property
    def counts(self) -> bool:
        """Whether it is a gain."""
        return self.allowed and self.share > 1.0

    @property
    def share(self) -> float:
        """Of what it has to exceed; what is not a number does not rise."""
        share = (self.now - self.was - ROUNDING) / max(self.limit, ROUNDING)
        return share if math.isfinite(share) else -math.inf

    def __str__(self) -> str:
        return f"{self.name} {_figure(self.was, self.of_bound)} → {_figure(self.now, self.of_bound)}{self._unit}"

    @property
    def _unit(self) -> str:
        return f" {OF_ITS_BOUND}" if self.of_bound else ""


def _figure(value: float, of_bound: bool) -> str:
    return shown(value) if of_bound else f"{value:.2f}"


def compare(
    before: Reading,
    after: Reading,
    qualities: Sequence[tuple[float, float]],
    noise: Noise,
    tests: int = 1,
    *,
    whose: str = "",
) -> Judgement:
    """Judge a change by the readings of the whole picture before and after, and by the quality of its regions.

    A *loss*: a phrase that is matched falls below 1 − noise, or by three times its noise; one that is not matched falls
    by more than noise; the quality of a region does, to what is not good any more; the perceptual score does, where no
    region is looked at, or else by three times its noise to less than good. A *gain*: an unmatched phrase rises by more
    than noise, or the quality of the regions does and the perceptual score does not fall: the first alone rises with
    good content of any kind, where a defect was. Figures that are no numbers lose.

    Args:
        before, after: of the whole picture.
        qualities: (before, after) of each place that is looked at; their mean may gain, each may lose.
        noise: see ``Noise``.
        tests: how often chance may show a gain beside the indicators themselves: attempts.
        whose: said in front of losses: of a second opinion.
    """
    open_phrases = [index for index, value in enumerate(before.phrases) if value < 1.0]
    gain = noise.corrected(max(1, tests) * (2 + len(open_phrases)))
    loss = noise.corrected(max(1, len(qualities)))
    losses: list[str] = []
    falls: list[float] = []
    rises: list[_Rise] = []

    def fall(name: str, was: float, now: float, floor: float, limit: float, of_bound: bool = False) -> None:
        # Written so that what is not a number is a loss.
        if not now >= floor - ROUNDING:
            figures = f"{_figure(was, of_bound)} to {_figure(now, of_bound)}{f' {OF_ITS_BOUND}' if of_bound else ''}"
            losses.append(f"{whose}{name} falls from {figures}")
        falls.append((was - now) / max(limit, ROUNDING) if math.isfinite(now) else math.inf)

    for index, (was, now) in enumerate(zip(before.phrases, after.phrases, strict=True)):
        name = f"'{before.names[index]}'"
        if index in open_phrases:
            rises.append(_Rise(name, was, now, gain.phrase, of_bound=True))
            fall(name, was, now, was - noise.phrase, noise.phrase, of_bound=True)
        else:
            floor = max(1.0 - noise.phrase, was - _FAR * noise.phrase)
            fall(name, was, now, floor, noise.phrase, of_bound=True)
    score = _Rise("perceptual score (logarithm)", before.perceptual, after.perceptual, gain.perceptual)
    if qualities:
        was, now = (sum(pair[side] for pair in qualities) / len(qualities) for side in (0, 1))
        name = "quality of the region" if len(qualities) == 1 else "quality of the crops"
        rises.append(_Rise(name, was, now, gain.region, score.now >= score.was - noise.perceptual - ROUNDING))
        for was, now in qualities:
            fall("quality of the region", was, now, min(was, _GOOD) - loss.region, loss.region)
        # A crop may look no worse by itself, and stand out in the picture.
        fall(score.name, score.was, score.now, min(score.was, 0.0) - _FAR * noise.perceptual, noise.perceptual)
    else:  # no region is looked at, as in a second opinion
        rises.append(score)
        fall(score.name, score.was, score.now, score.was - noise.perceptual, noise.perceptual)
    nearest = max(rises, key=lambda rise: rise.share)
    return Judgement(
        tuple(str(rise) for rise in rises if rise.counts),
        tuple(losses),
        f"{nearest}, noise {nearest.limit:.2f}" + ("" if nearest.allowed else f", while the {score} falls"),
        max(falls, default=0.0),
        qualities[0] if len(qualities) == 1 else None,
    )


def opinion(reader: Reader, before: Reading, after: Reading) -> tuple[str, ...]:
    """What falls in the eyes of a second quality model; nothing has to gain there."""
    return compare(before, after, (), reader.noise, whose="second opinion: ").losses


def cropped(picture: Tensor, place: Place) -> Tensor:
    """The crop ``(h, w, C)`` of a picture ``(H, W, C)``."""
    return cut(picture.unsqueeze(0), place.box)[0]
