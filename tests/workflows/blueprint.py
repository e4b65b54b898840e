"""A subgraph file, read as the editor reads it: what is wrong with it, and the graph that is queued in its place.

Written independently of the script that builds the file.
"""

from __future__ import annotations

from typing import Any

from .checks import Info, fits, to_api, ui_problems

INPUT, OUTPUT = -10, -20
KEYS = ["id", "origin_id", "origin_slot", "target_id", "target_slot", "type"]


def blueprint_problems(workflow: Info, info: Info) -> list[str]:
    """Everything wrong with a workflow whose only node is a subgraph."""
    (node,), (inside,) = workflow["nodes"], workflow["definitions"]["subgraphs"]
    found = [] if node["type"] == inside["id"] else ["the node is none of this subgraph"]
    if workflow["links"] or any(socket["link"] is not None for socket in node["inputs"]):
        found.append("the node is linked to something")
    for side, sockets in (("inputs", node["inputs"]), ("outputs", node["outputs"])):
        if [(s["name"], s["type"]) for s in sockets] != [(p["name"], p["type"]) for p in inside[side]]:
            return [*found, f"{side} of the node are not those of the subgraph"]
    if any(list(link) != KEYS for link in inside["links"]):
        found.append("a link has other keys")
    ids = [link["id"] for link in inside["links"]]
    if len(set(ids)) != len(ids) or max(ids) > inside["state"]["lastLinkId"]:
        found.append("ids of links are not unique, or lastLinkId is too low")
    if max(n["id"] for n in inside["nodes"]) > inside["state"]["lastNodeId"]:
        found.append("lastNodeId is too low")
    found += _port_problems(inside, node)
    flat, given = _as_workflow(inside)
    return found + ui_problems(flat, info | given)


def _port_problems(inside: Info, node: Info) -> list[str]:
    found = []
    nodes = {each["id"]: each for each in inside["nodes"]}
    for slot, port in enumerate(inside["inputs"]):
        links = [link for link in inside["links"] if (link["origin_id"], link["origin_slot"]) == (INPUT, slot)]
        if not links or port["linkIds"] != [link["id"] for link in links]:
            found.append(f"input {port['name']}: its links are not those that leave it")
        for link in links:
            socket = nodes[link["target_id"]]["inputs"][link["target_slot"]]
            if socket["link"] != link["id"] or not fits(port["type"], socket["type"], {}):
                found.append(f"input {port['name']}: does not fit {socket['name']}")
            if ("widget" in socket) != ("widget" in node["inputs"][slot]):
                found.append(f"input {port['name']}: is a widget outside or inside only")
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


def expand(workflow: Info, info: Info, values: Info) -> tuple[Info, dict[str, list[Any]]]:
    """The graph inside in API format, as the editor queues it.

    values: by input of the subgraph, constants or links to nodes of the caller's graph; widgets that are not named keep
    what they show.

    Returns:
        (nodes by id, with ``inner:`` in front; links to the outputs, by their names).
    """
    (inside,) = workflow["definitions"]["subgraphs"]
    links = [[link[key] for key in KEYS] for link in inside["links"]]
    graph = {}
    for node_id, (kind, inputs) in to_api({"nodes": inside["nodes"], "links": links}, info).items():
        kept = {}
        for name, value in inputs.items():
            if not isinstance(value, list):
                kept[name] = value
            elif value[0] == str(INPUT):
                port = inside["inputs"][value[1]]["name"]
                kept[name] = values[port] if port in values else _shown(inside, info, node_id, name)
            else:
                kept[name] = [f"inner:{value[0]}", value[1]]
        graph[f"inner:{node_id}"] = {"class_type": kind, "inputs": kept}
    outputs = {}
    for link in inside["links"]:
        if link["target_id"] == OUTPUT:
            name = inside["outputs"][link["target_slot"]]["name"]
            outputs[name] = [f"inner:{link['origin_id']}", link["origin_slot"]]
    return graph, outputs


def _shown(inside: Info, info: Info, node_id: str, name: str) -> Any:
    """The value that a linked widget shows."""
    node = next(each for each in inside["nodes"] if str(each["id"]) == node_id)
    _, inputs = to_api({"nodes": [{**node, "inputs": []}], "links": []}, info)[node_id]
    return inputs[name]
