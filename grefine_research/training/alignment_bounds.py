"""Bounds of AQ-Map from raw scores: by ratings on pictures, or by what is known of every phrase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import torch
from torch import Tensor

from grefine_core.alignment.calibrate import SMALLEST_BOUND, Truth, best_bounds
from grefine_core.alignment.calibration import SCORINGS, Bounds, Calibration, Scoring
from grefine_core.alignment.verdicts import DEFAULT_PENALTY, Aggregate, Penalty, alignment_score, ratio
from grefine_core.errors import InputError

from .alignment_scores import Scored
from .bounds import good_rows
from .correlation import srocc
from .targets import Targets

QUANTILES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of good phrases below the bounds that are tried."""
_TIE = 0.02


@dataclass(frozen=True)
class Found:
    """Phrases that are unmatched: found, found wrongly, missed."""

    hits: int
    false: int
    missed: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where nothing is unmatched and nothing found."""
        whole = 2 * self.hits + self.false + self.missed
        return 2 * self.hits / whole if whole else 0.0


def fit_to_ratings(
    scored: Sequence[Scored],
    labels: Tensor,
    *,
    quantiles: Sequence[float] = QUANTILES,
    aggregate: Aggregate = "product",
    penalty: Penalty = DEFAULT_PENALTY,
    model: str = "",
) -> Calibration:
    """Bounds under which a share of the phrases of good pictures falls; the share and the way of scoring are those
    under which AS follows the ratings best (SROCC).

    Args:
        scored: raw scores of N pictures.
        labels: (N,) ratings on alignment in [0, 1], NaN where there is none. Good pictures are those with nothing
            wrong with them; where these are fewer than twenty, the best quarter.
        quantiles: shares to try, each above 0 and below 1.
        aggregate, penalty: how AS is made of the phrases.
        model: name of what measured.

    Raises:
        InputError: labels that do not fit, no good picture with a phrase, or a bad quantile.
    """
    if len(scored) != len(labels):
        raise InputError(f"labels: {len(labels)} for {len(scored)} pictures.")
    if not quantiles or not all(0.0 < quantile < 1.0 for quantile in quantiles):
        raise InputError(f"quantiles: expected numbers above 0 and below 1, got {list(quantiles)}.")
    good = [one for one, row in zip(scored, good_rows(Targets(mos=labels), _TIE).tolist(), strict=True) if row]
    chosen: dict[Scoring, tuple[float, float, Bounds]] = {}
    for way in SCORINGS:
        known = [score for one in good for score in one.phrases[way] if score is not None]
        if not known:
            raise InputError("labels: none of the good pictures has a prompt with anything to see in it.")
        for quantile in quantiles:
            noun, phrase = (_quantile([score[part] for score in known], quantile) for part in (1, 0))
            bounds = Bounds(noun, phrase)
            figure = srocc(scores_of(scored, way, bounds, aggregate, penalty), labels)
            if way not in chosen or figure > chosen[way][0]:
                chosen[way] = (figure, quantile, bounds)
    best = max(SCORINGS, key=lambda way: chosen[way][0])
    return Calibration(
        bounds={way: found[2] for way, found in chosen.items()},
        scoring=best,
        quantile=chosen[best][1],
        pictures=len(good),
        phrases=sum(score is not None for one in good for score in one.phrases[best]),
        model=model,
        made_on=date.today().isoformat(),
    )


def fit_to_truth(scored: Sequence[Scored], truths: Mapping[str, Truth], *, model: str = "") -> Calibration:
    """Bounds that tell best what matches from what does not, see ``alignment.calibrate.calibrate_with_truth``; the way
    of scoring is that with the higher F1 of unmatched phrases.

    Args:
        scored: raw scores.
        truths: key -> what is true of each phrase of its prompt.
        model: name of what measured.
    """
    bounds: dict[str, Bounds] = {}
    phrases = 0
    for way in SCORINGS:
        pairs = [
            (true, *score)
            for one in scored
            for true, score in zip(truths[one.key], one.phrases[way], strict=True)
            if true is not None and score is not None
        ]
        phrases = len(pairs)
        bounds[way] = best_bounds(pairs, way)
    best = max(SCORINGS, key=lambda way: unmatched(scored, truths, way, bounds[way]).f1)
    return Calibration(
        bounds=bounds,
        scoring=best,
        pictures=len(scored),
        phrases=phrases,
        model=model,
        made_on=date.today().isoformat(),
    )


def scores_of(
    scored: Sequence[Scored], way: Scoring, bounds: Bounds, aggregate: Aggregate, penalty: Penalty = DEFAULT_PENALTY
) -> Tensor:
    """AS of every picture, (N,)."""
    found = []
    for one in scored:
        ratios = [ratio(score, bounds, penalty) for score in one.phrases[way] if score is not None]
        found.append(alignment_score(one.prompt[way], ratios, aggregate))
    return torch.tensor(found, dtype=torch.float64)


def unmatched(scored: Sequence[Scored], truths: Mapping[str, Truth], way: Scoring, bounds: Bounds) -> Found:
    """How well bounds find the phrases that their pictures do not show."""
    hits = false = missed = 0
    for one in scored:
        for true, score in zip(truths[one.key], one.phrases[way], strict=True):
            if true is None or score is None:
                continue
            said = score[1] < bounds.noun or score[0] < bounds.phrase
            hits += said and true != "none"
            false += said and true == "none"
            missed += not said and true != "none"
    return Found(hits, false, missed)


def _quantile(values: Sequence[float], quantile: float) -> float:
    found = float(torch.quantile(torch.tensor(sorted(values), dtype=torch.float64), quantile))
    return min(max(found, SMALLEST_BOUND), 1.0)
