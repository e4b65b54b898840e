"""Measuring the bounds of AQ-Map (method, section 3.3): on pictures that are known to match their prompts, or on
pictures of which is known what matches and what does not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from datetime import date
from typing import Any

import torch
from torch import Tensor

from ..checks import choice
from ..clip.quality_model import QualityModel
from ..errors import Cancelled, InputError
from ..prompt.syntax.tree import PromptTree
from ..tensors import as_images
from .calibration import EVIDENCE, SCORINGS, Bounds, Calibration, LocalBounds, LocalEvidence, Scoring
from .options import AlignmentOptions
from .results import Defect, Measurement
from .scoring import encoder_of, measure_pictures, measured_by, trees_of

logger = logging.getLogger(__name__)

SMALLEST_BOUND = 1e-3
"""A bound of zero would be divided by, and would match everything."""
MODIFIERS = 0.4
"""Of the share of good ones that may fail by their nouns, what may fail by their modifiers on top: CLIP tells these far
less well, so that as much again would bring many false verdicts for few right ones."""

CalibrationProgress = Callable[[int, int | None], None]
Truth = Sequence[Defect | None]
"""What is true of each phrase of a prompt, style tags included: matched ("none"), its thing not in the picture
("noun"), there but not as described ("modifier"), or not known (None)."""
_TRUTHS = ("none", "noun", "modifier", None)
_Way = tuple[Scoring, LocalEvidence | None]
"""A way of scoring, and what its scores are made of."""


def calibrate(
    model: QualityModel,
    samples: Iterable[tuple[Tensor, str]],
    quantile: float = 0.05,
    progress: CalibrationProgress | None = None,
    *,
    temperature: float | None = None,
    made_on: str | None = None,
    failed: Callable[[Exception], None] | None = None,
    evidence: LocalEvidence | None = EVIDENCE,
) -> Calibration:
    """Set the bounds of both ways of scoring so that ``quantile`` of the phrases of good pictures fall below them.

    Args:
        model: the quality model; its own calibration is not used and not changed.
        samples: (picture (H, W, 3) or (1, H, W, 3), prompt) of pictures that show what their prompts say. Prompts
            without content phrases are passed over.
        quantile: share of matched phrases to be taken for unmatched, above 0 and below 1; of what has modifiers 0.4
            times as much by these, where they are judged apart from their nouns (with ``evidence``).
        progress: called with (done, total or None) after each picture; may raise to stop.
        temperature: τ of the scores; None for the model's own.
        made_on: date for the file; today without it.
        failed: called with what one sample raised, which is passed over then; without it, it is raised.
        evidence: what verdicts may use beside the picture as a whole, with bounds of its own (``Calibration.local``);
            None: nothing. An encoder other than the model's CLIP has nothing else.

    Returns:
        The calibration; the same samples give the same bounds.

    Raises:
        InputError: a bad quantile, a sample that is no picture with a prompt, or no content phrase in any of them.

    Source: method, section 3.3; how bounds are set is ours.
    """
    if isinstance(quantile, bool) or not isinstance(quantile, int | float) or not 0.0 < quantile < 1.0:
        raise InputError(f"quantile: expected a number above 0 and below 1, got {quantile!r}.")
    ways = _ways(model, evidence)
    heads: dict[_Way, list[float]] = {way: [] for way in ways}
    phrases: dict[_Way, list[float]] = {way: [] for way in ways}
    pictures = 0
    for done, sample in _counted(samples, progress):
        try:
            count, found = _measured(model, sample, done, ways, temperature)
        except Exception as error:
            if failed is None or isinstance(error, Cancelled):
                raise
            failed(error)
            continue
        pictures += count
        for way, measured in found.items():
            for one in measured:
                heads[way] += [score[1] for score in one.scores if score is not None]
                phrases[way] += _of_phrases(way, one)
    if not heads[ways[0]]:
        raise InputError("samples: no prompt with anything to see in it; give pictures together with their prompts.")
    bounds = {
        way: Bounds(
            _quantile(heads[way], quantile),
            # Without a modifier in any of the pictures this one is never asked.
            _quantile(phrases[way] or heads[way], quantile if way[1] is None else MODIFIERS * quantile),
        )
        for way in ways
    }
    return Calibration(
        bounds=_of_picture(bounds),
        local=_of_places(bounds),
        temperature=temperature,
        quantile=float(quantile),
        pictures=pictures,
        phrases=len(heads[ways[0]]),
        model=measured_by(model),
        made_on=made_on or date.today().isoformat(),
    )


def calibrate_with_truth(
    model: QualityModel,
    samples: Iterable[tuple[Tensor, str | PromptTree, Truth]],
    progress: CalibrationProgress | None = None,
    *,
    scoring: Scoring = "contrast",
    temperature: float | None = None,
    syntax: bool = True,
    made_on: str | None = None,
    evidence: LocalEvidence | None = EVIDENCE,
) -> Calibration:
    """Set the bounds of both ways of scoring so that they tell best what matches from what does not.

    β_n has the highest F1 at telling phrases whose thing is missing from all others, β_p at telling phrases with a
    wrong modifier from matched ones, among those whose thing is there. Of bounds that are equally good the one farthest
    from any score is taken.

    Args:
        model: the quality model; its own calibration is not used and not changed.
        samples: (picture (H, W, 3) or (1, H, W, 3), prompt or its tree, what is true of each of its phrases).
        progress: called with (done, total or None) after each picture; may raise to stop.
        scoring: the way that the calibration names as the one to use.
        temperature: τ of the scores; None for the model's own.
        syntax: False for bounds of ``alignment_quality(syntax=False)``: a prompt is unmatched if one of its phrases is.
        made_on: date for the file; today without it.
        evidence: as in :func:`calibrate`.

    Returns:
        The calibration, without ``quantile``; the same samples give the same bounds.

    Raises:
        InputError: a sample of another form, not one truth for each phrase, or phrases of one sort missing in all of
            them: then nothing can be told apart, and :func:`calibrate` is the way.

    Source: method, section 3.3; how bounds are set is ours.
    """
    choice(scoring, "scoring", SCORINGS)
    ways = _ways(model, evidence if syntax else None)
    known: dict[_Way, list[tuple[Defect, float | None, float]]] = {way: [] for way in ways}
    pictures = 0
    for done, sample in _counted(samples, progress):
        picture, tree, truth = _with_truth(sample, done)
        pictures += 1
        if not syntax:
            truth = _of_whole(truth)
        for way, (one,) in _measure_all(model, picture, [tree], ways, temperature, syntax).items():
            fitting = one.modifiers if way[1] is not None else None
            known[way] += [
                (true, score[0] if fitting is None else fitting[place], score[1])
                for place, (true, score) in enumerate(zip(truth, one.scores, strict=False))
                if true is not None and score is not None
            ]
    bounds = {way: best_bounds(known[way], way[0], syntax) for way in ways}
    return Calibration(
        bounds=_of_picture(bounds),
        local=_of_places(bounds),
        scoring=scoring,
        temperature=temperature,
        pictures=pictures,
        phrases=len(known[ways[0]]),
        model=measured_by(model),
        made_on=made_on or date.today().isoformat(),
    )


def best_bound(unmatched: Sequence[float], matched: Sequence[float]) -> tuple[float, float]:
    """The bound in [``SMALLEST_BOUND``, 1] below which scores are best taken for unmatched, and its F1.

    Args:
        unmatched, matched: scores in [0, 1], at least one of each.

    Source: ours.
    """
    wrong, right = (torch.tensor(sorted(scores), dtype=torch.float64) for scores in (unmatched, matched))
    every = torch.cat([wrong, right]).unique()
    bounds = torch.cat([(every[:-1] + every[1:]) / 2, every.new_ones(1)]).clamp(min=SMALLEST_BOUND)
    found, mistaken = torch.searchsorted(wrong, bounds), torch.searchsorted(right, bounds)
    f1 = 2.0 * found.double() / (found + mistaken + len(wrong))
    room = (bounds[:, None] - every).abs().amin(1)
    best = int(torch.where(f1 == f1.max(), room, -1.0).argmax())
    return float(bounds[best]), float(f1[best])


def best_bounds(known: Sequence[tuple[Defect, float | None, float]], scoring: str, syntax: bool = True) -> Bounds:
    """Bounds of one way of scoring from (truth, as_i, an_i) of every phrase; see :func:`calibrate_with_truth`. m_i in
    the place of as_i where modifiers are judged apart, None of a phrase that has none."""
    missing = [head for true, _, head in known if true == "noun"]
    there = [head for true, _, head in known if true != "noun"]
    other = [whole for true, whole, _ in known if true == "modifier" and whole is not None]
    matched = [whole for true, whole, _ in known if true == "none" and whole is not None]
    lacking = [
        name
        for name, scores in (("matched", matched), ("noun unmatched", missing), ("modifier unmatched", other))
        if not scores and (syntax or name != "noun unmatched")
    ]
    if lacking:
        raise InputError(
            f"samples: no phrase that is {' or '.join(lacking)}, so no bound can tell them from the others. Add some, "
            "or set the bounds by pictures that match (calibrate)."
        )
    # Without the tree nothing is known of nouns: a score of 1 each, which no bound rejects.
    noun, noun_f1 = best_bound(missing, there) if syntax else (1.0, 1.0)
    phrase, phrase_f1 = best_bound(other, matched)
    logger.info("%s: noun bound %.4f (F1 %.3f), phrase bound %.4f (F1 %.3f)", scoring, noun, noun_f1, phrase, phrase_f1)
    return Bounds(noun, phrase)


def _ways(model: QualityModel, evidence: LocalEvidence | None) -> list[_Way]:
    """Everything that bounds are measured for."""
    kinds = [None] if evidence is None or not evidence.needed or encoder_of(model) else [None, evidence]
    return [(scoring, kind) for kind in kinds for scoring in SCORINGS]


def _of_phrases(way: _Way, one: Measurement) -> list[float]:
    """What β_p is a bound of: m_i of phrases with modifiers, as the verdicts ask, else as_i of all."""
    if way[1] is not None and one.modifiers is not None:
        return [score for score in one.modifiers if score is not None]
    return [score[0] for score in one.scores if score is not None]


def _of_picture(bounds: Mapping[_Way, Bounds]) -> dict[str, Bounds]:
    return {scoring: bounds[scoring, None] for scoring in SCORINGS}


def _of_places(bounds: Mapping[_Way, Bounds]) -> LocalBounds | None:
    evidence = next((kind for _, kind in bounds if kind is not None), None)
    if evidence is None:
        return None
    return LocalBounds(evidence, {scoring: bounds[scoring, evidence] for scoring in SCORINGS})


def _quantile(values: list[float], quantile: float) -> float:
    found = float(torch.quantile(torch.tensor(sorted(values), dtype=torch.float64), quantile))
    return min(max(found, SMALLEST_BOUND), 1.0)


def _counted(samples: Iterable[Any], progress: CalibrationProgress | None) -> Iterator[tuple[int, Any]]:
    """Number every sample from 1 on, and tell of each when it is done."""
    total = len(samples) if isinstance(samples, Sized) else None
    for done, sample in enumerate(samples, start=1):
        yield done, sample
        if progress is not None:
            progress(done, total)


def _measured(
    model: QualityModel, sample: Any, number: int, ways: Sequence[_Way], temperature: float | None
) -> tuple[int, dict[_Way, list[Measurement]]]:
    """How many pictures a sample has, and their scores; none of a prompt without content phrases."""
    if not isinstance(sample, tuple | list) or len(sample) != 2:
        raise InputError(f"samples: number {number} is not a pair of a picture and its prompt.")
    picture = as_images(sample[0], f"samples[{number - 1}]")
    trees = trees_of(sample[1], None, len(picture))
    if not all(tree.content for tree in trees):
        return 0, {}
    return len(picture), _measure_all(model, picture, trees, ways, temperature)


def _measure_all(
    model: QualityModel,
    pictures: Tensor,
    trees: Sequence[PromptTree],
    ways: Sequence[_Way],
    temperature: float | None,
    syntax: bool = True,
) -> dict[_Way, list[Measurement]]:
    features = model.features_of(pictures) if encoder_of(model) is None else None
    return {
        (scoring, evidence): measure_pictures(
            model,
            pictures,
            trees,
            AlignmentOptions(scoring, temperature=temperature, syntax=syntax, evidence=evidence),
            features=features,
        )
        for scoring, evidence in ways
    }


def _with_truth(sample: object, number: int) -> tuple[Tensor, PromptTree, list[Defect | None]]:
    if not isinstance(sample, tuple | list) or len(sample) != 3:
        raise InputError(f"samples: number {number} is not a picture, its prompt, and the truth about its phrases.")
    picture = as_images(sample[0], f"samples[{number - 1}]")
    if len(picture) != 1:
        raise InputError(f"samples: number {number} has {len(picture)} pictures; give each with its own truth.")
    (tree,) = trees_of(sample[1], sample[1] if isinstance(sample[1], PromptTree) else None, 1)
    truth = list(sample[2])
    if len(truth) != len(tree):
        raise InputError(
            f"samples: number {number} has {len(truth)} truths for the {len(tree)} phrases of {tree.prompt!r:.200}."
        )
    if unknown := [true for true in truth if true not in _TRUTHS]:
        raise InputError(f"samples: number {number}: {unknown[0]!r} is none of 'none', 'noun', 'modifier', None.")
    return picture, tree, truth


def _of_whole(truth: Sequence[Defect | None]) -> list[Defect | None]:
    """The truth about a prompt as one phrase."""
    known = [true for true in truth if true is not None]
    if not known:
        return [None]
    return ["none" if all(true == "none" for true in known) else "modifier"]
