from __future__ import annotations

import json

from grefine_core.report import report_json


def test_survives_json(make_report):
    described = report_json(make_report())
    assert json.loads(json.dumps(described, allow_nan=False)) == described


def test_says_it_all(make_report):
    described = report_json(make_report())
    before = {"perceptual": 0.5, "alignment": 0.4, "worst_region": 0.125}
    shares, factors = {"overall": 0.625, "technical": 0.3125}, {"overall": 0.5, "technical": 0.25}
    assert described["before"] == before | {"shares": shares, "factors": factors}
    assert described["after"]["worst_region"] == 0.375
    assert described["after"]["shares"] == {"overall": 0.75, "technical": None}
    assert described["after"]["factors"] == {"overall": 0.6, "technical": None}
    assert described["size"] == {"height": 40, "width": 60}
    assert described["phrase_count"] == 2  # style takes no part
    balloon = described["phrases"][0]
    assert balloon["text"] == "red balloon"
    assert balloon["head"] == "balloon"
    assert balloon["modifiers"] == ["red"]
    assert balloon["spans"] == [[2, 13]]
    assert (balloon["defect"], balloon["deficit"], balloon["share"], balloon["score"]) == ("modifier", 0.5, 0.5, 0.7)
    assert described["phrases"][1]["share"] == 1.0, "matched: more than its bound is no more than matched"
    assert described["plan"]["run_stage1"] is True
    assert described["plan"]["stage1_steps"] == 10
    assert [entry["accepted"] for entry in described["guard"]] == [False, True]
    assert described["guard"][0]["region"] == [0, 0, 9, 8]
    assert described["guard"][1]["region"] is None
    assert described["notes"] == ["nothing else"]
    assert {"python", "torch", "g-refine"} <= set(described["versions"])


def test_what_is_not_known_is_none(make_report):
    described = report_json(make_report(plan=None, seed=None, area=None, worst_region=None, worst_region_after=None))
    assert described["plan"] is None
    assert described["seed"] is None
    assert described["masked_area"] is None
    assert described["before"]["worst_region"] is described["after"]["worst_region"] is None


def test_alignment_that_was_not_measured_has_no_figure(make_report):
    described = report_json(make_report(alignment_measured=False, phrases=(), after=(0.6, 1.0), before=(0.5, 1.0)))
    assert described["alignment_measured"] is False
    assert described["before"]["alignment"] is described["after"]["alignment"] is None
    assert described["before"]["perceptual"] == 0.5
    assert report_json(make_report())["alignment_measured"] is True
