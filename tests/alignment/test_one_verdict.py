"""One verdict for each phrase: score, map and words say the same of it. Where nothing is measured nothing is said."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grefine_core.alignment import Bounds, Calibration, alignment_quality, assess
from grefine_core.alignment.results import Measurement, why_not_measured
from grefine_core.alignment.verdicts import AGGREGATES, bounded_score, log_ratio, quotient
from grefine_core.prompt.syntax.tree import Phrase, PromptTree, Word

from .conftest import PlantedModel

GRID = (2, 3)
unit = st.floats(0.0, 1.0)
bound = st.floats(1e-3, 1.0)
#: (as, an) as they are and just beside the bounds, or None for what is not measured.
Scores = list["tuple[float, float] | None"]


class Told:
    """An encoder that measures what it is told."""

    name, grid = "told", GRID

    def __init__(self, scores: Scores, prompt: float = 0.5, modifiers=None) -> None:
        maps = [None if one is None else torch.linspace(0, 1, 6).reshape(GRID) for one in scores]
        self._found = Measurement(tuple(scores), prompt, tuple(maps), GRID, modifiers)

    def measure(self, pictures, trees, options, *, interrupt=None):
        return [self._found for _ in trees]

    def clear_cache(self) -> None:
        """Nothing is kept."""


def tree_of(count: int, ancestors: list[int | None]) -> PromptTree:
    words = [Word(f"thing{index}", 8 * index, "NN") for index in range(count)]
    phrases = [Phrase((word,), word, ancestors[index] if ancestors else None) for index, word in enumerate(words)]
    return PromptTree(" ".join(word.text for word in words), tuple(phrases))


@st.composite
def pictures(draw):
    """Scores of a picture's phrases, and bounds; many scores lie on a bound or one step of float64 beside it."""
    bounds = Bounds(draw(bound), draw(bound))

    def near(value: float):
        around = (value, math.nextafter(value, 0.0), math.nextafter(value, 1.0))
        return st.one_of(unit, st.sampled_from([one for one in around if one <= 1.0]))

    pair = st.tuples(near(bounds.phrase), near(bounds.noun))
    scores = draw(st.lists(st.one_of(st.none(), pair), max_size=8))
    ancestors = draw(st.lists(st.one_of(st.none(), st.integers(0, 7)), min_size=len(scores), max_size=len(scores)))
    return scores, ancestors, bounds


def measured(scores: Scores, ancestors: list[int | None], bounds: Bounds, modifiers=None, **options):
    model = PlantedModel([("", "")])
    model.alignment_encoder = Told(scores, modifiers=modifiers)
    calibration = Calibration({"contrast": bounds, "softmax": bounds})
    tree = tree_of(len(scores), ancestors)
    return alignment_quality(model, torch.zeros(1, 8, 12, 3), tree=tree, calibration=calibration, **options)


@settings(max_examples=500, deadline=None)
@given(pictures(), st.sampled_from(AGGREGATES), st.sampled_from(["as", "apart", "bare"]))
def test_score_map_and_verdicts_say_the_same(picture, aggregate, described):
    scores, ancestors, bounds = picture
    known = [None if one is None or described == "bare" else one[0] for one in scores]
    modifiers = None if described == "as" else tuple(known)
    if described == "apart":  # as itself is not asked then
        scores = [None if one is None else (0.0, one[1]) for one in scores]
    found = measured(scores, ancestors, bounds, modifiers, aggregate=aggregate)
    phrases, score = found.phrases[0], float(found.score[0])
    wrong = [
        index
        for index, one in enumerate(scores)
        if one is not None and (one[1] < bounds.noun or (known[index] is not None and known[index] < bounds.phrase))
    ]
    assert sorted(found.unmatched[0]) == wrong
    assert (score < 1.0) == bool(wrong)
    assert bool(wrong) or score == 1.0
    assert bool(found.defect_map.any()) == bool(wrong)
    assert found.measured[0] == any(one is not None for one in scores)
    for index, (one, verdict) in enumerate(zip(scores, phrases, strict=True)):
        assert verdict.unmatched == (index in wrong) == (verdict.bounded < 1.0) != verdict.matched
        assert verdict.measured == (one is not None)
        assert verdict.deficit == 1.0 - verdict.bounded
        if one is not None:
            assert verdict.ratio == quotient((known[index], one[1]), bounds)
    assert [phrases[index].deficit for index in found.unmatched[0]] == sorted(
        (phrases[index].deficit for index in wrong), reverse=True
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0.0, 4.0), max_size=40), st.sampled_from(AGGREGATES))
def test_the_score_is_one_only_where_nothing_is_below(ratios, aggregate):
    score = float(torch.tensor(bounded_score(ratios, aggregate), dtype=torch.float32))
    assert (score == 1.0) == all(ratio >= 1.0 for ratio in ratios)
    assert 0.0 <= score <= 1.0


def test_a_thing_that_is_missing_costs_what_a_wrong_modifier_does():
    # A bare noun: as = an. Against the phrases' bound alone it would pass.
    bounds = Bounds(0.8, 0.3)
    found = measured([(0.42, 0.42), (0.9, 0.95)], [None, None], bounds)
    assert float(found.score[0]) == pytest.approx(0.42 / 0.8)
    assert [verdict.defect for verdict in found.phrases[0]] == ["noun", "none"]
    paper = measured([(0.42, 0.42), (0.9, 0.95)], [None, None], bounds, formula="paper")
    assert float(paper.score[0]) == pytest.approx(0.5)  # as_T alone


def test_good_pictures_are_told_apart_by_what_is_not_clamped():
    bounds = Bounds(0.5, 0.25)
    good, better = (measured([(one, 0.9)], [None], bounds) for one in (0.3, 0.4))
    assert float(good.score[0]) == float(better.score[0]) == 1.0
    assert float(good.log_ratio[0]) == pytest.approx(math.log(0.3 / 0.25))
    assert float(good.log_ratio[0]) < float(better.log_ratio[0])
    assert log_ratio([], "product") == 0.0
    assert log_ratio([0.0, 1.0], "min") < -20.0


def test_released_is_the_papers_formula_for_aq_map():
    bounds = Bounds(0.5, 0.5)
    paper, released = (
        measured([(0.3, 0.7), (0.2, 0.3)], [None, 0], bounds, formula=formula) for formula in ("paper", "released")
    )
    assert torch.equal(paper.score, released.score)
    assert [verdict.deficit for verdict in paper.phrases[0]] == pytest.approx([0.4, 0.4])


@pytest.mark.parametrize("prompt", ["", "   ", "8k, trending on artstation, masterpiece", "(best quality:1.2)"])
def test_what_names_nothing_is_not_measured(prompt):
    model = PlantedModel([("cat", "dog")])
    found = assess(model, model.picture(0), prompt).alignment
    assert found.measured == (False,)
    assert found.score.tolist() == [1.0]
    assert found.log_ratio.tolist() == [0.0]
    assert not found.defect_map.any()
    assert found.unmatched == ((),)
    assert "nothing" in (why_not_measured(found.phrases[0]) or "")


def test_words_that_cannot_be_measured_are_not():
    found = measured([None, None], [None, None], Bounds(0.5, 0.5))
    assert found.measured == (False,)
    assert found.score.tolist() == [1.0]
    assert not found.defect_map.any()
    assert all(not verdict.measured and verdict.matched for verdict in found.phrases[0])


def test_every_picture_of_a_batch_has_its_own():
    model = PlantedModel([("cat", "cat"), ("cat", "cat")])
    found = alignment_quality(model, model.picture(0, 1), ["a cat", ""])
    assert found.measured == (True, False)
