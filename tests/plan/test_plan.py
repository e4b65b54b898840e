from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grefine_core.errors import InputError
from grefine_core.plan import plan_refinement as planned

SCORES = st.floats(0, 1)


def plan_refinement(*scores, mode="gated", **options):
    """The plan by bars for both scores, if nothing else is asked for."""
    return planned(*scores, mode=mode, **options)


@pytest.mark.parametrize(
    ("ps", "as_", "area", "run1", "run2"),
    [
        (0.9, 0.9, None, False, False),
        (0.8, 0.8, 0.3, False, False),  # on the bar is over it
        (0.5, 0.5, 0.3, True, True),
        (0.5, 0.9, 0.3, True, True),
        (0.9, 0.5, 0.3, True, False),  # it looks good, so its surface stays
        (0.5, 0.5, 0.0, False, True),
        (0.9, 0.5, 0.0, False, False),
        (0.9, 0.9, 0.0, False, False),
    ],
)
def test_gated(ps, as_, area, run1, run2):
    plan = plan_refinement(ps, as_, area=area)
    assert (plan.run_stage1, plan.run_stage2) == (run1, run2)
    assert plan.runs == (run1 or run2)


@pytest.mark.parametrize(("area", "run1"), [(None, True), (0.2, True), (0.0, False)])
def test_paper_mode_always_restores(area, run1):
    plan = plan_refinement(0.99, 0.99, mode="paper", area=area)
    assert plan.run_stage2
    assert plan.run_stage1 is run1


def test_bars_are_parameters():
    assert not plan_refinement(0.5, 0.5, perceptual_bar=0.5, alignment_bar=0.4).runs
    assert plan_refinement(0.95, 0.95, perceptual_bar=0.96).runs


def test_strength_spans_its_range():
    assert plan_refinement(1, 1, mode="paper").stage1_strength == 0.5
    assert plan_refinement(0, 1).stage1_strength == 0.9
    assert plan_refinement(0.5, 0.5, stage1_min=0.2, stage1_max=1.0).stage1_strength == pytest.approx(0.8)
    assert plan_refinement(0.5, 0.5, stage2_strength=0.05).stage2_strength == 0.05


@given(SCORES, SCORES, SCORES)
def test_strength_rises_with_the_defects(a, b, as_):
    low, high = sorted((a, b))
    worse, better = plan_refinement(low, as_), plan_refinement(high, as_)
    assert 0.5 <= better.stage1_strength <= worse.stage1_strength <= 0.9


@pytest.mark.parametrize(("steps", "halves"), [(20, (10, 10)), (21, (11, 10)), (2, (1, 1)), (3, (2, 1))])
def test_steps_are_split_in_halves(steps, halves):
    plan = plan_refinement(0.1, 0.1, steps=steps)
    assert (plan.stage1_steps, plan.stage2_steps) == halves


def test_reason_says_what_and_why():
    assert "left exactly as it is" in plan_refinement(0.9, 0.9).reason
    both = plan_refinement(0.5, 0.9, area=0.125).reason
    assert "Perceptual score 0.50 is below its bar of 0.80, alignment score 0.90 passes its bar of 0.80" in both
    assert "stage 1 repaints the masked 12.50% of the picture at strength 0.72 in 10 steps" in both
    assert "stage 2 restores the whole picture at strength 0.20 in 10 steps" in both
    assert "nothing is masked" in plan_refinement(0.5, 0.5, area=0).reason
    assert "stage 2 does not run" in plan_refinement(0.9, 0.5).reason
    assert "Paper mode" in plan_refinement(0.9, 0.5, mode="paper").reason


@pytest.mark.parametrize(
    ("ps", "as_", "region", "area", "run1", "run2"),
    [
        (0.9, 0.9, 0.29, 0.1, True, False),  # a hole in a good picture: stage 1's alone
        (0.9, 0.9, 0.29, None, True, False),
        (0.9, 0.9, 0.3, 0.1, False, False),  # on the bar is over it
        (0.9, 0.9, 0.29, 0.0, False, False),  # nothing of it is in the mask
        (0.9, 0.5, 0.29, 0.1, True, False),
        (0.5, 0.9, 0.9, 0.1, True, True),  # the scores are asked as ever
        (0.5, 0.9, 0.29, 0.1, True, True),
        (0.9, 0.9, None, 0.1, False, False),  # not known, not asked
    ],
)
def test_the_worst_region_is_asked(ps, as_, region, area, run1, run2):
    plan = plan_refinement(ps, as_, area=area, worst_region=region, region_bar=0.3)
    assert (plan.run_stage1, plan.run_stage2) == (run1, run2)


@given(SCORES, SCORES, SCORES)
def test_without_a_bar_the_worst_region_changes_nothing(ps, as_, region):
    assert plan_refinement(ps, as_, worst_region=region) == plan_refinement(ps, as_)


def test_paper_mode_does_not_ask_the_worst_region():
    plan = plan_refinement(0.9, 0.9, mode="paper", worst_region=0.1, region_bar=0.5)
    assert plan == plan_refinement(0.9, 0.9, mode="paper")


def test_the_reason_speaks_of_the_worst_region():
    hole = plan_refinement(0.9, 0.9, area=0.125, worst_region=0.1, region_bar=0.3).reason
    assert "alignment score 0.90 passes its bar of 0.80, worst region 0.10 is below its bar of 0.30: stage 1" in hole
    assert "stage 2 does not run, for the picture as a whole looks good" in hole
    fine = plan_refinement(0.9, 0.9, worst_region=0.6, region_bar=0.3).reason
    assert "worst region 0.60 passes its bar of 0.30: the picture is left exactly as it is" in fine
    unknown = plan_refinement(0.9, 0.9, region_bar=0.3).reason
    assert "the worst region was not measured, so its bar of 0.30 is not asked: the picture is left" in unknown
    assert "region" not in plan_refinement(0.9, 0.9, worst_region=0.1).reason


def test_scores_may_be_tensors_of_one_number():
    assert plan_refinement(torch.tensor(0.5), torch.tensor([0.5])) == plan_refinement(0.5, 0.5)
    assert plan_refinement(1.0000001, 0.5) == plan_refinement(1.0, 0.5)


@pytest.mark.parametrize("name", ["perceptual_score", "alignment_score"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1, "0.5", None, True, torch.zeros(2)])
def test_bad_scores(name, value):
    scores = {"perceptual_score": 0.5, "alignment_score": 0.5, name: value}
    with pytest.raises(InputError, match=f"{name}: "):
        plan_refinement(**scores)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mode", "auto"),
        ("steps", 1),
        ("steps", 2.5),
        ("steps", None),
        ("stage1_min", 0.95),
        ("stage1_max", 1.5),
        ("stage2_strength", -1),
        ("perceptual_bar", float("nan")),
        ("alignment_bar", 2),
        ("area", 1.2),
        ("worst_region", 1.2),
        ("worst_region", float("nan")),
        ("worst_region", "low"),
        ("region_bar", -0.1),
        ("region_bar", None),
    ],
)
def test_bad_options(name, value):
    with pytest.raises(InputError, match=f"{name}: "):
        plan_refinement(0.5, 0.5, **{name: value})
