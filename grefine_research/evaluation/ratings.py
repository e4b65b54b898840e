"""Indicators against human ratings: the paper's Tables 6 and 7, and the same for every generator and every split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grefine_core.errors import InputError

from ..datasets import Dataset, Example
from . import paper
from .correlation import Correlation, correlate
from .indicators.protocol import Context, Kind, Spec
from .scoring import Failure, Item, Scored, score_items
from .statistics import SEED

USUAL: dict[Kind, tuple[str, ...]] = {"perceptual": ("perception", "mos"), "alignment": ("alignment", "mos")}
"""Ratings that an indicator is compared with: the first that the data set has."""
ALL, GROUP, SPLIT = "all", "group", "split"


@dataclass(frozen=True)
class Line:
    """One indicator over one part of the pictures."""

    spec: Spec
    rating: str
    part: str
    """``ALL``, ``GROUP`` or ``SPLIT``."""
    name: str
    """Of the group or the split; "" for all."""
    found: Correlation
    paper_srocc: float | None = None
    paper_plcc: float | None = None


@dataclass
class RatingResults:
    """What came of it."""

    dataset: Dataset
    scored: list[Scored]
    lines: list[Line]
    ratings: dict[str, str | None]
    """Indicator -> the rating it was compared with, None where the data set has none."""
    database: str = ""
    failures: list[Failure] = field(default_factory=list)


def rating_for(spec: Spec, dataset: Dataset, chosen: Mapping[Kind, str | None]) -> str | None:
    """The rating that an indicator is compared with.

    Raises:
        InputError: one was named that the data set does not have.
    """
    if spec.target is not None:
        return spec.target if spec.target in dataset.scales else None
    named = chosen.get(spec.kind)
    if named is not None:
        if named not in dataset.scales:
            raise InputError(f"{dataset.name}: has no ratings {named!r}; it has {', '.join(dataset.scales) or 'none'}.")
        return named
    return next((name for name in USUAL[spec.kind] if name in dataset.scales), None)


def evaluate_indicators(
    dataset: Dataset,
    specs: Sequence[Spec],
    context: Context,
    records: Path,
    *,
    chosen: Mapping[Kind, str | None] | None = None,
    database: str = "",
    resamples: int = 1000,
    seed: int = SEED,
    resume: bool = True,
) -> RatingResults:
    """Score every picture with every indicator and correlate the scores with the ratings.

    Args:
        dataset: pictures with ratings.
        specs: the indicators.
        context: what they are loaded with.
        records: folder of the records, from which a run that was ended goes on.
        chosen: kind -> rating, where it is not to be the usual one.
        database: the paper's name of the data set, to stand its figures beside ours; "" if it has none.
        resamples: of every bootstrap.
        seed: of every bootstrap.
        resume: False forgets earlier records.

    Raises:
        InputError: no ratings at all, or not those that were named.
        GRefineError: our own quality model cannot be loaded.
    """
    if not dataset.scales:
        raise InputError(f"{dataset.name}: has no ratings; indicators cannot be compared with anything.")
    wanted = dict(chosen or {})
    ratings = {spec.name: rating_for(spec, dataset, wanted) for spec in specs}
    items = [Item(example.key, example.image, example.prompt) for example in dataset.examples]
    result = RatingResults(dataset, [], [], ratings, database)
    for spec in specs:
        rating = ratings[spec.name]
        if rating is None:
            scored = Scored(spec, obstacle="the data set has no rating that it could be compared with")
        else:
            scored = score_items(spec, items, context, records / f"{spec.name}.jsonl", resume=resume)
        result.scored.append(scored)
        result.failures += scored.failures
        if rating is not None and scored.obstacle is None:
            for part, name, examples in _parts(dataset):
                found = _correlation(scored, examples, rating, resamples, seed)
                figures = paper_figures(spec, database) if part == ALL else (None, None)
                result.lines.append(Line(spec, rating, part, name, found, *figures))
    return result


def _parts(dataset: Dataset) -> list[tuple[str, str, list[Example]]]:
    """All examples; then those of each generator, and of each split where there are several."""
    everything = list(dataset.examples)
    parts = [(ALL, "", everything)]
    for part, name_of in ((GROUP, lambda one: one.group), (SPLIT, lambda one: one.split)):
        names = sorted({name_of(example) for example in everything} - {None})
        if len(names) > 1:
            parts += [(part, name, [one for one in everything if name_of(one) == name]) for name in names]
    return parts


def _correlation(scored: Scored, examples: Sequence[Example], rating: str, resamples: int, seed: int) -> Correlation:
    both = [one for one in examples if one.key in scored.values and rating in one.scores]
    sign = -1.0 if scored.spec.lower_is_better else 1.0
    values = [sign * scored.values[one.key] for one in both]
    return correlate(values, [one.scores[rating] for one in both], resamples, seed)


def paper_figures(spec: Spec, database: str) -> tuple[float | None, float | None]:
    """SROCC and PLCC of Table 6 or 7; None where the paper has none."""
    table = paper.PERCEPTUAL if spec.kind == "perceptual" else paper.ALIGNMENT
    for method in spec.paper:
        figures = [paper.value(table, database, method, measure) for measure in ("SROCC", "PLCC")]
        if figures[0] is not None:
            return figures[0], figures[1]
    return None, None
