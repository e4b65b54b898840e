"""Unpack Plan in the host's queue: what it gives is what the nodes gave that looked at the picture."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from .client import HostClient, Run
from .server import HostServer
from .template_tools import WORKFLOWS, of

#: Of its outputs, which node gave it, and under what name.
NUMBERS = {
    "perceptual_score": ("GRefinePQMap", "score"),
    "worst_region": ("GRefinePQMap", "worst_region"),
    "alignment_score": ("GRefineAQMap", "score"),
    "area": ("GRefineBinarizeMap", "area"),
}
MAPS = {
    "denoise_mask": ("GRefineBinarizeMap", "denoise_mask"),
    "composite_mask": ("GRefineBinarizeMap", "composite_mask"),
    "perceptual_defects": ("GRefinePQMap", "defect_map"),
    "alignment_defects": ("GRefineAQMap", "defect_map"),
}

#: Widgets of Prompt Emphasis, as the first template has them.
PROMPT_EMPHASIS: dict[str, Any] = next(
    {key: value for key, value in node["inputs"].items() if not isinstance(value, list)}
    for node in json.loads((WORKFLOWS / "api" / "grefine_1_start_here.json").read_text(encoding="utf-8")).values()
    if node["class_type"] == "GRefinePromptEmphasis"
)


class Unpacked:
    """The diagnosis of the example by the miniature models, as the first template has it, and an unpacked plan."""

    def __init__(self, client: HostClient, server: HostServer) -> None:
        self.client, self.server = client, server
        template = json.loads((WORKFLOWS / "api" / "grefine_1_start_here.json").read_text(encoding="utf-8"))
        self.graph: dict[str, Any] = {}
        wanted = [of(template, "GRefineBinarizeMap")]
        while wanted:
            node = wanted.pop()
            self.graph[node] = template[node]
            wanted += [value[0] for value in template[node]["inputs"].values() if isinstance(value, list)]
        self.info = client.object_info()
        self.add("unpack", "GRefineUnpackPlan", plan=self.output("GRefineBinarizeMap", "plan"))

    def add(self, node: str, kind: str, **inputs: Any) -> None:
        self.graph[node] = {"class_type": kind, "inputs": inputs}

    def output(self, kind: str, name: str) -> list[Any]:
        """A link to an output by its name."""
        return [of(self.graph, kind), self.info[kind]["output_name"].index(name)]

    def show(self, key: str, source: list[Any]) -> None:
        """As text."""
        self.add(key, "PreviewAny", source=source)

    def keep(self, key: str, source: list[Any]) -> None:
        """As an array."""
        self.add(key, "GRefineDoubleCapture", tensor=source, name=f"unpacked {key}")

    def kept(self, key: str) -> np.ndarray:
        return np.load(self.server.output_dir / f"unpacked {key}_0.npy")

    def run(self) -> Run:
        return self.client.run(self.graph)


@pytest.fixture
def unpacked(client, host_server) -> Unpacked:
    return Unpacked(client, host_server)


def test_its_parts_are_those_that_the_nodes_gave(unpacked):
    for name, (kind, output) in NUMBERS.items():
        unpacked.show(f"{name} here", unpacked.output("GRefineUnpackPlan", name))
        unpacked.show(f"{name} there", unpacked.output(kind, output))
    for name, (kind, output) in MAPS.items():
        unpacked.keep(f"{name} here", unpacked.output("GRefineUnpackPlan", name))
        unpacked.keep(f"{name} there", unpacked.output(kind, output))
    unpacked.show("words", unpacked.output("GRefineUnpackPlan", "prompt"))
    run = unpacked.run().ok()
    for name in NUMBERS:
        here, there = (float(run.texts(f"{name} {where}")[0]) for where in ("here", "there"))
        assert here == there, name
    for name in MAPS:
        here, there = (unpacked.kept(f"{name} {where}") for where in ("here", "there"))
        assert here.shape == (1, 128, 128), name
        np.testing.assert_array_equal(here, there, err_msg=name)
    assert unpacked.kept("denoise_mask here").any()
    asked = unpacked.graph[of(unpacked.graph, "PrimitiveStringMultiline")]["inputs"]["value"]
    assert run.texts("words") == [asked]


def test_what_comes_of_it_is_what_comes_of_the_nodes(unpacked):
    """Diagnosis and phrases, which are no numbers: by what other nodes write of them."""
    for where, diagnosis, phrases in (
        ("here", "GRefineUnpackPlan", "GRefineUnpackPlan"),
        ("there", "GRefineAQMap", "GRefineAQMap"),
    ):
        linked = unpacked.output(diagnosis, "diagnosis")
        unpacked.add(f"told {where}", "GRefineRepairInstruction", keep_rest=True, diagnosis=linked)
        unpacked.show(f"instruction {where}", [f"told {where}", 0])
        prompt = unpacked.output("GRefineUnpackPlan", "prompt")
        unpacked.add(
            f"emphasis {where}",
            "GRefinePromptEmphasis",
            prompt=prompt,
            phrases=unpacked.output(phrases, "phrases"),
            **PROMPT_EMPHASIS,
        )
        unpacked.show(f"emphasised {where}", [f"emphasis {where}", 0])
    run = unpacked.run().ok()
    for what in ("instruction", "emphasised"):
        here, there = (run.texts(f"{what} {where}") for where in ("here", "there"))
        assert here == there
        assert len(here[0]) > 10


def test_a_plan_that_the_quality_was_not_told_to_is_refused_by_name(unpacked):
    """PQ-Map's diagnosis is not linked to AQ-Map: its scores and its map are nowhere."""
    del unpacked.graph[of(unpacked.graph, "GRefineAQMap")]["inputs"]["diagnosis"]
    unpacked.show("score", unpacked.output("GRefineUnpackPlan", "perceptual_score"))
    run = unpacked.run()
    assert run.status == "error"
    assert "plan: PQ-Map has not looked at this picture" in run.error_text
    assert "Connect the diagnosis of PQ-Map to AQ-Map" in run.error_text
