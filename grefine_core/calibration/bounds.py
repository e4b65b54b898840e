"""From what was seen to bounds, thresholds and noise, and to how far all of it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..alignment.calibrate import MODIFIERS, SMALLEST_BOUND, best_bound
from ..alignment.calibration import (
    BARS,
    EVIDENCE,
    SCORINGS,
    Bounds,
    Calibration,
    Figure,
    Gallery,
    LocalBounds,
    Noise,
    Scoring,
)
from ..clip.embeddings import FACTORS, PerceptualBounds, cask
from ..clip.quality_model import PUBLISHED, WORDS
from ..perceptual import lowest
from .damage import SIZES
from .figures import Values, auc_by_picture, log_odds, per_check, share_of, sigmoid, smoothed_quantile
from .kinds import OUTSIDE, nearest
from .measuring import OTHER, Copy, Observed, Phrases, local
from .notes import notes_of

FAILING = 0.05
"""Share of good pictures that may fail by one of the two kinds of quality; of alignment, by its nouns."""
MISDESCRIBED = MODIFIERS * FAILING
"""Share of good pictures that may fail by their modifiers alone, on top."""
COUNTS = (1, 2, 3, 5, 8, 13, 21, 40)
USUAL = 5
"""Phrases of a prompt where their number is not known."""
SPECK = 0.005
"""Share of a picture: what is less is no region, and does not count for the threshold of the map."""
_ENLARGED = 8
_ENOUGH = 6
_SHRINK = 8.0
_UNIT_CHECKS = len(FACTORS) + 1
_SHOWN_PATCHES = 48


@dataclass(frozen=True)
class _Spread:
    """Values of good pictures, each relative to its kind: few pictures of a kind share the tail of all."""

    by_picture: tuple[tuple[float, ...], ...]
    kinds: tuple[str, ...]
    offsets: Mapping[str, float]
    known: dict[tuple[float, str | None, int | None], float] = field(default_factory=dict, compare=False)
    """Bounds that were asked for: those of what is outside are the lowest of the kinds' own."""

    @classmethod
    def of(cls, values: Sequence[Sequence[float]], kinds: Sequence[str]) -> _Spread:
        every = np.array([value for each in values for value in each], dtype=np.float64)
        middle = float(np.median(every)) if len(every) else 0.0
        offsets = {}
        for kind in sorted(set(kinds)):
            own = [value for each, told in zip(values, kinds, strict=True) if told == kind for value in each]
            pictures = sum(told == kind and bool(each) for each, told in zip(values, kinds, strict=True))
            if kind and pictures >= _ENOUGH:
                offsets[kind] = (float(np.median(own)) - middle) * pictures / (pictures + _SHRINK)
        return cls(tuple(tuple(each) for each in values), tuple(kinds), offsets)

    @property
    def empty(self) -> bool:
        return not any(self.by_picture)

    def residuals(self, without: int | None = None) -> Values:
        """All values less the offsets of their kinds; those of one picture may be left out."""
        return np.array(
            [
                value - self.offsets.get(kind, 0.0)
                for number, (each, kind) in enumerate(zip(self.by_picture, self.kinds, strict=True))
                if number != without
                for value in each
            ]
        )

    def bound(self, share: float, kind: str | None = None, without: int | None = None) -> float:
        """The value that ``share`` of good ones lie below: of a kind, or (None) of any, which is the loosest of both
        ways to see it."""
        key = (share, kind if kind in self.offsets else None, without)
        if key not in self.known:
            self.known[key] = self._bound(*key)
        return self.known[key]

    def _bound(self, share: float, kind: str | None, without: int | None) -> float:
        if kind is not None:
            return smoothed_quantile(self.residuals(without), share) + self.offsets[kind]
        raw = [value for number, each in enumerate(self.by_picture) if number != without for value in each]
        return smoothed_quantile(raw, share)

    def loosest(self, share: float) -> float:
        """The lowest bound of any kind."""
        return min([self.bound(share), *(self.bound(share, kind) for kind in self.offsets)])


def build(seen: Observed, source: str | None = None, *, made_on: str | None = None, key: str = "") -> Calibration:
    """The calibration that follows from an observation.

    Args:
        seen: the observation.
        source: which pairs of PQ-Map to use, see :func:`chosen_source`; None for those that the model has.
        made_on: date for the file; today without it.
        key: of the files that it was measured with.

    Returns:
        Bounds at which 5 % of good pictures fail, 2 % more by their modifiers, by kind of picture and number of
        phrases; thresholds, noise, figures with intervals, and notes. What is below its bar opens no gate: its bounds
        let everything pass.
    """
    used = source or seen.source
    perceptual = _Perceptual.of(seen, used)
    trust = _trust(seen, used, perceptual)
    able = {name: name not in trust or trust[name].low >= bar for name, bar in BARS.items()}
    way = _verdicts(seen)
    plain = {name: _Alignment.of(seen.phrases[name], seen.kinds) for name in SCORINGS}
    alignment = {name: _Alignment.of(each, seen.kinds, apart=True) for name, each in seen.phrases.items()}
    places = EVIDENCE is not None and way != "contrast"
    trust |= _leave_one_out(seen, used, perceptual, alignment[way])

    def calibration(kind: str | None) -> Calibration:
        def tables(made: Mapping[Scoring, _Alignment]) -> dict[Scoring, dict[int, Bounds]]:
            return {scoring: table for scoring, each in made.items() if (table := each.table(kind, able))}

        usual, defaults = tables(plain), Calibration().bounds
        by_count = tables({scoring: alignment[local(scoring) if places else scoring] for scoring in SCORINGS})
        own: dict[str, Bounds] = {scoring: by_count[scoring][USUAL] for scoring in SCORINGS if scoring in by_count}
        outside = kind == OUTSIDE
        return Calibration(
            bounds={scoring: usual[scoring][USUAL] if scoring in usual else defaults[scoring] for scoring in SCORINGS},
            local=LocalBounds(EVIDENCE, own) if EVIDENCE is not None and places and own else None,
            by_count=by_count,
            perceptual=perceptual.bounds(kind),
            map_threshold=perceptual.threshold(kind) if able["map"] and not outside else 1.0,
            perceptual_bar=1.0 if able["perceptual"] and not outside else 0.0,
        )

    kinds = {kind: calibration(kind) for kind in (*sorted(set(seen.kinds) - {""}), OUTSIDE)}
    made = replace(
        calibration(None),
        quantile=FAILING,
        pictures=len(seen.kinds),
        phrases=sum(len(each.heads) for each in seen.phrases[way]),
        model=seen.model,
        made_on=made_on or date.today().isoformat(),
        noise=_noise(seen, used, perceptual, alignment[way]),
        kinds=kinds,
        gallery=_gallery(seen),
        trust=trust,
        embeddings=used,
        key=key,
    )
    return replace(made, notes=notes_of(made, seen.token_rows, seen.activation, seen.source))


def _verdicts(seen: Observed) -> str:
    """The way of scoring that verdicts follow: with the places of phrases, where these were looked at."""
    return local("contrast") if local("contrast") in seen.phrases else "contrast"


def _gallery(seen: Observed) -> Gallery | None:
    """The pictures, and how near nearly all of them come to another one; damaged copies as well: damage alone puts no
    picture outside."""
    if len(seen.classes) < 3:
        return None
    near = nearest(seen.classes, seen.classes, own=True).tolist()
    for copy in seen.damaged:
        cosines = seen.classes @ copy.classes
        cosines[copy.picture] = -1.0
        near.append(float(cosines.max()))
    return Gallery.of(seen.classes, smoothed_quantile(near, 0.02))


def chosen_source(seen: Observed) -> str:
    """Which pairs of PQ-Map to use: those learned for the model, unless they belong to another one or tell damage from
    good pictures no better than chance; then its own words, if these do better."""
    if WORDS not in seen.odds or seen.source == WORDS or seen.source not in seen.odds:
        return WORDS if WORDS in seen.odds and seen.source not in seen.odds else seen.source
    if seen.token_rows.belonging == "other" and seen.source == PUBLISHED:
        return WORDS
    learned, words = (_auc(seen, source) for source in (seen.source, WORDS))
    if learned is None or words is None or learned.low >= BARS["perceptual"]:
        return seen.source
    return WORDS if words.low > learned.low else seen.source


@dataclass(frozen=True)
class _Perceptual:
    """PQ-Map of good pictures."""

    spreads: Mapping[str, _Spread]
    """Factor -> its log-odds at the class token; "map": log-odds of the map's statistic; "region": of PQ where a region
    that is no speck is worst."""
    patches: Mapping[str, float]

    @classmethod
    def of(cls, seen: Observed, source: str) -> _Perceptual:
        odds = seen.odds[source].double()
        means = torch.sigmoid(odds[:, :, 1:]).mean(dim=(0, 2))
        patches = {name: _bound(float(mean)) for name, mean in zip(FACTORS, means, strict=True)}
        small = quality_of(odds.transpose(0, 1), patches)
        spreads = {
            name: _Spread.of([[float(value)] for value in odds[:, index, 0]], seen.kinds)
            for index, name in enumerate(FACTORS)
        }
        spreads["map"] = _Spread.of([[log_odds(float(value))] for value in lowest(small)], seen.kinds)
        worst = _worst(small, seen.grid)
        spreads["region"] = _Spread.of([[log_odds(float(value))] for value in worst], seen.kinds)
        return cls(spreads, patches)

    def bounds(self, kind: str | None, without: int | None = None) -> PerceptualBounds:
        share = per_check(FAILING, _UNIT_CHECKS)

        def bound(name: str) -> float:
            spread = self.spreads[name]
            value = spread.loosest(share) if kind == OUTSIDE else spread.bound(share, kind, without)
            return _bound(sigmoid(value))

        return PerceptualBounds({name: bound(name) for name in FACTORS}, self.patches, bound("map"))

    def threshold(self, kind: str | None, without: int | None = None) -> float:
        """Of the defect map: all but few good pictures stay below it, but for specks (``SPECK``)."""
        return min(1.0, max(0.0, 1.0 - sigmoid(self.spreads["region"].bound(FAILING, kind, without))))


def _worst(small: Tensor, grid: tuple[int, int]) -> Tensor:
    """Of maps (P, N) as they are enlarged, the quality (P,) that all but ``SPECK`` of the picture reaches."""
    large = F.interpolate(small.unflatten(-1, grid).unsqueeze(1), scale_factor=_ENLARGED, mode="bicubic").flatten(1)
    return large.kthvalue(max(1, round(SPECK * large.shape[-1])), dim=-1).values.clamp(0.0, 1.0)


def quality_of(odds: Tensor, patches: Mapping[str, float]) -> Tensor:
    """PQ (…, N) at every patch from the factors' log-odds (4, …, 1 + N)."""
    return cask(torch.sigmoid(odds[..., 1:]), patches)


def _bound(value: float) -> float:
    return min(1.0, max(SMALLEST_BOUND, value))


@dataclass(frozen=True)
class _Alignment:
    """Phrases of good pictures, by one way of scoring."""

    heads: _Spread
    wholes: _Spread
    best: Mapping[str, float]
    """Log-odds that tell best what is there from what is not, where both are known: bounds are no higher."""
    apart: bool = False
    """Whether ``wholes`` are modifiers by themselves, as the verdicts judge them (m); else as."""

    @classmethod
    def of(cls, phrases: Sequence[Phrases], kinds: Sequence[str], apart: bool = False) -> _Alignment:
        right = [each.described if apart else each.wholes for each in phrases]
        wrong = [each.misdescribed if apart else each.wrong for each in phrases]
        pairs = {
            "noun": ([value for each in phrases for value, _ in each.absent], [v for p in phrases for v in p.heads]),
            "phrase": ([value for each in wrong for value in each], [value for each in right for value in each]),
        }
        best = {name: _best(*sides) for name, sides in pairs.items() if all(sides)}
        return cls(
            _Spread.of([each.heads for each in phrases], kinds),
            _Spread.of(right, kinds),
            best,
            apart,
        )

    def bound(self, which: str, count: int, kind: str | None, without: int | None = None) -> float:
        """β_n ("noun") or β_p ("phrase"), as log-odds, of prompts with so many phrases, or so many with modifiers."""
        spread, failing = (self.heads, FAILING) if which == "noun" else (self.wholes, MISDESCRIBED)
        share = per_check(failing, count)
        value = spread.loosest(share) if kind == OUTSIDE else spread.bound(share, kind, without)
        return min(value, self.best.get(which, value))

    def table(self, kind: str | None, able: Mapping[str, bool]) -> dict[int, Bounds]:
        if self.heads.empty:
            return {}
        found = {}
        for count in COUNTS:
            noun = _bound(sigmoid(self.bound("noun", count, kind))) if able["nouns"] else SMALLEST_BOUND
            phrase = SMALLEST_BOUND
            if able["modifiers"] and not self.wholes.empty:
                phrase = _bound(sigmoid(self.bound("phrase", count, kind)))
                if not self.apart and able["nouns"]:
                    # A bare noun has as = an: a bound above that of nouns would call it there, and wrongly described.
                    phrase = min(phrase, noun)
            found[count] = Bounds(noun, phrase)
        return found


def _best(unmatched: Sequence[float], matched: Sequence[float]) -> float:
    bound, _ = best_bound([sigmoid(value) for value in unmatched], [sigmoid(value) for value in matched])
    return log_odds(bound)


# How far it can be trusted


def _log_ratios(seen: Observed, source: str, perceptual: _Perceptual) -> tuple[Values, Values]:
    """Sum of log(s / β), of the factors and the map's statistic: of good pictures (P,), of damaged copies (D,)."""
    bounds = {kind: perceptual.bounds(kind) for kind in set(seen.kinds)}
    good = [_log_ratio(odds, bounds[kind]) for odds, kind in zip(seen.odds[source], seen.kinds, strict=True)]
    bad = [_log_ratio(copy.odds[source], bounds[seen.kinds[copy.picture]]) for copy in seen.damaged]
    return np.array(good), np.array(bad)


def _log_ratio(odds: Tensor, bounds: PerceptualBounds) -> float:
    total = 0.0
    for index, name in enumerate(FACTORS):
        total += float(F.logsigmoid(odds[index, 0].double())) - math.log(bounds.score[name])
    statistic = float(lowest(quality_of(odds.double().unsqueeze(1), bounds.patches))[0])
    return total + math.log(max(statistic, 1e-12)) - math.log(bounds.map or 1.0)


def _auc(seen: Observed, source: str) -> Figure | None:
    """Good pictures against damaged copies of them."""
    if source not in seen.odds:
        return None
    good, bad = _log_ratios(seen, source, _Perceptual.of(seen, source))
    return auc_by_picture(*_sides(seen, good, bad, _every))


def _every(_: Copy) -> bool:
    return True


def _is_of(copy: Copy, factor: str | None = None, size: int | None = None) -> bool:
    return copy.factor == factor or copy.size == size


def _sides(
    seen: Observed, good: Values, bad: Values, chosen: Callable[[Copy], bool]
) -> tuple[list[list[float]], list[list[float]]]:
    """Scores by picture: its own, and those of its damaged copies that are chosen."""
    damaged: list[list[float]] = [[] for _ in good]
    for copy, value in zip(seen.damaged, bad, strict=True):
        if chosen(copy):
            damaged[copy.picture].append(float(value))
    return [[float(value)] for value in good], damaged


def _trust(seen: Observed, source: str, perceptual: _Perceptual) -> dict[str, Figure]:
    good, bad = _log_ratios(seen, source, perceptual)
    groups: dict[str, Callable[[Copy], bool]] = {
        "perceptual": _every,
        **{f"{name} damage": partial(_is_of, factor=name) for name in FACTORS},
        **{f"damage at {size} px": partial(_is_of, size=size) for size in SIZES},
        "local damage": lambda copy: copy.local and copy.factor != "overall",
        "marked pictures": lambda copy: copy.factor == "overall",
    }
    found = {name: auc_by_picture(*_sides(seen, good, bad, chosen)) for name, chosen in groups.items()}
    for other in seen.odds:
        found[f"embeddings {other}"] = _auc(seen, other)
    found["map"] = _map_auc(seen, source, perceptual)
    phrases = seen.phrases[_verdicts(seen)]
    heads = [list(each.heads) for each in phrases]
    absent = {
        "nouns": [[value for value, _ in each.absent] for each in phrases],
        "unrelated nouns": [[value for value, related in each.absent if not related] for each in phrases],
        "related nouns": [[value for value, related in each.absent if related] for each in phrases],
    }
    found |= {name: auc_by_picture(heads, values) for name, values in absent.items()}
    found["modifiers"] = auc_by_picture(
        [list(each.described) for each in phrases], [list(each.misdescribed) for each in phrases]
    )
    told = [kind == true for kind, true in zip(seen.kinds, seen.true_kinds, strict=True) if true]
    found["kinds told"] = share_of(sum(told), len(told))
    return {name: figure for name, figure in found.items() if figure is not None}


def _map_auc(seen: Observed, source: str, perceptual: _Perceptual) -> Figure | None:
    """Patches of locally damaged copies: those outside of the damage against those inside, over all pictures."""
    inside: list[list[float]] = [[] for _ in seen.kinds]
    outside: list[list[float]] = [[] for _ in seen.kinds]
    for copy in seen.damaged:
        if not copy.local or bool(copy.patches.all()) or not bool(copy.patches.any()):
            continue
        quality = quality_of(copy.odds[source].double().unsqueeze(1), perceptual.patches)[0]
        for side, mask in ((inside, copy.patches), (outside, ~copy.patches)):
            values = quality[mask]
            step = max(1, len(values) // _SHOWN_PATCHES)
            side[copy.picture] += values[::step].tolist()
    return auc_by_picture(outside, inside)


def _leave_one_out(seen: Observed, source: str, perceptual: _Perceptual, alignment: _Alignment) -> dict[str, Figure]:
    """How many good pictures pass bounds that were made without them, and what of the bad is found at these."""
    passed, empty, nouns, modifiers, caught, found, wrong = ([] for _ in range(7))
    damaged: dict[int, list[Copy]] = {}
    for copy in seen.damaged:
        damaged.setdefault(copy.picture, []).append(copy)
    for index, kind in enumerate(seen.kinds):
        if len(seen.kinds) < 3:
            break
        bounds, threshold = perceptual.bounds(kind, index), perceptual.threshold(kind, index)
        own = seen.odds[source][index]
        passed.append(_passes(own, bounds))
        worst = _worst(quality_of(own.double().unsqueeze(1), bounds.patches), seen.grid)
        empty.append(float(1 - worst[0]) <= threshold)
        caught += [not _passes(copy.odds[source], bounds) for copy in damaged.get(index, ())]
        phrases = seen.phrases[_verdicts(seen)][index]
        count = len(phrases.heads)
        if count:
            noun = alignment.bound("noun", _counted(count), kind, index)
            nouns.append(all(value >= noun for value in phrases.heads))
            found += [(value < noun, related) for value, related in phrases.absent]
        if phrases.described:
            phrase = alignment.bound("phrase", _counted(len(phrases.described)), kind, index)
            modifiers.append(all(value >= phrase for value in phrases.described))
            wrong += [value < phrase for value in phrases.misdescribed]
    shares: dict[str, Iterable[bool]] = {
        "good pictures that pass": passed,
        "good pictures with an empty map": empty,
        "damaged pictures found": caught,
        "good pictures with all nouns found": nouns,
        "good pictures with all modifiers found": modifiers,
        "absent unrelated nouns found": [hit for hit, related in found if not related],
        "absent related nouns found": [hit for hit, related in found if related],
        "wrong modifiers found": wrong,
    }
    figures = {name: share_of(sum(hits), len(list(hits))) for name, hits in shares.items()}
    return {name: figure for name, figure in figures.items() if figure is not None}


def _counted(count: int) -> int:
    return min((each for each in COUNTS if each >= count), default=COUNTS[-1])


def _passes(odds: Tensor, bounds: PerceptualBounds) -> bool:
    scores = torch.sigmoid(odds[:, 0].double())
    if any(float(score) < bounds.score[name] for name, score in zip(FACTORS, scores, strict=True)):
        return False
    statistic = float(lowest(quality_of(odds.double().unsqueeze(1), bounds.patches))[0])
    return bounds.map is None or statistic >= bounds.map


def _noise(seen: Observed, source: str, perceptual: _Perceptual, alignment: _Alignment) -> Noise | None:
    """How far each indicator rises when good content is exchanged for as good, at the 95th percentile of its rises."""
    if len(seen.exchanged) < 3:
        return None
    rises: dict[str, list[float]] = {"region": [], "perceptual": [], "phrase": []}
    for copy in seen.exchanged:
        kind = seen.kinds[copy.picture]
        bounds = perceptual.bounds(kind)
        before, after = seen.odds[source][copy.picture], copy.odds[source]
        rises["perceptual"].append(_log_ratio(after, bounds) - _log_ratio(before, bounds))
        region = [
            float(quality_of(odds.double().unsqueeze(1), bounds.patches)[0][copy.patches].mean())
            for odds in (before, after)
        ]
        rises["region"].append(region[1] - region[0])
    if not alignment.heads.empty:
        for (before_, after_), copy in zip(seen.shifted[_verdicts(seen)], seen.exchanged, strict=True):
            if copy.name == OTHER:
                continue  # where something of another picture came in, more may be there than before
            kind = seen.kinds[copy.picture]
            sides = [
                (
                    "noun",
                    [value for value, _ in before_.absent] + list(before_.heads),
                    [value for value, _ in after_.absent] + list(after_.heads),
                )
            ]
            if not alignment.wholes.empty:
                fitting = [each.misdescribed + each.described for each in (before_, after_)]
                sides.append(("phrase", list(fitting[0]), list(fitting[1])))
            for which, olds, news in sides:
                bound = sigmoid(alignment.bound(which, USUAL, kind))
                pairs = [(sigmoid(old), sigmoid(new)) for old, new in zip(olds, news, strict=True)]
                # Of what is called missing, or wrongly described: nothing else can be gained.
                rises["phrase"] += [(new - old) / bound for old, new in pairs if old < bound]
    return Noise(
        **{
            name: max(0.0, smoothed_quantile(values, 0.95)) if len(values) > 2 else 0.0
            for name, values in rises.items()
        }
    )


__all__ = ["build", "chosen_source"]
