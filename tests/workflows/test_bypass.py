"""Nodes of the templates bypassed and muted, one by one and in pairs, without a host: what the editor would queue.

That it is what the editor queues is compared in `tests/host/browser`, what comes of it is seen in `tests/host`.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from .bypass import BYPASSED, MODES, MUTED, RESULT, Graph, foreseen, in_words, taken_for_strengths
from .checks import fits, inputs_of

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
INFO: dict[str, Any] = {
    **json.loads((Path(__file__).parent / "host_nodes.json").read_text(encoding="utf-8")),
    **json.loads((ROOT / "tests" / "host" / "object_info.json").read_text(encoding="utf-8")),
}
#: Where a stage's numbers may come from: outputs of Refine Plan.
FROM_PLAN = {"run": {0, 3}, "strength": {1, 4}, "steps": {2, 5}}
TEXTS = {"plan_reason": "GRefinePlan", "stage1_guard": "GRefineNoHarmGuard", "stage2_guard": "GRefineNoHarmGuard"}


def load(name: str) -> Graph:
    return Graph(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")), INFO)


def wrong(graph: dict[str, Any]) -> list[str]:
    """What a node would be handed that it neither wants nor refuses by name."""
    found = []
    refused = {stage for stage, _ in taken_for_strengths(graph, INFO)}
    for node_id, node in graph.items():
        declared = inputs_of(INFO[node["class_type"]])
        for name, value in node["inputs"].items():
            if not isinstance(value, list):
                continue
            source = graph[value[0]]["class_type"]
            if not fits(INFO[source]["output"][value[1]], *declared[name][:2]):
                found.append(f"{node_id}.{name}: a {INFO[source]['output'][value[1]]}")
            if name in FROM_PLAN and node["class_type"].startswith("GRefineStage"):
                planned = source == "GRefinePlan" and value[1] in FROM_PLAN[name]
                if not planned and not (name == "strength" and node_id in refused):
                    found.append(f"{node_id}.{name}: from {source}")
            if name in TEXTS and source != TEXTS[name]:
                known = [node["inputs"].get(each) for each in ("prompt", "emphasized_prompt")]
                if value not in known:
                    found.append(f"{node_id}.{name}: from {source}, and no prompt of its own")
    return found


def alike(graph: dict[str, Any]) -> list[str]:
    """The nodes with their inputs, whatever their ids."""
    told = []
    for node in graph.values():
        inputs = {
            name: [graph[value[0]]["class_type"], value[1]] if isinstance(value, list) else value
            for name, value in node["inputs"].items()
        }
        told.append(json.dumps([node["class_type"], inputs], sort_keys=True))
    return sorted(told)


@pytest.mark.parametrize("name", NAMES)
def test_left_as_it_is_the_template_is_the_shipped_api_file(name):
    queued = load(name).queued()
    assert alike(queued) == alike(json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8")))
    assert wrong(queued) == []
    assert foreseen(queued, INFO).runs


@pytest.mark.parametrize("together", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_wrong_is_handed_on(name, together):
    template = load(name)
    found = {}
    for nodes in itertools.combinations(template.ids(), together):
        for modes in itertools.product(MODES.values(), repeat=together):
            problems = wrong(template.queued(dict(zip(nodes, modes, strict=True))))
            if problems:
                found[" + ".join(map(template.name, nodes))] = problems
    assert found == {}


def outcomes(name: str, mode: int) -> dict[str, str]:
    template = load(name)
    told = {}
    for node in template.ids():
        graph = template.queued({node: mode})
        told[template.name(node)] = in_words(graph, foreseen(graph, INFO))
    return told


def test_what_a_bypassed_node_does_to_the_picture():
    told = outcomes("grefine_sdxl_inpainting", BYPASSED)
    through = {name for name, outcome in told.items() if outcome == "picture"}
    assert through >= {
        "Refine",
        "Refine Plan",
        "Prompt Emphasis",
        "Stage-1 Inpaint",
        "No-Harm Guard: stage 1",
        "Stage-2 Restore",
        "No-Harm Guard: stage 2",
        "Quality Report",
    }
    assert told["AQ-Map"] == "message: what is wrong is not known"
    assert told["Binarize Map"] == "message: Unpack Plan: plan is missing"
    assert told["PQ-Map"].startswith("message: Binarize Map: defect_map is missing")
    assert told["Load Quality Model"].startswith("message: PQ-Map: quality_model is missing")


def test_what_a_muted_node_does_to_the_picture():
    told = outcomes("grefine_sdxl_inpainting", MUTED)
    assert told["Refine Plan"] == "picture", "the stages' own widgets count"
    assert told["Stage-1 Inpaint"] == "message: No-Harm Guard: stage 1: after is missing"
    assert told["No-Harm Guard: stage 2"] == f"message: {RESULT}: images is missing"
