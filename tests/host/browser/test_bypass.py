"""The rule by which tests know what a bypassed or muted node leaves behind, against the editor that has it."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from ...workflows.bypass import MODES, Graph
from ...workflows.checks import inputs_of
from ..template_tools import WORKFLOWS
from .editor import GROWN_UP

#: Each case is queued by the editor itself; nodes in subgraphs are named as in what it queues, "12:5".
QUEUED = """async cases => {
    const find = id => {
        const parts = id.split(":").map(Number)
        let graph = app.rootGraph ?? app.graph
        for (const part of parts.slice(0, -1)) graph = graph.getNodeById(part).subgraph
        return graph.getNodeById(parts.at(-1))
    }
    const queued = []
    for (const modes of cases) {
        const nodes = Object.entries(modes).map(([id, mode]) => [find(id), mode])
        for (const [node, mode] of nodes) node.mode = mode
        queued.push((await app.graphToPrompt()).output)
        for (const [node] of nodes) node.mode = 0
    }
    return queued
}"""


def plain(graph: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
    """Kinds and inputs, without what only the editor itself has (buttons, titles)."""
    return {
        node_id: (
            node["class_type"],
            {name: value for name, value in node["inputs"].items() if name in inputs_of(info[node["class_type"]])},
        )
        for node_id, node in graph.items()
    }


def compare(editor: Any, name: str, together: int, own: bool) -> None:
    if editor.release() < GROWN_UP:
        pytest.skip("this editor goes on queueing what is in a muted subgraph")
    workflow = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    editor.load(workflow, name)
    info = editor.get("/object_info")
    template = Graph(workflow, info)
    graph = template.queued()
    nodes = [
        node for node in template.ids() if not own or "GRefine" in graph.get(node, {"class_type": ""})["class_type"]
    ]
    cases: list[dict[str, int]] = [{}]
    for chosen in itertools.combinations(nodes, together):
        cases += [dict(zip(chosen, modes, strict=True)) for modes in itertools.product(MODES.values(), repeat=together)]
    for case, queued in zip(cases, editor.page.evaluate(QUEUED, cases), strict=True):
        assert plain(queued, info) == plain(template.queued(case), info), case


def test_one_node(editor):
    compare(editor, "grefine_1_start_here", 1, own=False)


def test_two_nodes(editor):
    compare(editor, "grefine_1_start_here", 2, own=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in WORKFLOWS.glob("*.json")))
def test_every_template(editor, name):
    compare(editor, name, 1, own=False)
