"""A workflow that was saved before nodes had a choice, opened in today's editor: it computes what it computed."""

from __future__ import annotations

import copy
import json

from ..template_tools import ROOT, WORKFLOWS

SAVED = ROOT / "tests" / "workflows" / "saved" / "0.1.0" / "ui" / "grefine_score_gated_batch.json"


def choices(editor) -> list[tuple[str, object, object]]:
    queued = editor.api_graph().values()
    kinds = ("GRefineAQMap", "GRefineNoHarmGuard")
    return sorted(
        (node["class_type"], node["inputs"]["formula"], node["inputs"].get("rule"))
        for node in queued
        if node["class_type"] in kinds
    )


def test_choices_that_the_file_does_not_know_are_what_was_done_before(editor):
    workflow = json.loads(SAVED.read_text(encoding="utf-8"))
    editor.load(copy.deepcopy(workflow), "saved")
    assert choices(editor) == [("GRefineAQMap", "paper", None), *[("GRefineNoHarmGuard", "paper", "scores")] * 2]


def test_what_a_file_says_is_left_as_it_is(editor):
    editor.load(json.loads((WORKFLOWS / "grefine_score_gated_batch.json").read_text(encoding="utf-8")), "today")
    assert choices(editor) == [("GRefineAQMap", "bounded", None), *[("GRefineNoHarmGuard", "bounded", "gain")] * 2]
