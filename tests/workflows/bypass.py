"""What the editor queues where nodes are bypassed or muted: its rule in Python, and what the host makes of the result.

The rule, the same in the frontends 1.27 to 1.49: a node has its sockets first, in the order of its definition, and then
its widgets, each of which can be linked. A muted node gives nothing. A bypassed one gives for an output what comes into
the input at the output's own place, if the types of both fit what is asked for; else into the first input of exactly
that type; else into the first that fits. For an input that takes anything it is the input at that place, or the first.
What comes into it may be the value of a widget that the node of a subgraph shows for it. An input that is left without
a link has what its widget says, or is not there at all. In a muted or bypassed subgraph nothing is queued, unless it is
in another subgraph itself: then all of it is. A browser test compares all of this with the editor itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .checks import VIRTUAL, Info, choices_of, inputs_of, takes_value, widget_values

MUTED, BYPASSED = 2, 4
MODES = {"muted": MUTED, "bypassed": BYPASSED}
RESULT = "Refined picture"
_INPUT, _OUTPUT = -10, -20
_LINK = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
Link = tuple[str, int]


@dataclass(frozen=True)
class _Value:
    """What a widget says that the node of a subgraph shows for one inside."""

    value: Any


@dataclass(frozen=True)
class _Input:
    name: str
    kind: str
    link: int | None


@dataclass
class _Level:
    """One graph: the workflow's own, or that of a subgraph, where it stands."""

    path: str
    links: dict[int, list[Any]]
    outer: _Node | None = None


@dataclass
class _Node:
    """A node where it stands, in the outermost graph or in a subgraph."""

    id: str
    type: str
    title: str
    mode: int
    inputs: list[_Input]
    outputs: list[str]
    level: _Level
    values: Info
    inside: _Level | None = None


class Graph:
    """A workflow in the editor's format, taken apart once; nodes are known by their ids when it is queued."""

    def __init__(self, workflow: Info, info: Info) -> None:
        self._definitions = {each["id"]: each for each in workflow.get("definitions", {}).get("subgraphs", [])}
        self._info = info
        self._nodes: dict[str, _Node] = {}
        links = {link[0]: link[1:] for link in workflow["links"]}
        self._read(workflow["nodes"], _Level("", links))

    def _read(self, nodes: list[Info], level: _Level) -> None:
        for node in nodes:
            if node["type"] in VIRTUAL:
                continue
            ends = {socket["name"]: socket.get("link") for socket in node.get("inputs", [])}
            inside = self._definitions.get(node["type"])
            if inside is None:
                declared = inputs_of(self._info[node["type"]])
                order = sorted(declared, key=lambda name: takes_value(*declared[name][:2]))
                inputs = [_Input(name, _kind(*declared[name][:2]), ends.get(name)) for name in order]
                outputs = list(self._info[node["type"]]["output"])
                values = widget_values(node, self._info)
            else:
                inputs = [_Input(each["name"], each["type"], each.get("link")) for each in node["inputs"]]
                outputs, values = [each["type"] for each in node["outputs"]], {}
            found = _Node(
                level.path + str(node["id"]),
                node["type"],
                node.get("title") or self._info.get(node["type"], {}).get("display_name", ""),
                node.get("mode", 0),
                inputs,
                outputs,
                level,
                values,
            )
            self._nodes[found.id] = found
            if inside is not None:
                links = {link["id"]: [link[key] for key in _LINK[1:]] for link in inside["links"]}
                found.inside = _Level(f"{found.id}:", links, found)
                self._read(inside["nodes"], found.inside)

    def ids(self) -> list[str]:
        """Every node that can be bypassed or muted: subgraphs, and what is in them, too."""
        return list(self._nodes)

    def name(self, node: str) -> str:
        """What a person calls the node."""
        return self._nodes[node].title

    def queued(self, modes: Mapping[str, int] | None = None) -> Info:
        """The graph in API format, with these nodes bypassed or muted."""
        resolving = _Resolving(self._nodes, modes or {})
        graph = {}
        for node in self._nodes.values():
            if node.inside is None and resolving.runs(node):
                graph[node.id] = {
                    "class_type": node.type,
                    "inputs": {**node.values, **dict(resolving.links(node))},
                    "_meta": {"title": node.title},
                }
        return graph


def _kind(kind: Any, options: Info) -> str:
    return "COMBO" if choices_of(kind, options) is not None else kind


def _fit(one: str, other: str) -> bool:
    """Whether the editor links these types."""
    if "*" in (one, other):
        return True
    return bool(set(one.lower().split(",")) & set(other.lower().split(",")))


class _Resolving:
    """Following links through what is bypassed and into subgraphs."""

    def __init__(self, nodes: dict[str, _Node], modes: Mapping[str, int]) -> None:
        self._nodes, self._modes = nodes, modes

    def _mode(self, node: _Node) -> int:
        return self._modes.get(node.id, node.mode)

    def runs(self, node: _Node) -> bool:
        """Whether neither the node nor the outermost subgraph around it is bypassed or muted.

        What is in a subgraph within a subgraph goes on being queued, if that one is: only what it gives is gone.
        """
        outermost = node
        while outermost.level.outer is not None:
            outermost = outermost.level.outer
        return not {self._mode(node), self._mode(outermost)} & {MUTED, BYPASSED}

    def links(self, node: _Node) -> Iterator[tuple[str, Any]]:
        for slot, socket in enumerate(node.inputs):
            found = self._into(node, slot)
            if found is not None:
                yield socket.name, found.value if isinstance(found, _Value) else list(found)

    def _into(self, node: _Node, slot: int) -> Link | _Value | None:
        """Where that which comes into an input comes from, or what it is."""
        socket = node.inputs[slot]
        if socket.link is None:
            return None
        origin, origin_slot = node.level.links[socket.link][:2]
        if origin == _INPUT:
            assert node.level.outer is not None
            outside = self._into(node.level.outer, origin_slot)
            shown = outside is None and socket.name in node.values
            return _Value(node.values[socket.name]) if shown else outside
        return self._out_of(self._nodes[node.level.path + str(origin)], origin_slot, socket.kind)

    def _out_of(self, node: _Node, slot: int, wanted: str) -> Link | _Value | None:
        mode = self._mode(node)
        if mode == MUTED:
            return None
        if mode == BYPASSED:
            place = _handed_on(node, slot, wanted)
            return None if place is None else self._into(node, place)
        if node.inside is None:
            return node.id, slot
        for origin, origin_slot, target, target_slot, _ in node.inside.links.values():
            if (target, target_slot) == (_OUTPUT, slot):
                return self._out_of(self._nodes[node.inside.path + str(origin)], origin_slot, wanted)
        return None


def _handed_on(node: _Node, slot: int, wanted: str) -> int | None:
    """The place of the input that a bypassed node gives for an output."""
    kinds, given = [each.kind for each in node.inputs], node.outputs[slot]
    if wanted == "*":
        return slot if slot < len(kinds) else 0 if kinds else None
    fitting = [place for place, kind in enumerate(kinds) if _fit(kind, given) and _fit(kind, wanted)]
    exact = [place for place, kind in enumerate(kinds) if kind == wanted]
    return slot if slot in fitting else next(iter([*exact, *fitting]), None)


# What the host makes of it


def missing_inputs(graph: Info, info: Info) -> list[tuple[str, str]]:
    """(node, input) of required inputs that are not there: the host refuses what comes after them, by these names."""
    return [
        (node_id, name)
        for node_id, node in graph.items()
        for name, (_, _, required) in inputs_of(info[node["class_type"]]).items()
        if required and name not in node["inputs"]
    ]


def upstream(graph: Info, node: str) -> set[str]:
    """The node and all that it needs."""
    found, todo = set(), [node]
    while todo:
        each = todo.pop()
        if each not in found:
            found.add(each)
            todo += [value[0] for value in graph[each]["inputs"].values() if isinstance(value, list)]
    return found


def results(graph: Info, info: Info) -> dict[str, list[tuple[str, str]]]:
    """For every node that shows or saves something what it lacks; nothing, if it runs."""
    missing = missing_inputs(graph, info)
    return {
        node_id: [each for each in missing if each[0] in upstream(graph, node_id)]
        for node_id, node in graph.items()
        if info[node["class_type"]].get("output_node")
    }


def taken_for_strengths(graph: Info, info: Info) -> list[tuple[str, str]]:
    """(stage, what its strength comes from) of stages that would take one of our scores for a strength."""
    found = []
    for node_id, node in graph.items():
        source = node["inputs"].get("strength")
        if "strength" not in node["inputs"] or not isinstance(source, list):
            continue
        kind, slot = graph[source[0]]["class_type"], source[1]
        if kind.startswith("GRefine") and kind != "GRefinePlan" and info[kind]["output"][slot] == "FLOAT":
            found.append((node_id, f"{info[kind]['display_name']}'s {info[kind]['output_name'][slot]}"))
    return found


@dataclass(frozen=True)
class Outcome:
    """What becomes of the template's result: `missing`, `refused` and `undiagnosed` say why there is none."""

    missing: tuple[tuple[str, str], ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    undiagnosed: bool = False

    @property
    def runs(self) -> bool:
        """Whether the result is made."""
        return not self.missing and not self.refused and not self.undiagnosed


def result_nodes(graph: Info, info: Info) -> list[str]:
    """The nodes that save the refined picture; where a template has no such, all that show something."""
    saving = [node_id for node_id, node in graph.items() if node["_meta"]["title"] == RESULT]
    return saving or list(results(graph, info))


def foreseen(graph: Info, info: Info) -> Outcome:
    """What the host will make of a queued graph."""
    lacks = results(graph, info)
    wanted = result_nodes(graph, info)
    missing = {each: None for node_id in wanted for each in lacks[node_id]}
    needed = set().union(*(upstream(graph, node_id) for node_id in wanted))
    refused = [each for each in taken_for_strengths(graph, info) if each[0] in needed]
    return Outcome(tuple(missing), tuple(refused), any(_knows_nothing(graph, node_id) for node_id in needed))


def _knows_nothing(graph: Info, node_id: str) -> bool:
    """Whether a node cuts out regions that nobody names, or takes a plan apart for which a map did not look."""
    if graph[node_id]["class_type"] == "GRefineSplitRegions":
        return not {"denoise_mask", "plan", "regions"} & set(graph[node_id]["inputs"])
    link = graph[node_id]["inputs"].get("plan") if graph[node_id]["class_type"] == "GRefineUnpackPlan" else None
    if not isinstance(link, list) or graph[link[0]]["class_type"] != "GRefineBinarizeMap":
        return False
    looked = {graph[before]["class_type"] for before in upstream(graph, link[0])}
    return "diagnosis" not in graph[link[0]]["inputs"] or not {"GRefinePQMap", "GRefineAQMap"} <= looked


def in_words(graph: Info, outcome: Outcome) -> str:
    """One cell of the table."""
    if outcome.missing:
        lacking = [f"{graph[node]['_meta']['title']}: {name}" for node, name in outcome.missing]
        more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        return f"message: {lacking[0]} is missing{more}"
    if outcome.refused:
        return "message: " + "; ".join(
            f"{graph[node]['_meta']['title']}: no {whose}" for node, whose in outcome.refused
        )
    return "message: what is wrong is not known" if outcome.undiagnosed else "picture"
