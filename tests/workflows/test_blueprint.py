"""The subgraph of the whole method, without a host."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from .checks import api_problems
from .subgraphs import definitions, expand, only, workflow_problems

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "subgraphs"
MODELS = {"image": "IMAGE", "quality_model": "GREFINE_QUALITY_MODEL", "model": "MODEL", "clip": "CLIP", "vae": "VAE"}


@pytest.fixture(scope="module")
def info() -> dict[str, Any]:
    files = (Path(__file__).parent / "host_nodes.json", ROOT / "tests" / "host" / "object_info.json")
    return {k: v for path in files for k, v in json.loads(path.read_text(encoding="utf-8")).items()}


@pytest.fixture
def workflow() -> dict[str, Any]:
    return json.loads((FOLDER / "G-Refine.json").read_text(encoding="utf-8"))


def test_it_is_the_only_one_and_plain_ascii():
    """Some hosts open it in the encoding of the system's language."""
    (path,) = FOLDER.glob("*")
    assert path.name == "G-Refine.json"
    path.read_bytes().decode("ascii")


def problems(workflow: dict[str, Any], info: dict[str, Any]) -> list[str]:
    """What is wrong with it, but for what the user links it to."""
    return [each for each in workflow_problems(workflow, info) if not each.endswith(": is not linked")]


def test_it_is_sound(workflow, info):
    assert problems(workflow, info) == []
    (node,) = workflow["nodes"]
    assert all(socket["link"] is None for socket in node["inputs"])


def test_it_ships():
    """What the registry's archive leaves out."""
    left_out = (ROOT / ".comfyignore").read_text(encoding="utf-8").split()
    assert not any(line.strip("/*") in ("subgraphs", "workflows") or line == "*.json" for line in left_out)


def test_what_it_takes_and_gives(workflow):
    inside = only(workflow)
    ports = {port["name"]: port["type"] for port in inside["inputs"]}
    assert list(ports)[:6] == [*MODELS, "prompt"]
    assert {name: ports[name] for name in MODELS} == MODELS
    assert {port["name"]: port["type"] for port in inside["outputs"]} == {
        "image": "IMAGE",
        "report": "IMAGE",
        "report_json": "STRING",
        "perceptual_score": "FLOAT",
        "alignment_score": "FLOAT",
    }


def test_it_is_the_method_of_the_shipped_workflow(workflow, info):
    """The same nodes linked to each other in the same way, from the maps to the report."""
    models = {name: ["given", slot] for slot, name in enumerate(MODELS)}
    graph, outputs = expand(workflow, info, {**models, "prompt": ["given", 5]})
    shipped = json.loads((ROOT / "workflows" / "api" / "grefine_ordinary_checkpoint.json").read_text(encoding="utf-8"))
    assert _method(graph) == _method(shipped)
    last = graph[outputs["image"][0]]
    assert (last["class_type"], last["inputs"]["stage"]) == ("GRefineNoHarmGuard", "stage 2")
    assert {graph[outputs[name][0]]["class_type"] for name in ("report", "report_json")} == {"GRefineQualityReport"}
    # With what comes from outside, it is a graph that a host would take.
    types = [*MODELS.values(), "STRING"]
    given = {"given": {"input": {}, "output": types, "output_name": types}}
    assert api_problems({"given": {"class_type": "given", "inputs": {}}, **graph}, info | given) == []


#: What Unpack Plan gives, by its places: the same as these nodes.
UNPACKED = [
    ("GRefineAQMap", 5),
    ("GRefineAQMap", 3),
    "outside",
    ("GRefinePQMap", 3),
    ("GRefineAQMap", 2),
    ("GRefinePQMap", 8),
    ("GRefineBinarizeMap", 2),
    ("GRefineBinarizeMap", 0),
    ("GRefineBinarizeMap", 1),
    ("GRefinePQMap", 1),
    ("GRefineAQMap", 0),
]


def _method(graph: dict[str, Any]) -> list[Any]:
    """Kinds of nodes with what their inputs are linked to, and their constants; loaders and what is shown left out."""

    def source(value: Any) -> Any:
        kind = graph.get(value[0], {}).get("class_type", "")
        if kind == "GRefineUnpackPlan":
            return UNPACKED[value[1]]
        return (kind, value[1]) if kind.startswith("GRefine") and "Load" not in kind else "outside"

    return sorted(
        (
            node["class_type"],
            sorted((k, str(source(v) if isinstance(v, list) else v)) for k, v in node["inputs"].items()),
        )
        for node in graph.values()
        if node["class_type"].startswith("GRefine")
        and "Load" not in node["class_type"]
        and node["class_type"] != "GRefineUnpackPlan"
    )


@pytest.mark.parametrize("how", ["port", "link", "type", "widget", "order", "outside"])
def test_damage_is_noticed(workflow, info, how):
    bad = copy.deepcopy(workflow)
    inside = only(bad)
    if how == "port":
        inside["inputs"][5]["linkIds"].pop()
    elif how == "link":
        inside["links"][3]["target_slot"] += 1
    elif how == "type":
        inside["outputs"][0]["type"] = "MASK"
    elif how == "widget":
        nodes = [node for each in definitions(bad).values() for node in each["nodes"]]
        next(n for n in nodes if n["type"] == "GRefinePlan")["widgets_values"].insert(0, 1)
    elif how == "order":
        inside["nodes"][0]["order"] = 9
    elif how == "outside":
        bad["nodes"][0]["inputs"].pop()
    assert problems(bad, info) != []
