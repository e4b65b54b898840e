"""Subgraphs: a graph behind one node, with sockets and fields of its own.

The format is the editor's: ``definitions.subgraphs`` with an input node of id -10 and an output node of id -20, links
as objects, and a node whose type is the subgraph's id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from workflow_layout import FRAME_TITLE, MARGIN
from workflow_writer import GIVEN, GIVING, ROW, WIDTH, Graph, Node, Output, declared_inputs, kind_of

CATEGORY = "G-Refine"
#: Between the inputs or the outputs and the frames.
_PORT_GAP = 24
#: Of a letter of their names, and of what is beside the names: as wide as the editor makes them, at least so wide.
_LETTER, _BESIDE, _LEAST = 7, 38, 130
_LINK = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")


class Port(NamedTuple):
    """An input of a subgraph; a widget's value can also be filled in on its node."""

    name: str
    type: str
    widget: bool = False


@dataclass
class Subgraph:
    """What is behind a node: the graph, its inputs, and its outputs by name."""

    title: str
    graph: Graph
    ports: Sequence[Port]
    outputs: Mapping[str, Output]
    description: str = ""

    @property
    def id(self) -> str:
        """Of the whole world: two templates' subgraphs of one name are two."""
        return _uuid(self.graph.name, "subgraph")

    def source(self, slot: int) -> Output:
        """The output of a node inside that an output of the subgraph gives."""
        return list(self.outputs.values())[slot]

    def definition(self) -> dict[str, Any]:
        """It in the editor's format."""
        wide_in, wide_out = _port_width(port.name for port in self.ports), _port_width(self.outputs)
        self.graph.beside = (wide_in + _PORT_GAP + MARGIN, wide_out + _PORT_GAP + MARGIN)
        ui = self.graph.ui()
        links = [dict(zip(_LINK, link, strict=True)) for link in ui["links"]]
        nodes = {node["id"]: node for node in ui["nodes"]}
        for slot, (name, output) in enumerate(self.outputs.items()):
            source = nodes[output.node.id]["outputs"][output.slot]
            values = (len(links) + 1, output.node.id, output.slot, GIVING, slot, source["type"])
            links.append({**dict(zip(_LINK, values, strict=True)), "name": name})
            source["links"] = [*(source["links"] or []), links[-1]["id"]]
        left = min(group["bounding"][0] for group in ui["groups"]) - _PORT_GAP - wide_in
        right = max(group["bounding"][0] + group["bounding"][2] for group in ui["groups"]) + _PORT_GAP
        leaving = [
            self._port("input", port.name, port.type, slot, left + wide_in - 20)
            | {"linkIds": [link["id"] for link in links if (link["origin_id"], link["origin_slot"]) == (GIVEN, slot)]}
            for slot, port in enumerate(self.ports)
        ]
        arriving = [
            self._port("output", link.pop("name"), link["type"], slot, right + 20) | {"linkIds": [link["id"]]}
            for slot, link in enumerate(link for link in links if link["target_id"] == GIVING)
        ]
        return {
            "id": self.id,
            "version": 1,
            "state": {
                "lastGroupId": len(ui["groups"]),
                "lastNodeId": ui["last_node_id"],
                "lastLinkId": len(links),
                "lastRerouteId": 0,
            },
            "revision": 0,
            "config": {},
            "name": self.title,
            "inputNode": {"id": GIVEN, "bounding": [left, FRAME_TITLE, wide_in, ROW * (len(leaving) + 2)]},
            "outputNode": {"id": GIVING, "bounding": [right, FRAME_TITLE, wide_out, ROW * (len(arriving) + 2)]},
            "inputs": leaving,
            "outputs": arriving,
            "widgets": [],
            "nodes": list(nodes.values()),
            "groups": ui["groups"],
            "links": links,
            "extra": {},
            "category": CATEGORY,
            "description": self.description,
        }

    def _port(self, side: str, name: str, kind: str, slot: int, x: int) -> dict[str, Any]:
        entry = {"id": _uuid(self.graph.name, f"{side}/{name}"), "name": name, "type": kind, "localized_name": name}
        return {**entry, "pos": [x, FRAME_TITLE + ROW * (slot + 1)]}


def add_subgraph(
    graph: Graph,
    title: str,
    ports: Sequence[Port],
    build: Callable[[Graph, Node], Mapping[str, Output]],
    *,
    description: str = "",
    width: int = WIDTH,
    height: int = 0,
    at: tuple[int, int] | None = None,
    **values: Any,
) -> Node:
    """A node that stands for a graph of its own.

    Args:
        graph: where the node goes.
        title: of the node and of the subgraph.
        ports: its inputs; those that nothing inside takes are an error.
        build: adds the nodes inside, given a node whose outputs are the inputs; gives the outputs by name.
        description: for the node library.
        width: of the node.
        height: of the node, computed if 0.
        at: its place.
        values: by input, another node's output, or a constant for a widget.
    """
    inner = Graph(f"{graph.name}/{title}", graph.object_info, graph.ids)
    inner.defaults = graph.defaults
    given_info = {"output": [port.type for port in ports], "output_name": [port.name for port in ports]}
    given = Node(GIVEN, "", "", {}, given_info, (0, 0))
    outputs = build(inner, given)
    inside = Subgraph(title, inner, ports, outputs, description)
    info = {
        "input": {"required": {port.name: _declared(inner, port, slot) for slot, port in enumerate(ports)}},
        "output": [kind_of(output) for output in outputs.values()],
        "output_name": list(outputs),
        "display_name": None,
    }
    unknown = set(values) - {port.name for port in ports}
    if unknown:
        raise KeyError(f"the subgraph {title!r} has no inputs {sorted(unknown)}")
    node = Node(next(graph.ids), inside.id, title, values, info, (width, 0), inside=inside)
    node.size = (width, height or graph.height_of(node))
    for port in ports:
        if port.widget and not isinstance(values.get(port.name), Output | None):
            _show(node, port.name, values[port.name])
    return graph.add(node, at)


def _show(node: Node, name: str, value: Any) -> None:
    """A value for a linked field; of a box, for those that take it inside, however deep."""
    node.shown[name] = value
    if node.inside is not None:
        slot = [port.name for port in node.inside.ports].index(name)
        for target, inner_name in _targets(node.inside.graph, slot):
            _show(target, inner_name, value)


def _targets(inner: Graph, slot: int) -> list[tuple[Node, str]]:
    """The inputs of nodes inside that take what comes in at a place."""
    return [
        (node, name)
        for node in inner.nodes
        for name, value in node.values.items()
        if isinstance(value, Output) and (value.node.id, value.slot) == (GIVEN, slot)
    ]


def _declared(inner: Graph, port: Port, slot: int) -> list[Any]:
    """A port as ``/object_info`` would have it: what the first input is that takes it."""
    targets = _targets(inner, slot)
    if not targets:
        raise KeyError(f"nothing inside takes {port.name!r}")
    if not port.widget:
        return [port.type, {"forceInput": True}]
    node, name = targets[0]
    options = next(options for key, _, options in declared_inputs(node.info) if key == name)
    return [port.type, {key: options[key] for key in ("multiline", "control_after_generate") if key in options}]


def _port_width(names: Iterable[str]) -> int:
    return max(_LEAST, _BESIDE + _LETTER * max(map(len, names)))


def _uuid(name: str, what: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"g-refine/{name}/{what}"))
