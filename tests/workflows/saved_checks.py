"""What a release would break of a workflow that an earlier one saved: against the nodes as they are now.

Only this pack's nodes are looked at; the host's own are its own business. Written independently of the rules for
shipped files in ``checks.py``, which may be laid out anew at any time: saved ones must go on working as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .checks import fits, inputs_of, takes_value, value_problems

Info = dict[str, Any]
FOLDER = Path(__file__).resolve().parent / "saved"
OURS = "GRefine"


def saved_files(kind: str) -> list[Path]:
    """Every saved workflow of every release, ``kind`` "ui" or "api"."""
    return sorted(FOLDER.glob(f"*/{kind}/*.json"))


def names(paths: list[Path]) -> list[str]:
    """Readable names for tests: release and workflow."""
    return [f"{path.parents[1].name} {path.stem}" for path in paths]


def saved_api_problems(workflow: Info, info: Info) -> list[str]:
    """What would no longer run of a workflow in the queue's format."""
    return [problem for key, node in workflow.items() for problem in _api_node(key, node, workflow, info)]


def _api_node(key: str, node: Info, workflow: Info, info: Info) -> Iterator[str]:
    kind = node["class_type"]
    if not kind.startswith(OURS):
        yield from _borrowed(key, node, workflow, info)
        return
    if kind not in info:
        yield f"{key}: no node is called {kind}"
        return
    declared = inputs_of(info[kind])
    for name, (_, _, required) in declared.items():
        if required and name not in node["inputs"]:
            yield f"{key} {kind}: {name} is required and was not when this was saved"
    for name, value in node["inputs"].items():
        where = f"{key} {kind}.{name}"
        if name not in declared:
            yield f"{where}: there is no such input any more"
        elif not isinstance(value, list):
            yield from value_problems(where, value, *declared[name][:2])
        else:
            given = _given(workflow, value, info)
            if given is not None and not fits(given, *declared[name][:2]):
                yield f"{where}: takes no {given} any more"


def _borrowed(key: str, node: Info, workflow: Info, info: Info) -> Iterator[str]:
    """Links from our nodes to the host's: the output must still be there, and of that type."""
    for name, value in node["inputs"].items():
        if isinstance(value, list) and str(workflow.get(value[0], {}).get("class_type")).startswith(OURS):
            given = _given(workflow, value, info)
            declared = inputs_of(info[node["class_type"]]) if node["class_type"] in info else {}
            if name in declared and given is not None and not fits(given, *declared[name][:2]):
                yield f"{key} {node['class_type']}.{name}: gets a {given}"


def _given(workflow: Info, link: list[Any], info: Info) -> str | None:
    """The type of the output at the other end; None for a node that the record does not have."""
    kind = workflow[link[0]]["class_type"]
    if kind not in info:
        return None
    outputs = info[kind]["output"]
    return outputs[link[1]] if link[1] < len(outputs) else "nothing"


def saved_ui_problems(workflow: Info, then: Info, now: Info) -> list[str]:
    """What the editor would no longer read as it was saved: sockets by name, outputs and widgets by their places.

    ``then``: the nodes as they were when it was saved. The file itself does not say what its widgets were called.
    """
    found = []
    for node in workflow["nodes"]:
        kind = node["type"]
        if kind.startswith(OURS):
            problems = _ui_node(node, then[kind], now[kind]) if kind in now else [": there is no such node"]
            found += [f"{node['id']} {kind}{problem}" for problem in problems]
    return found


def _ui_node(node: Info, then: Info, now: Info) -> Iterator[str]:
    declared = inputs_of(now)
    for socket in node["inputs"]:
        if socket["name"] not in declared:
            yield f".{socket['name']}: there is no such input any more"
            continue
        kind, options, _ = declared[socket["name"]]
        shown = "COMBO" if isinstance(kind, list) else kind
        if socket["type"] != shown and not fits(socket["type"], kind, options):
            yield f".{socket['name']}: was a {socket['type']} and is a {shown}"
        if ("widget" in socket) != takes_value(kind, options):
            yield f".{socket['name']}: was a widget and is none, or the other way round"
    for name, (_, _, required) in declared.items():
        if required and name not in inputs_of(then):
            yield f": {name} is required and was not when this was saved"
    for place, socket in enumerate(node["outputs"]):
        given = (now["output_name"][place], now["output"][place]) if place < len(now["output"]) else ("nothing", "")
        if (socket["name"], socket["type"]) != given:
            yield f": output {place} was {socket['name']}, a {socket['type']}, and is {given}"
    yield from _widgets(node, _widgets_of(then), _widgets_of(now))


def _widgets_of(node_info: Info) -> dict[str, tuple[Any, Info, bool]]:
    return {name: entry for name, entry in inputs_of(node_info).items() if takes_value(*entry[:2])}


def _widgets(node: Info, then: Info, now: Info) -> Iterator[str]:
    """Values go by their places: the widgets of then must be the first of those of now, in their order."""
    if list(now)[: len(then)] != list(then):
        yield f": the widgets were {list(then)} and are {list(now)}"
        return
    values = list(node.get("widgets_values") or [])
    for name, (kind, options, _) in then.items():
        if not values:
            yield f".{name}: no value was saved"
            return
        yield from value_problems(f".{name}", values.pop(0), *now[name][:2])
        if kind == "INT" and (name in ("seed", "noise_seed") or options.get("control_after_generate")):
            control = values.pop(0) if values else None
            if control not in ("fixed", "increment", "decrement", "randomize"):
                yield f".{name}: {control!r} instead of what to do with the seed"
    if values:
        yield f": values that no widget takes: {values}"
