"""Writes one description of a graph in ComfyUI's two formats: the one its editor saves, and the one its queue takes.

The description names nodes, values and links; which inputs a node has, in which order, and which of them are widgets
comes from a recorded ``/object_info``. Layout: every node where the description puts it (``at``) and the groups around
them, or as ``workflow_layout.py`` finds it best. Subgraphs: ``workflow_subgraphs.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from workflow_layout import FILLED, WINDOW, lay_out
from workflow_models import origin, wanted_files

if TYPE_CHECKING:
    from workflow_subgraphs import Subgraph

WIDGET_TYPES = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
TITLE, ROW, WIDGET_ROW, GAP, PADDING, GROUP_TITLE = 30, 20, 24, 40, 20, 50
#: Of nodes, unless the description says more; Nodes 2.0 makes none narrower than 225.
WIDTH = 240
#: As wide as the editor makes them for the names of their inputs and outputs.
WIDER = {
    "ControlNetInpaintingAliMamaApply": 244,
    "GRefinePlan": 252,
    "SUPIRApply": 244,
    "SeedVR2PostProcessing": 246,
}
#: Of a field of text, and of one that only says where its text comes from (the least of Nodes 2.0).
TEXT_HEIGHT, LINKED_TEXT_HEIGHT = 110, 70
# Notes are as dark as links and code are drawn for, in both of the editor's renderers.
GROUP_COLOR, NOTE_COLORS = "#3f789e", ("#222", "#000")
OPTIONAL_SHAPE = 7  # how the editor draws an input that may stay unconnected
VIRTUAL = ("MarkdownNote",)  # exists in the editor only
#: Ids of what stands in a subgraph for what comes in and what goes out.
GIVEN, GIVING = -10, -20
# Room for what a node shows on itself after it ran (nodes/preview.py).
SHOWN = {
    "GRefinePQMap": 300,
    "GRefineAQMap": 300,
    "GRefineBinarizeMap": 250,
    "GRefinePlan": 120,
    "GRefinePromptEmphasis": 70,
    "GRefineNoHarmGuard": 80,
    "GRefineQualityReport": 300,
    "GRefineLoadQualityModel": 60,
    # A badge that Nodes 2.0 puts below the fields, where nothing else leaves it room.
    "FluxKontextMultiReferenceLatentMethod": 26,
    "GRefineLoadMiniature": 22,
    "GRefineMergeRegions": 26,
    "GRefineRepairInstruction": 26,
    "ModelPatchLoader": 26,
}


@dataclass(frozen=True)
class Output:
    """One output of a node, to be given as an input's value."""

    node: Node
    slot: int


@dataclass
class Node:
    """A node of the graph; ``node["image"]`` is its output of that name (written small, with underscores)."""

    id: int
    kind: str
    title: str
    values: dict[str, Any]
    info: Mapping[str, Any]
    size: tuple[int, int]
    position: tuple[int, int] = (0, 0)
    #: Values that linked widgets show (without one, their default).
    shown: dict[str, Any] = field(default_factory=dict)
    #: What the node stands for, if it is a subgraph.
    inside: Subgraph | None = None
    #: Whether only its title is shown, until somebody opens it.
    collapsed: bool = False

    @property
    def height(self) -> int:
        """Under its title, as it is drawn."""
        return 0 if self.collapsed else self.size[1]

    def __getitem__(self, name: str) -> Output:
        names = [entry.lower().replace(" ", "_") for entry in self.info["output_name"]]
        if name not in names:
            raise KeyError(f"{self.title or self.kind} has no output {name!r}, it has {names}")
        return Output(self, names.index(name))


@dataclass
class Group:
    """A titled frame around nodes; ``bounding`` is (left, top, width, height)."""

    title: str
    nodes: list[Node] = field(default_factory=list)
    bounding: tuple[int, int, int, int] = (0, 0, 0, 0)


def kind_of(output: Output) -> str:
    """The type of what an output gives."""
    return str(output.node.info["output"][output.slot])


def declared_inputs(info: Mapping[str, Any]) -> list[tuple[str, Any, dict[str, Any]]]:
    """(name, type, options) of a node's inputs as ``/object_info`` orders them, required before optional."""
    found = []
    for kind in ("required", "optional"):
        declared = info["input"].get(kind, {})
        for name in info.get("input_order", {}).get(kind, list(declared)):
            spec = declared[name]
            found.append((name, spec[0], spec[1] if len(spec) > 1 else {}))
    return found


def is_widget(kind: Any, options: Mapping[str, Any]) -> bool:
    """Whether the editor shows the input as a field to fill in rather than as a socket only."""
    return (isinstance(kind, list) or kind in WIDGET_TYPES) and not options.get("forceInput")


def extra_widgets(name: str, kind: Any, options: Mapping[str, Any]) -> list[Any]:
    """Values that the editor stores after an input's own: what to do with a seed, the upload button."""
    if kind == "INT" and (options.get("control_after_generate") or name in ("seed", "noise_seed")):
        return ["fixed"]
    return ["image"] if options.get("image_upload") else []


def default(kind: Any, options: Mapping[str, Any]) -> Any:
    """The value that a widget starts with. Raises KeyError where it depends on the machine: files, samplers."""
    if "default" in options:
        return options["default"]
    choices = kind if isinstance(kind, list) else options.get("options")
    if choices:
        return choices[0]
    if isinstance(kind, list) or kind == "COMBO":
        raise KeyError("a choice whose default is not recorded: name the value in the description")
    return {"INT": 0, "FLOAT": 0.0, "BOOLEAN": False}.get(kind if isinstance(kind, str) else "", "")


class Graph:
    """A workflow: ``with graph.group("…"): graph.node("LoadImage", image="x.png")``, then ``ui()`` and ``api()``."""

    def __init__(self, name: str, object_info: Mapping[str, Any], ids: Iterator[int] | None = None) -> None:
        self.name, self.object_info = name, object_info
        #: Numbers of nodes: one sequence for a workflow and its subgraphs, for editors renumber what is there twice.
        self.ids = count(1) if ids is None else ids
        #: By kind of node: values of its widgets other than its own defaults, where none is given.
        self.defaults: Mapping[str, Mapping[str, Any]] = {}
        #: Room for the inputs and the outputs of a subgraph, at its sides.
        self.beside = (0, 0)
        self.groups: list[Group] = []
        self.nodes: list[Node] = []
        #: What App Mode asks for, and what it shows: (node, widget), and nodes.
        self.asked: list[tuple[Node, str]] = []
        self.shown: list[Node] = []

    @contextmanager
    def group(self, title: str) -> Iterator[Group]:
        """What is added inside goes into a new group, or into the last one, if that is its title."""
        if not self.groups or self.groups[-1].title != title:
            self.groups.append(Group(title))
        yield self.groups[-1]

    def node(
        self,
        kind: str,
        title: str = "",
        *,
        width: int = 0,
        height: int = 0,
        preview: int = 0,
        at: tuple[int, int] | None = None,
        collapsed: bool = False,
        inputs: Mapping[str, Any] | None = None,
        **values: Any,
    ) -> Node:
        """A node with its inputs: constants or other nodes' outputs; widgets that are not named keep their defaults.

        ``width`` and ``height`` replace the computed ones, ``preview`` adds room for a picture, ``at`` is its place
        (left, top), ``collapsed``: only its title is shown. ``inputs``: those whose names are those of the box.
        """
        info = self.object_info[kind]
        values = {**self.defaults.get(kind, {}), **(inputs or {}), **values}
        unknown = set(values) - {name for name, _, _ in declared_inputs(info)}
        if unknown:
            raise KeyError(f"{kind} has no inputs {sorted(unknown)}")
        width = width or WIDER.get(kind, WIDTH)
        node = Node(next(self.ids), kind, title or info["display_name"], values, info, (width, 0), collapsed=collapsed)
        node.size = (width, (height or self.height_of(node)) + preview)
        return self.add(node, at)

    def note(
        self, text: str, title: str, *, width: int = WIDTH, height: int = 200, at: tuple[int, int] | None = None
    ) -> Node:
        """Words to the user, in Markdown; exists in the editor only."""
        info = {"input": {}, "output": [], "output_name": []}
        return self.add(Node(next(self.ids), "MarkdownNote", title, {"": text}, info, (width, height)), at)

    def add(self, node: Node, at: tuple[int, int] | None = None) -> Node:
        """Put a node into the current group, or at a place of its own."""
        self.nodes.append(node)
        self.groups[-1].nodes.append(node)
        if at is not None:
            node.position = at
            self.groups[-1].bounding = _around(self.groups[-1])
        return node

    def in_app(self, *asked: tuple[Node, str], shown: tuple[Node, ...]) -> None:
        """What App Mode shows of the workflow: fields to fill in, then results."""
        self.asked, self.shown = list(asked), list(shown)

    def api(self) -> dict[str, Any]:
        """The format that ``POST /prompt`` takes: what is in subgraphs has the ids of both, ``"3:7"``."""
        return dict(self._queued("", {}))

    def _queued(self, prefix: str, given: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """``prefix`` stands before ids; ``given``: what comes from outside, by name."""
        for node in self.nodes:
            if node.kind in VIRTUAL:
                continue
            inputs = {}
            for name, kind, options in declared_inputs(node.info):
                value = node.values.get(name)
                if isinstance(value, Output):
                    value = _queued_link(value, prefix, given)
                    if value is None:
                        value = node.shown.get(name)
                if value is not None:
                    inputs[name] = value
                elif is_widget(kind, options) and node.inside is None:
                    inputs[name] = default(kind, options)
            if node.inside is not None:
                yield from node.inside.graph._queued(f"{prefix}{node.id}:", inputs)
            else:
                meta = {"title": node.title}
                yield f"{prefix}{node.id}", {"inputs": inputs, "class_type": node.kind, "_meta": meta}

    def definitions(self) -> list[dict[str, Any]]:
        """The subgraphs of this graph and of those in them, in the editor's format."""
        found = []
        for node in self.nodes:
            if node.inside is not None:
                found += [node.inside.definition(), *node.inside.graph.definitions()]
        return found

    def ui(self) -> dict[str, Any]:
        """The format that the editor saves."""
        if not any(group.bounding[2] for group in self.groups):  # else everything has a place
            lay_out(self.groups, self.beside)
        links: list[list[Any]] = []
        sockets = {node.id: _sockets(node) for node in self.nodes}
        for node in self.nodes:
            for slot, socket in enumerate(sockets[node.id]):
                value = node.values.get(socket["name"])
                if isinstance(value, Output):
                    socket["link"] = len(links) + 1
                    links.append([socket["link"], value.node.id, value.slot, node.id, slot, kind_of(value)])
        order = {node.id: place for place, node in enumerate(self._sorted())}
        definitions = self.definitions()
        extra: dict[str, Any] = {"ds": self._view()}
        if self.shown:
            extra["linearMode"] = False
            extra["linearData"] = {
                "inputs": [[str(node.id), name] for node, name in self.asked],
                "outputs": [str(node.id) for node in self.shown],
            }
        return {
            "id": str(uuid5(NAMESPACE_URL, f"g-refine/{self.name}")),
            "revision": 0,
            "last_node_id": self.last_id(),
            "last_link_id": len(links),
            "nodes": [self._ui_node(node, sockets[node.id], links, order[node.id]) for node in self.nodes],
            "links": links,
            "groups": [
                {"id": number, "title": group.title, "bounding": list(group.bounding), "color": GROUP_COLOR}
                | {"font_size": 24, "flags": {}}
                for number, group in enumerate(self.groups, 1)
            ],
            **({"definitions": {"subgraphs": definitions}} if definitions else {}),
            "config": {},
            "extra": extra,
            "version": 0.4,
        }

    def last_id(self) -> int:
        """The largest number of a node of this graph and of its subgraphs."""
        inner = [node.inside.graph.last_id() for node in self.nodes if node.inside is not None]
        return max(*inner, *(node.id for node in self.nodes), 0)

    def _view(self) -> dict[str, Any]:
        """All nodes in the middle of the window, as newer editors choose it themselves."""
        left = min(node.position[0] for node in self.nodes)
        top = min(node.position[1] for node in self.nodes) - TITLE
        width = max(node.position[0] + node.size[0] for node in self.nodes) - left
        height = max(node.position[1] + node.size[1] for node in self.nodes) - top
        scale = round(FILLED * min(WINDOW[0] / width, WINDOW[1] / height, 1.5), 3)
        middle = (WINDOW[0] / scale / 2 - left - width / 2, WINDOW[1] / scale / 2 - top - height / 2)
        return {"scale": scale, "offset": [round(each) for each in middle]}

    def _ui_node(self, node: Node, sockets: list[dict[str, Any]], links: list[list[Any]], order: int) -> dict[str, Any]:
        outputs = []
        for slot, (name, kind) in enumerate(zip(node.info["output_name"], node.info["output"], strict=True)):
            leaving = [link[0] for link in links if link[1] == node.id and link[2] == slot]
            outputs.append({"localized_name": name, "name": name, "type": kind, "links": leaving or None})
        result = {
            "id": node.id,
            "type": node.kind,
            "pos": list(node.position),
            "size": list(node.size),
            "flags": {"collapsed": True} if node.collapsed else {},
            "order": order,
            "mode": 0,
            "inputs": sockets,
            "outputs": outputs,
            "properties": _properties(node),
            "widgets_values": _widget_values(node),
        }
        if node.title != node.info.get("display_name"):
            result["title"] = node.title  # else the editor writes the node's own, in the user's language
        if node.kind in VIRTUAL:
            result |= {"color": NOTE_COLORS[0], "bgcolor": NOTE_COLORS[1]}
        return result

    def height_of(self, node: Node) -> int:
        """Of a node with its sockets, widgets and what it shows after it ran."""
        declared = [entry for entry in declared_inputs(node.info) if is_widget(*entry[1:])]
        sockets = len(declared_inputs(node.info)) - len(declared)
        rows = ROW * max(sockets, len(node.info["output_name"]))
        texts = [name for name, kind, options in declared if kind == "STRING" and options.get("multiline")]
        linked = sum(isinstance(node.values.get(name), Output) for name in texts)
        extra = sum(len(extra_widgets(name, *entry)) for name, *entry in declared_inputs(node.info))
        shown = SHOWN.get(node.kind, 0)
        fields = TEXT_HEIGHT * (len(texts) - linked) + LINKED_TEXT_HEIGHT * linked
        return rows + WIDGET_ROW * (len(declared) - len(texts) + extra) + fields + shown + 16

    def _sorted(self) -> list[Node]:
        """Every node after those it takes its inputs from; a subgraph's input node (negative id) is none of them."""
        done: dict[int, Node] = {}

        def visit(node: Node) -> None:
            if node.id >= 0 and node.id not in done:
                for value in node.values.values():
                    if isinstance(value, Output):
                        visit(value.node)
                done[node.id] = node

        for node in self.nodes:
            visit(node)
        return list(done.values())


def _queued_link(value: Output, prefix: str, given: Mapping[str, Any]) -> Any:
    """What an input is linked to, in the queue's format; None for a subgraph's input that nothing is linked to."""
    node = value.node
    if node.id == GIVEN:
        return given.get(node.info["output_name"][value.slot])
    if node.inside is not None:
        return _queued_link(node.inside.source(value.slot), f"{prefix}{node.id}:", {})
    return [f"{prefix}{node.id}", value.slot]


def _around(group: Group) -> tuple[int, int, int, int]:
    nodes = group.nodes
    left, top = (min(node.position[axis] for node in nodes) for axis in (0, 1))
    right, bottom = (max(node.position[axis] + node.size[axis] for node in nodes) for axis in (0, 1))
    top -= TITLE + GROUP_TITLE - PADDING
    margin = PADDING // 2
    return (left - margin, top, right - left + 2 * margin, bottom - top + margin)


def _properties(node: Node) -> dict[str, Any]:
    """What the editor needs to find the pack of a node, and the files that its widgets name."""
    if node.kind in VIRTUAL or node.inside is not None:
        return {}
    found: dict[str, Any] = {"Node name for S&R": node.kind, **origin(node.kind)}
    if files := wanted_files(_widget_values(node)):
        found["models"] = files
    return found


def _sockets(node: Node) -> list[dict[str, Any]]:
    """As the editor lists them: the sockets, then the widgets (which can take links as well)."""
    optional = node.info["input"].get("optional", {})
    sockets = []
    for name, kind, options in sorted(declared_inputs(node.info), key=lambda entry: is_widget(entry[1], entry[2])):
        shown = "COMBO" if isinstance(kind, list) else kind
        socket: dict[str, Any] = {"localized_name": options.get("display_name") or name, "name": name, "type": shown}
        if name in optional:
            socket["shape"] = OPTIONAL_SHAPE
        if is_widget(kind, options):
            socket["widget"] = {"name": name}
        sockets.append({**socket, "link": None})
        if options.get("image_upload"):
            upload = {"localized_name": "choose file to upload", "name": "upload", "type": "IMAGEUPLOAD"}
            sockets.append({**upload, "widget": {"name": "upload"}, "link": None})
    return sockets


def _widget_values(node: Node) -> list[Any]:
    if node.inside is not None:
        return []  # the nodes inside have them
    if node.kind in VIRTUAL:
        return [node.values[""]]
    values = []
    for name, kind, options in declared_inputs(node.info):
        if is_widget(kind, options):
            value = node.values.get(name)
            if isinstance(value, Output):
                value = node.shown.get(name)
            values.append(default(kind, options) if value is None else value)
            values += extra_widgets(name, kind, options)
    return values
