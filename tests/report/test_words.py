"""What sheet, node and report say in the same words."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from grefine_core.plan import plan_refinement
from grefine_core.report import GuardEntry
from grefine_core.report.words import in_short, kept_though, mask_title, shares_of, shown


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (1.0, 2, "1.00"),
        (1.27, 2, "1.27"),
        (0.996, 2, "0.99"),
        (0.994, 2, "0.99"),
        (0.9996, 3, "0.999"),
        (0.0, 2, "0.00"),
    ],
)
def test_what_is_below_its_bound_is_never_said_to_reach_it(share, digits, text):
    assert shown(share, digits) == text


def test_the_shares_of_a_picture_are_its_ratios_up_to_one():
    found = SimpleNamespace(ratios={"overall": torch.tensor([0.5, 1.5]), "map": torch.tensor([0.25, 0.75])})
    assert [shares_of(found, index) for index in (0, 1)] == [
        {"overall": 0.5, "map": 0.25},
        {"overall": 1.0, "map": 0.75},
    ]
    assert shares_of(SimpleNamespace()) == {}


def entry(number: int, accepted: bool, reason: str = "why", stage: int = 1, attempt: int = 1) -> GuardEntry:
    return GuardEntry(stage, (0, 0, 9, 8), accepted, (0.5, 0.4), (0.4, 0.4), reason, number, attempt=attempt)


@pytest.mark.parametrize(
    ("guard", "title"),
    [
        ((entry(1, True),), "Repainted by stage 1"),
        ((entry(1, False, "no gain"),), "Tried by stage 1, refused: no gain"),
        ((entry(1, False), entry(2, False)), "Tried by stage 1, refused: all 2 regions"),
        ((entry(1, True), entry(2, False)), "Repainted by stage 1: 1 of 2 regions, the others were refused"),
        ((entry(1, False), entry(1, True, attempt=2)), "Repainted by stage 1"),
        ((entry(1, True, stage=2),), "Masked for stage 1"),
        ((), "Masked for stage 1"),
    ],
)
def test_nothing_is_called_repainted_that_was_refused(make_report, guard, title):
    assert mask_title(make_report(guard=guard, plan=None)) == title


def test_where_stage_1_was_not_asked_for_the_mask_says_so(make_report):
    plan = plan_refinement(1.0, 1.0, mode="gated", area=0.5)
    assert mask_title(make_report(guard=(), plan=plan)) == "Masked: stage 1 did not run"


def test_what_fell_though_a_change_is_kept_is_explained_in_one_line(make_report):
    fell = {"shares": {"overall": 0.5, "natural": 0.97}, "shares_after": {"overall": 0.7, "natural": 0.91}}
    kept = entry(1, True, "'fish' 0.40 → 1.10 of its bound; though natural falls from 0.97 to 0.91 of its bound")
    assert kept_though(make_report(guard=(kept, entry(2, False)), **fell)) == (
        "Lower than before: natural 0.970 → 0.910. Kept all the same, for what the guard asks: "
        "'fish' 0.40 → 1.10 of its bound."
    )
    assert (
        kept_though(make_report(guard=(), **fell)) == "Lower than before: natural 0.970 → 0.910. No guard weighed it."
    )


def test_where_nothing_fell_or_nothing_was_changed_there_is_nothing_to_explain(make_report):
    assert kept_though(make_report(shares_after={"overall": 0.9, "technical": 0.3123})) == ""
    assert kept_though(make_report(changed=False, shares_after={"overall": 0.1})) == ""
    assert "worst region 0.125 → 0.100" in kept_though(make_report(worst_region_after=0.1))


def test_in_one_line_what_was_found_repaired_and_refused():
    phrases = [
        {"text": "fish", "defect": "noun", "measured": True},
        {"text": "red hat", "defect": "modifier", "measured": True},
        {"text": "water", "defect": "none", "measured": True},
        {"text": "4k", "defect": "none", "measured": False},
    ]
    guard = [
        {"stage": 1, "number": 1, "accepted": False},
        {"stage": 1, "number": 1, "accepted": True},  # the second attempt
        {"stage": 1, "number": 2, "accepted": False},
        {"stage": 1, "number": 3, "accepted": False},
        {"stage": 2, "number": 1, "accepted": True},
    ]
    described = {"phrases": phrases, "before": {"shares": {"overall": 0.8}}, "guard": guard, "changed": True}
    assert in_short(described) == (
        "Found: 'fish' is not there, 'red hat' is there, but not as described, it looks bad, at least in places. "
        "Repaired: 1 region by stage 1, the whole by stage 2. Tried and refused: 2 regions by stage 1."
    )
    good = {"phrases": phrases[2:], "before": {"shares": {"overall": 1.0}}, "guard": [], "changed": False}
    assert in_short(good) == "Found: nothing wrong. The picture is as it was."
