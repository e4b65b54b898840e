"""From scores to defects, regions and the map of one picture (method, sections 3.4 to 3.6)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ..clip.embeddings import QualityFormula
from ..prompt.syntax.tree import Phrase
from .calibration import Bounds
from .results import Defect, PhraseQuality

Aggregate = Literal["product", "geometric", "min"]
AGGREGATES: tuple[Aggregate, ...] = ("product", "geometric", "min")
MissingAt = Literal["ancestor", "own", "image"]
MISSING_AT: tuple[MissingAt, ...] = ("ancestor", "own", "image")
Penalty = Literal["phrase", "weakest"]
PENALTIES: tuple[Penalty, ...] = ("phrase", "weakest")
DEFAULT_PENALTY: Penalty = "phrase"
"""Which deficits of a phrase lower AS by the paper's formula, where nothing else is asked for."""
WEIGHT_FLOOR = 0.5
"""Weight of a phrase that only just fails: its region has to show at all; a deficit of 1 weighs 1."""


BELOW_ONE = 1.0 - 2.0**-24
"""The largest float32 below 1."""
SMALLEST = 1e-12
"""A ratio below it is told apart from others no more."""


def classify_phrases(
    phrases: Sequence[Phrase],
    scores: Sequence[tuple[float, float] | None],
    maps: Sequence[Tensor | None],
    bounds: Bounds,
    missing_at: MissingAt = "ancestor",
    formula: QualityFormula = "bounded",
    modifiers: Sequence[float | None] | None = None,
) -> tuple[PhraseQuality, ...]:
    """Return the verdict on every phrase of one picture.

    Args:
        phrases: those of the tree, in order.
        scores: (as_i, an_i) for each, None for a phrase that is not measured (a style tag): it counts as matched, with
            scores of 1.
        maps: similarity map (h, w) in [0, 1] of each, None where not measured.
        bounds: β_n and β_p.
        missing_at: where a missing thing is marked: where its nearest "ancestor" in the picture is, where its "own" map
            is, or on the whole "image".
        formula: "bounded": the deficit of an unmatched phrase is 1 − r, see :func:`quotient`; otherwise 1 − an_i / β_n
            of a missing noun, 1 − as_i / β_p of a wrong modifier.
        modifiers: m_i of each phrase, in the place of as_i for the verdict "bounded"; None of a bare noun, which is not
            described wrongly. None of all: as_i it is.

    Returns:
        One verdict for each phrase, in order.

    Source: method, section 3.4; G-Refine (arXiv 2404.18343), AQ-Map: noun unmatched below β_n, drawn where its ancestor
        is; else adjective unmatched below β_p, redrawn where it is.
    """
    known: dict[int, int | None] = {}
    present = [score is not None and score[1] >= bounds.noun for score in scores]
    verdicts = []
    apart = modifiers is not None and formula == "bounded"
    described = list(modifiers) if modifiers is not None and apart else [score and score[0] for score in scores]
    for index, (phrase, score, fitting) in enumerate(zip(phrases, scores, described, strict=True)):
        if score is None:
            verdicts.append(PhraseQuality(phrase, 1.0, 1.0, measured=False))
            continue
        whole, head = score
        found = quotient((fitting, head), bounds)
        defect: Defect = "none"
        deficit, region = 0.0, None
        if not present[index]:
            defect, deficit = "noun", 1.0 - head / bounds.noun
            if missing_at == "own":
                region = index
            elif missing_at == "ancestor":
                region = ancestor_region(phrases, present, index, known)
        elif fitting is not None and fitting < bounds.phrase:
            defect, deficit, region = "modifier", 1.0 - fitting / bounds.phrase, index
        if formula == "bounded":
            deficit = 1.0 - min(1.0, found)
        verdicts.append(
            PhraseQuality(
                phrase,
                whole,
                head,
                defect,
                deficit,
                region,
                maps[index],
                found,
                modifier_score=fitting if apart else None,
            )
        )
    return tuple(verdicts)


def quotient(score: tuple[float | None, float], bounds: Bounds) -> float:
    """q of one phrase, ``min(m_i / β_p, an_i / β_n)``: below 1 exactly where it is unmatched, by its noun or by its
    modifiers.

    Args:
        score: (m_i, an_i), each in [0, 1]; m_i is None where there are no modifiers, or as_i where they are not judged
            apart from the noun.
        bounds: β_n and β_p, above 0.

    Returns:
        At least 0, not clamped above.

    Source: method, sections 3.4 and 3.6; G-Refine (arXiv 2404.18343), AQ-Map: as_i and an_i have a bound each, both
        kinds of defect enter the map, and by the cask effect what is below its bound lowers the score.
    """
    noun = score[1] / bounds.noun
    return noun if score[0] is None else min(score[0] / bounds.phrase, noun)


def ancestor_region(
    phrases: Sequence[Phrase], present: Sequence[bool], index: int, known: dict[int, int | None] | None = None
) -> int | None:
    """The nearest ancestor that is in the picture; None (the whole image) if there is none. Cycles end the search.

    ``known``: answers of earlier calls for the same phrases, added to: chains of ancestors are long in long prompts.

    Args:
        phrases: of one tree.
        present: whether the thing of each phrase is in the picture.
        index: the phrase whose ancestor is looked for.
        known: answers of earlier calls.

    Returns:
        The ancestor's index, or None.

    Source: method, sections 3.4 and 3.5; G-Refine (arXiv 2404.18343), AQ-Map: a missing thing is drawn where its
        ancestor is.
    """
    known = {} if known is None else known
    seen = {index}
    found = None
    ancestor = phrases[index].ancestor
    while ancestor is not None and 0 <= ancestor < len(phrases) and ancestor not in seen:
        if present[ancestor]:
            found = ancestor
            break
        if ancestor in known:
            found = known[ancestor]
            break
        seen.add(ancestor)
        ancestor = phrases[ancestor].ancestor
    known.update(dict.fromkeys(seen, found))
    return found


def weight(deficit: float) -> float:
    """Return how much of its region an unmatched phrase marks, from ``WEIGHT_FLOOR`` to 1, growing with the deficit.

    Args:
        deficit: in [0, 1]; clamped to it.

    Source: method, section 3.5; how the weight grows is ours.
    """
    return WEIGHT_FLOOR + (1.0 - WEIGHT_FLOOR) * min(max(deficit, 0.0), 1.0)


def defect_map(verdicts: Sequence[PhraseQuality], maps: Sequence[Tensor | None], grid: tuple[int, int]) -> Tensor:
    """The defect map (h, w) in [0, 1] of one picture: the weighted sum of the unmatched phrases' regions, at most 1.

    All zeros where every phrase is matched.

    Args:
        verdicts: on the phrases of one picture.
        maps: similarity map (h, w) in [0, 1] of each phrase, None where not measured.
        grid: (h, w) in patches.

    Returns:
        (h, w) float32 in [0, 1].

    Source: method, section 3.5; G-Refine (arXiv 2404.18343), AQ-Map: every unmatched phrase adds its region.
    """
    total = torch.zeros(grid)
    for verdict in verdicts:
        if verdict.matched:
            continue
        region = None if verdict.region is None else maps[verdict.region]
        total += weight(verdict.deficit) * (torch.ones(grid) if region is None else region)
    return total.clamp_(max=1.0)


def region_map(similarity: Tensor) -> Tensor:
    """Similarities of patches (h, w) -> [0, 1], lowest to highest; all ones where they are all alike, since then no
    place is better than another.

    Args:
        similarity: (h, w), any range.

    Returns:
        (h, w) in [0, 1].

    Source: method, section 3.5; Li et al., CLIP Surgery (arXiv 2304.05653): similarity maps, scaled from their lowest
        to their highest value.
    """
    low, high = similarity.min(), similarity.max()
    if float(high - low) < 1e-6:
        return torch.ones_like(similarity)
    return (similarity - low) / (high - low)


def ratio(score: tuple[float, float], bounds: Bounds, penalty: Penalty = DEFAULT_PENALTY) -> float:
    """What one phrase leaves of AS by the paper's formula, in [0, 1], from (as_i, an_i).

    "phrase": ``min(as_i / β_p, 1)``, as the paper has it. A bare noun that is missing costs nothing there where
    β_p ≤ as_i = an_i < β_n; "weakest", ``min(as_i / β_p, an_i / β_n, 1)``, counts it.

    Args:
        score: (as_i, an_i), each in [0, 1].
        bounds: β_n and β_p, above 0.
        penalty: "phrase" or "weakest".

    Source: method, section 3.6; G-Refine (arXiv 2404.18343), AQ-Map: the factor min(as_i / β_p, 1) of AS. "weakest" is
        ours.
    """
    found = min(score[0] / bounds.phrase, 1.0)
    return min(found, score[1] / bounds.noun) if penalty == "weakest" else found


def alignment_score(prompt: float, ratios: Sequence[float], aggregate: Aggregate) -> float:
    """AS by the paper's formula: ``as_T`` times what the phrases leave of it (:func:`ratio`).

    Args:
        prompt: as_T in [0, 1].
        ratios: of the phrases, each in [0, 1].
        aggregate: see :func:`aggregated`.

    Returns:
        AS in [0, 1].

    Source: method, section 3.6; G-Refine (arXiv 2404.18343), AQ-Map: AS = as_T · Π_i min(as_i / β_p, 1). The other two
        aggregates are ours.
    """
    return prompt * aggregated(ratios, aggregate)


def bounded_score(ratios: Sequence[float], aggregate: Aggregate) -> float:
    """AS of one picture: its phrases' r as one number, below 1 exactly where one of them is.

    Args:
        ratios: q or r of the phrases that are measured; without any AS is 1, neutral.
        aggregate: see :func:`aggregated`.

    Returns:
        AS in [0, 1], which float32 holds without rounding up to 1.

    Source: method, sections 3.4 and 3.6, with one verdict for both: :func:`quotient`.
    """
    if all(value >= 1.0 for value in ratios):
        return 1.0
    return min(aggregated([min(1.0, value) for value in ratios], aggregate), BELOW_ONE)


def log_ratio(ratios: Sequence[float], aggregate: Aggregate) -> float:
    """Logarithm of the unclamped ratios as one number: what ranks pictures that all have AS 1.

    Args:
        ratios: q of the phrases that are measured; 0 without any.
        aggregate: "product": their sum of logarithms, "geometric": the mean, "min": the lowest.

    Source: method, section 3.6; ours.
    """
    logs = [math.log(max(value, SMALLEST)) for value in ratios]
    if not logs:
        return 0.0
    if aggregate == "min":
        return min(logs)
    return sum(logs) if aggregate == "product" else sum(logs) / len(logs)


def aggregated(ratios: Sequence[float], aggregate: Aggregate) -> float:
    """The phrases' ratios as one number; 1 without any.

    "product": all of them, as the paper has it; "geometric": their geometric mean, which does not fall with the mere
    length of a prompt; "min": the worst one.

    Args:
        ratios: each in [0, 1].
        aggregate: "product", "geometric" or "min".
    """
    if not ratios:
        return 1.0
    if aggregate == "min":
        return min(ratios)
    product = math.prod(ratios)
    return product if aggregate == "product" else product ** (1.0 / len(ratios))
