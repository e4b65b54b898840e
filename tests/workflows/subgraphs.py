"""Subgraphs of a workflow file, read as the editor reads them: what is wrong with them, and what is queued for them.

Written independently of the script that builds the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .checks import VIRTUAL, Info, fits, ui_problems, widget_values

INPUT, OUTPUT = -10, -20
KEYS = ["id", "origin_id", "origin_slot", "target_id", "target_slot", "type"]


def definitions(workflow: Info) -> dict[str, Info]:
    """The subgraphs of a workflow by their ids."""
    return {each["id"]: each for each in workflow.get("definitions", {}).get("subgraphs", [])}


def declared(workflow: Info) -> Info:
    """What the subgraphs' own nodes look like, as ``/object_info`` would say it."""
    found = {}
    for key, inside in definitions(workflow).items():
        ends = {node["id"]: node for node in inside["nodes"]}
        inputs = {}
        for port in inside["inputs"]:
            (first, *_) = (link for link in inside["links"] if link["id"] in port["linkIds"])
            socket = ends[first["target_id"]]["inputs"][first["target_slot"]]
            inputs[port["name"]] = [port["type"], {} if "widget" in socket else {"forceInput": True}]
        found[key] = {
            "subgraph": True,
            "input": {"required": inputs},
            "output": [port["type"] for port in inside["outputs"]],
            "output_name": [port["name"] for port in inside["outputs"]],
        }
    return found


def workflow_problems(workflow: Info, info: Info) -> list[str]:
    """Everything wrong with a workflow in the editor's format and with the subgraphs in it."""
    known = definitions(workflow)
    used = [node["type"] for graph in (workflow, *known.values()) for node in graph["nodes"]]
    ids = [node["id"] for graph in (workflow, *known.values()) for node in graph["nodes"]]
    found = [f"subgraph {known[key]['name']}: no node stands for it" for key in known if key not in used]
    if len(set(ids)) != len(ids):
        return [*found, "a node inside has the number of another: editors renumber it"]
    for inside in known.values():
        found += [f"{inside['name']}: {problem}" for problem in _links(inside) or _ports(inside)]
    if found:
        return found
    shown = info | declared(workflow)
    for inside in known.values():
        flat, given = _as_workflow(inside)
        found += [f"{inside['name']}: {problem}" for problem in ui_problems(flat, shown | given)]
    return found + ui_problems(workflow, shown)


def _links(inside: Info) -> list[str]:
    found = []
    if any(list(link) != KEYS for link in inside["links"]):
        found.append("a link has other keys")
    ids = [link["id"] for link in inside["links"]]
    if len(set(ids)) != len(ids) or max(ids) > inside["state"]["lastLinkId"]:
        found.append("ids of links are not unique, or lastLinkId is too low")
    if max(n["id"] for n in inside["nodes"]) > inside["state"]["lastNodeId"]:
        found.append("lastNodeId is too low")
    return found


def _ports(inside: Info) -> list[str]:
    found = []
    nodes = {each["id"]: each for each in inside["nodes"]}
    for slot, port in enumerate(inside["inputs"]):
        links = [link for link in inside["links"] if (link["origin_id"], link["origin_slot"]) == (INPUT, slot)]
        if not links or port["linkIds"] != [link["id"] for link in links]:
            found.append(f"input {port['name']}: its links are not those that leave it")
            continue
        sockets = [nodes[link["target_id"]]["inputs"][link["target_slot"]] for link in links]
        for link, socket in zip(links, sockets, strict=True):
            if socket["link"] != link["id"] or not fits(port["type"], socket["type"], {}):
                found.append(f"input {port['name']}: does not fit {socket['name']}")
        if len({"widget" in socket for socket in sockets}) != 1:
            found.append(f"input {port['name']}: is a widget for some of those inside")
    for slot, port in enumerate(inside["outputs"]):
        links = [link for link in inside["links"] if (link["target_id"], link["target_slot"]) == (OUTPUT, slot)]
        if len(links) != 1 or port["linkIds"] != [links[0]["id"]]:
            found.append(f"output {port['name']}: not one link, or another one")
            continue
        source = nodes[links[0]["origin_id"]]["outputs"][links[0]["origin_slot"]]
        if links[0]["id"] not in source["links"] or source["type"] != port["type"]:
            found.append(f"output {port['name']}: does not fit {source['name']}")
    return found


def _as_workflow(inside: Info) -> tuple[Info, Info]:
    """The graph inside as a workflow, with one node in front that gives what comes from outside; what that node is."""
    first = inside["state"]["lastNodeId"] + 1
    links = [[link[key] for key in KEYS] for link in inside["links"] if link["target_id"] != OUTPUT]
    leaving = {link["id"] for link in inside["links"] if link["target_id"] == OUTPUT}
    nodes = []
    for node in inside["nodes"]:
        outputs = [{**s, "links": [i for i in s["links"] or [] if i not in leaving]} for s in node["outputs"]]
        nodes.append({**node, "outputs": outputs, "order": node["order"] + 1})
    ports = inside["inputs"]
    given = {
        "id": first,
        "type": "given",
        "pos": [-1000, 100],
        "size": [100, 100],
        "order": 0,
        "inputs": [],
        "widgets_values": [],
        "outputs": [{"name": port["name"], "type": port["type"], "links": port["linkIds"]} for port in ports],
    }
    groups = [*inside["groups"], {"title": "given", "bounding": [-1100, 0, 300, 300]}]
    links = [[link[0], first if link[1] == INPUT else link[1], *link[2:]] for link in links]
    ends = {"last_node_id": first, "last_link_id": inside["state"]["lastLinkId"]}
    kinds = {"input": {}, "output": [port["type"] for port in ports], "output_name": [port["name"] for port in ports]}
    return {"nodes": [given, *nodes], "links": links, "groups": groups, **ends}, {"given": kinds}


def to_api(workflow: Info, info: Info) -> Info:
    """The editor's format as the editor itself would queue it: id -> (class_type, inputs); inside as ``"3:7"``."""
    links = {link[0]: (link[1], link[2]) for link in workflow["links"]}
    known = info | declared(workflow)
    return dict(_queued(workflow["nodes"], links, known, definitions(workflow), "", lambda _: None))


def _queued(
    nodes: list[Info],
    links: dict[int, tuple[int, int]],
    info: Info,
    known: dict[str, Info],
    prefix: str,
    outside: Callable[[int], Any],
) -> Iterator[tuple[str, tuple[str, Info]]]:
    """``outside``: what an input of this graph is linked to (or a constant) by its place; None for nothing."""

    def source(link: int) -> Any:
        origin, slot = links[link]
        return outside(slot) if origin == INPUT else _origin(nodes, known, prefix, origin, slot)

    for node in nodes:
        if node["type"] in VIRTUAL:
            continue
        inputs = widget_values(node, info)
        for socket in node["inputs"]:
            value = None if socket["link"] is None else source(socket["link"])
            if value is not None:
                inputs[socket["name"]] = value
        if node["type"] not in known:
            yield f"{prefix}{node['id']}", (node["type"], inputs)
            continue
        inside = known[node["type"]]
        names = [port["name"] for port in inside["inputs"]]
        inner = {link["id"]: (link["origin_id"], link["origin_slot"]) for link in inside["links"]}
        yield from _queued(
            inside["nodes"],
            inner,
            info,
            known,
            f"{prefix}{node['id']}:",
            lambda slot, inputs=inputs, names=names: inputs.get(names[slot]),
        )


def _origin(nodes: list[Info], known: dict[str, Info], prefix: str, origin: int, slot: int) -> list[Any]:
    """The output that gives a value: of a subgraph's node, that of a node inside."""
    node = next(each for each in nodes if each["id"] == origin)
    if node["type"] not in known:
        return [f"{prefix}{origin}", slot]
    inside = known[node["type"]]
    (link,) = (each for each in inside["links"] if (each["target_id"], each["target_slot"]) == (OUTPUT, slot))
    return _origin(inside["nodes"], known, f"{prefix}{origin}:", link["origin_id"], link["origin_slot"])


def only(workflow: Info) -> Info:
    """The subgraph of a file with one node and nothing else; in it may be others."""
    (node,) = workflow["nodes"]
    return definitions(workflow)[node["type"]]


def expand(workflow: Info, info: Info, values: Info) -> tuple[Info, dict[str, list[Any]]]:
    """What a file with one subgraph's node and nothing else stands for in a graph of the caller's, in API format.

    values: by input of the subgraph, constants or links to nodes of the caller's graph; widgets that are not named keep
    what they show.

    Returns:
        (nodes by id; links to the outputs, by their names).
    """
    inside, (node,) = only(workflow), workflow["nodes"]
    names = [port["name"] for port in inside["inputs"]]
    links = {link["id"]: (link["origin_id"], link["origin_slot"]) for link in inside["links"]}
    prefix = f"{node['id']}:"
    known = definitions(workflow)
    shown = info | declared(workflow)
    queued = _queued(inside["nodes"], links, shown, known, prefix, lambda slot: values.get(names[slot]))
    graph = {key: {"class_type": kind, "inputs": inputs} for key, (kind, inputs) in queued}
    outputs = {
        port["name"]: _origin(workflow["nodes"], known, "", node["id"], slot)
        for slot, port in enumerate(inside["outputs"])
    }
    return graph, outputs
