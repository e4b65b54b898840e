"""The subgraph of the whole method: one node, which newer versions of ComfyUI list among their blueprints.

The format is the editor's for subgraphs: ``definitions.subgraphs`` with an input node of id -10 and an output node of
id -20, links as objects, and one node whose type is the subgraph's id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from workflow_parts import NEGATIVE, Models, Way, repair
from workflow_writer import GAP, ROW, Graph, Node, Output

#: Name of the file, by which the node library lists it.
BLUEPRINT = "G-Refine"
_INPUT, _OUTPUT = -10, -20
_PORT_WIDTH = 160
_LINK = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
_DESCRIPTION = (
    "Finds what is wrong with a picture, perceptually and against its prompt, repairs exactly that in two stages, and "
    "takes back what got worse. A picture that is good already passes untouched."
)


class Port(NamedTuple):
    """An input of the subgraph; a widget's value can also be filled in on its node."""

    name: str
    type: str
    widget: bool = False


INPUTS = (
    Port("image", "IMAGE"),
    Port("quality_model", "GREFINE_QUALITY_MODEL"),
    Port("model", "MODEL"),
    Port("clip", "CLIP"),
    Port("vae", "VAE"),
    Port("prompt", "STRING", widget=True),
    Port("negative_prompt", "STRING", widget=True),
    Port("perceptual_bar", "FLOAT", widget=True),
    Port("alignment_bar", "FLOAT", widget=True),
    Port("steps", "INT", widget=True),
    Port("seed", "INT", widget=True),
    Port("cfg", "FLOAT", widget=True),
    Port("crop_size", "COMBO", widget=True),
)


def blueprint(object_info: Mapping[str, Any]) -> dict[str, Any]:
    """A workflow with the subgraph as its only node, in the editor's format."""
    graph = Graph(BLUEPRINT, object_info)
    outputs = _method(graph)
    definition = _definition(graph.ui(), outputs)
    return {
        "id": _uuid("workflow"),
        "revision": 0,
        "last_node_id": 1,
        "last_link_id": 0,
        "nodes": [_node(definition)],
        "links": [],
        "groups": [],
        "definitions": {"subgraphs": [definition]},
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def _method(graph: Graph) -> dict[str, Output]:
    """The graph inside; gives the subgraph's outputs."""
    info = {"output": [port.type for port in INPUTS], "output_name": [port.name for port in INPUTS]}
    given = Node(_INPUT, "", "", {}, info, (0, 0))
    with graph.group("Pictures"):
        single = graph.node("RebatchImages", "One picture at a time", images=given["image"], batch_size=1)
    models = Models(given["quality_model"], given["model"], given["clip"], given["vae"])
    way = Way(
        plan={name: given[name] for name in ("perceptual_bar", "alignment_bar", "steps")},
        stage1={name: given[name] for name in ("seed", "cfg", "crop_size")},
        stage2={"seed": given["seed"]},
        previews=False,
    )
    repaired = repair(graph, single["image"], given["prompt"], models, given["negative_prompt"], way)
    with graph.group("Report"):
        report = graph.node("GRefineQualityReport", **repaired.report, preview=260)
    for group in graph.groups:
        group.title = group.title.rpartition("· ")[2]  # numbers count the steps of a whole workflow
    # What the widgets show until the user writes into them.
    for node in graph.nodes:
        if node.title == "Negative prompt":
            node.shown["text"] = NEGATIVE
    return {"image": repaired.image, "report": report["sheet"], "report_json": report["report_json"]}


def _definition(ui: dict[str, Any], outputs: Mapping[str, Output]) -> dict[str, Any]:
    links = [dict(zip(_LINK, link, strict=True)) for link in ui["links"]]
    nodes = {node["id"]: node for node in ui["nodes"]}
    for slot, (name, output) in enumerate(outputs.items()):
        source = nodes[output.node.id]["outputs"][output.slot]
        values = (len(links) + 1, output.node.id, output.slot, _OUTPUT, slot, source["type"])
        links.append({**dict(zip(_LINK, values, strict=True)), "name": name})
        source["links"] = [*(source["links"] or []), links[-1]["id"]]
    left = min(group["bounding"][0] for group in ui["groups"]) - GAP - _PORT_WIDTH
    right = max(group["bounding"][0] + group["bounding"][2] for group in ui["groups"]) + GAP
    leaving = [
        _port("input", port.name, port.type, slot, left + _PORT_WIDTH - 20)
        | {"linkIds": [link["id"] for link in links if (link["origin_id"], link["origin_slot"]) == (_INPUT, slot)]}
        for slot, port in enumerate(INPUTS)
    ]
    arriving = [
        _port("output", link.pop("name"), link["type"], slot, right + 20) | {"linkIds": [link["id"]]}
        for slot, link in enumerate(link for link in links if link["target_id"] == _OUTPUT)
    ]
    return {
        "id": _uuid("subgraph"),
        "version": 1,
        "state": {
            "lastGroupId": len(ui["groups"]),
            "lastNodeId": ui["last_node_id"],
            "lastLinkId": len(links),
            "lastRerouteId": 0,
        },
        "revision": 0,
        "config": {},
        "name": BLUEPRINT,
        "inputNode": {"id": _INPUT, "bounding": [left, 0, _PORT_WIDTH, ROW * (len(leaving) + 2)]},
        "outputNode": {"id": _OUTPUT, "bounding": [right, 0, _PORT_WIDTH, ROW * (len(arriving) + 2)]},
        "inputs": leaving,
        "outputs": arriving,
        "widgets": [],
        "nodes": list(nodes.values()),
        "groups": ui["groups"],
        "links": links,
        "extra": {},
        "category": BLUEPRINT,
        "description": _DESCRIPTION,
    }


def _port(side: str, name: str, kind: str, slot: int, x: int) -> dict[str, Any]:
    entry = {"id": _uuid(f"{side}/{name}"), "name": name, "type": kind, "localized_name": name}
    return {**entry, "pos": [x, ROW * (slot + 1)]}


def _node(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The node that stands for the subgraph."""
    inputs = []
    for port in INPUTS:
        widget = {"widget": {"name": port.name}} if port.widget else {}
        inputs.append({"localized_name": port.name, "name": port.name, "type": port.type, **widget, "link": None})
    outputs = [
        {"localized_name": entry["name"], "name": entry["name"], "type": entry["type"], "links": []}
        for entry in definition["outputs"]
    ]
    return {
        "id": 1,
        "type": definition["id"],
        "pos": [0, 0],
        "size": [400, 560],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": inputs,
        "outputs": outputs,
        "title": BLUEPRINT,
        "properties": {},
        "widgets_values": [],
    }


def _uuid(what: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"g-refine/blueprint/{what}"))
