"""What is wrong with a workflow file, found without a host: against a recorded ``/object_info``.

Written independently of the script that builds the files. An empty list of choices in the record (model files, the
host's samplers) stands for any value. Subgraphs: ``subgraphs.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Info = dict[str, Any]
VIRTUAL = {"MarkdownNote", "Note"}
PRIMITIVE = {"INT": int, "FLOAT": (int, float), "STRING": str, "BOOLEAN": bool}
TITLE_BAR = 30


def inputs_of(node_info: Info) -> dict[str, tuple[Any, Info, bool]]:
    """Input name -> (type, options, required)."""
    return {
        name: (spec[0], spec[1] if len(spec) > 1 else {}, kind == "required")
        for kind in ("required", "optional")
        for name, spec in node_info["input"].get(kind, {}).items()
    }


def choices_of(kind: Any, options: Info) -> list[Any] | None:
    """The choices of a combo, None for anything else."""
    return kind if isinstance(kind, list) else options.get("options", []) if kind == "COMBO" else None


def takes_value(kind: Any, options: Info) -> bool:
    return (choices_of(kind, options) is not None or kind in PRIMITIVE) and not options.get("forceInput")


def fits(given: str, wanted: Any, options: Info) -> bool:
    """Whether an output of type ``given`` may be linked to an input."""
    return (
        wanted == "*" or (choices_of(wanted, options) is not None and given in ("COMBO", "STRING")) or given == wanted
    )


def value_problems(where: str, value: Any, kind: Any, options: Info) -> Iterator[str]:
    choices = choices_of(kind, options)
    if choices is not None:
        if choices and value not in choices:
            yield f"{where}: {value!r} is none of {choices}"
        if not isinstance(value, str) or not value:
            yield f"{where}: {value!r} is no choice"
        return
    if kind not in PRIMITIVE or options.get("forceInput"):
        yield f"{where}: a constant where a link is needed"
    elif not isinstance(value, PRIMITIVE[kind]) or (kind != "BOOLEAN" and isinstance(value, bool)):
        yield f"{where}: {value!r} is no {kind}"
    elif kind in ("INT", "FLOAT") and not options.get("min", value) <= value <= options.get("max", value):
        yield f"{where}: {value} is not in {options.get('min')} … {options.get('max')}"


def api_problems(workflow: Info, info: Info) -> list[str]:
    """Everything wrong with a workflow in API format."""
    found: list[str] = []
    for node_id, node in workflow.items():
        if node["class_type"] not in info:
            found.append(f"{node_id}: no node is called {node['class_type']}")
            continue
        declared = inputs_of(info[node["class_type"]])
        label = f"{node_id} {node['class_type']}"
        found += [f"{label}: {name} is missing" for name, d in declared.items() if d[2] and name not in node["inputs"]]
        for name, value in node["inputs"].items():
            where = f"{label}.{name}"
            if name not in declared:
                found.append(f"{where}: there is no such input")
                continue
            kind, options, _ = declared[name]
            if not isinstance(value, list):
                found += value_problems(where, value, kind, options)
                continue
            source = workflow.get(value[0])
            outputs = info.get(source["class_type"], {}).get("output", []) if source else []
            if not (isinstance(value[1], int) and 0 <= value[1] < len(outputs)):
                found.append(f"{where}: linked to {value}, which does not exist")
            elif not fits(outputs[value[1]], kind, options):
                found.append(f"{where}: a {outputs[value[1]]} where a {kind} is needed")
    return found


def ui_problems(workflow: Info, info: Info) -> list[str]:
    """Everything wrong with a graph in the editor's format: counts, types, ids, layout; not what is in its subgraphs.

    ``info`` has its subgraphs, too, as ``subgraphs.declared`` gives them.
    """
    nodes = {node["id"]: node for node in workflow["nodes"]}
    found = [] if len(nodes) == len(workflow["nodes"]) else ["two nodes have the same id"]
    if max(nodes) > workflow["last_node_id"]:
        found.append("last_node_id is too low")
    for node in nodes.values():
        if node["type"] in VIRTUAL:
            continue
        if node["type"] not in info:
            found.append(f"{node['id']}: no node is called {node['type']}")
            continue
        found += _socket_problems(node, info[node["type"]])
        found += _widget_problems(node, info[node["type"]])
    return [*found, *_link_problems(workflow, nodes), *_layout_problems(workflow)]


def widget_values(node: Info, info: Info) -> Info:
    """The values of a node's fields by their names; those of a subgraph are in the nodes inside."""
    if info[node["type"]].get("subgraph"):
        return {}
    values, named = list(node["widgets_values"]), {}
    for name, (kind, options, _) in inputs_of(info[node["type"]]).items():
        if takes_value(kind, options):
            named[name] = values.pop(0)
            if kind == "INT" and (name in ("seed", "noise_seed") or options.get("control_after_generate")):
                values.pop(0)
            if options.get("image_upload"):
                values.pop(0)
    return named


def _socket_problems(node: Info, node_info: Info) -> Iterator[str]:
    label, declared = f"{node['id']} {node['type']}", inputs_of(node_info)
    if [socket["name"] for socket in node["outputs"]] != list(node_info["output_name"]):
        yield f"{label}: outputs differ from the node's"
    if [socket["type"] for socket in node["outputs"]] != list(node_info["output"]):
        yield f"{label}: types of outputs differ from the node's"
    uploads = ["upload"] if any(options.get("image_upload") for _, options, _ in declared.values()) else []
    if sorted(socket["name"] for socket in node["inputs"]) != sorted([*declared, *uploads]):
        yield f"{label}: inputs differ from the node's"
        return
    for socket in node["inputs"]:
        if socket["name"] in uploads:
            continue
        kind, options, required = declared[socket["name"]]
        if (socket.get("shape") == 7) == required:
            yield f"{label}.{socket['name']}: is drawn as optional and is not, or the other way round"
        if socket["type"] != ("COMBO" if choices_of(kind, options) is not None else kind):
            yield f"{label}.{socket['name']}: is called a {socket['type']}"
        if ("widget" in socket) != takes_value(kind, options):
            yield f"{label}.{socket['name']}: is a widget in one place and none in the other"
        if required and socket["link"] is None and not takes_value(kind, options):
            yield f"{label}.{socket['name']}: is not linked"
        for key in ("localized_name", "link"):
            if key not in socket:
                yield f"{label}.{socket['name']}: has no {key}"


def _widget_problems(node: Info, node_info: Info) -> Iterator[str]:
    """``widgets_values`` goes by position: a value too many shifts all that follow."""
    label, values = f"{node['id']} {node['type']}", list(node["widgets_values"])
    if node_info.get("subgraph"):
        if values:
            yield f"{label}: has values of its own, which are those of the nodes inside"
        return
    for name, (kind, options, _) in inputs_of(node_info).items():
        if not takes_value(kind, options):
            continue
        if not values:
            yield f"{label}: too few widget values, none left for {name}"
            return
        yield from value_problems(f"{label}.{name}", values.pop(0), kind, options)
        if kind == "INT" and (name in ("seed", "noise_seed") or options.get("control_after_generate")):
            control = values.pop(0) if values else None
            if control not in ("fixed", "increment", "decrement", "randomize"):
                yield f"{label}.{name}: {control!r} instead of what to do with the seed"
        if options.get("image_upload") and (values.pop(0) if values else None) != "image":
            yield f"{label}.{name}: the upload button's value is missing"
    if values:
        yield f"{label}: {len(values)} widget values too many: {values}"


def _link_problems(workflow: Info, nodes: dict[int, Info]) -> Iterator[str]:
    ids = [link[0] for link in workflow["links"]]
    if len(set(ids)) != len(ids) or (ids and max(ids) > workflow["last_link_id"]):
        yield "ids of links are not unique, or last_link_id is too low"
    for link_id, source, slot, target, place, kind in workflow["links"]:
        output, socket = nodes[source]["outputs"][slot], nodes[target]["inputs"][place]
        if link_id not in (output["links"] or []) or socket["link"] != link_id:
            yield f"link {link_id}: its ends do not know it"
        if kind != output["type"] or not fits(kind, socket["type"], {}):
            yield f"link {link_id}: a {output['type']}, called a {kind}, goes to a {socket['type']}"
    linked = [s["link"] for node in nodes.values() for s in node["inputs"] if s["link"] is not None]
    leaving = [link for node in nodes.values() for s in node["outputs"] for link in s["links"] or []]
    if sorted(linked) != sorted(ids) or sorted(leaving) != sorted(ids):
        yield "sockets name links that do not exist"
    order = {node_id: node["order"] for node_id, node in nodes.items()}
    if sorted(order.values()) != list(range(len(nodes))) or any(
        order[s] >= order[t] for _, s, _, t, *_ in workflow["links"]
    ):
        yield "the order of the nodes is not an order of execution"


def _layout_problems(workflow: Info) -> Iterator[str]:
    boxes = [
        (f"{n['id']} {n['type']}", n["pos"][0], n["pos"][1] - TITLE_BAR, n["size"][0], _height(n) + TITLE_BAR)
        for n in workflow["nodes"]
    ]
    for number, (label, *box) in enumerate(boxes):
        for other, *its in boxes[:number]:
            if overlap(box, its):
                yield f"{label} lies over {other}"
        if workflow["groups"] and sum(inside(box, group["bounding"]) for group in workflow["groups"]) != 1:
            yield f"{label} lies in no group, or across its border"
    for number, group in enumerate(workflow["groups"]):
        if any(overlap(group["bounding"], other["bounding"]) for other in workflow["groups"][:number]):
            yield f"group {group['title']!r} lies over another"


def _height(node: Info) -> float:
    """Under its title, which is all of a collapsed one."""
    return 0 if node.get("flags", {}).get("collapsed") else node["size"][1]


def overlap(a: list[float], b: list[float]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def inside(box: list[float], frame: list[float]) -> bool:
    return (
        frame[0] <= box[0]
        and frame[1] <= box[1]
        and box[0] + box[2] <= frame[0] + frame[2]
        and box[1] + box[3] <= frame[1] + frame[3]
    )
