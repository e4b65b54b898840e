"""A graph in the format of ComfyUI's editor (``workflow`` in a picture) as it would be run: subgraphs in place,
bypassed and muted nodes left out, widgets by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .graph import MAX_NODES, Graph, Link, Node

_MUTED, _BYPASSED = 2, 4
_SUBGRAPH_INPUT, _SUBGRAPH_OUTPUT = "-10", "-20"
_NO_NODES = ("Note", "MarkdownNote")
_MAX_STEPS = 1_000
#: What the editor keeps behind a seed; no input of the node.
_CONTROL = ("fixed", "increment", "decrement", "randomize")
_SHOWS = re.compile(r"show|display|preview", re.IGNORECASE)
#: Types whose inputs have a field to type in.
_TYPED = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")

#: Names of the fields, in the editor's order, for graphs older than those that tell them: nodes that hold a prompt, or
#: tell what a sampler does.
_WIDGETS = {
    "CLIPTextEncode": "text",
    "CLIPTextEncodeSDXL": "width height crop_w crop_h target_width target_height text_g text_l",
    "CLIPTextEncodeSDXLRefiner": "ascore width height text",
    "CLIPTextEncodeFlux": "clip_l t5xxl guidance",
    "CLIPTextEncodeSD3": "clip_l clip_g t5xxl empty_padding",
    "CLIPTextEncodeHiDream": "clip_l clip_g t5xxl llama",
    "CLIPTextEncodeHunyuanDiT": "bert mt5xl",
    "CLIPTextEncodeLumina2": "system_prompt user_prompt",
    "CLIPTextEncodePixArtAlpha": "width height text",
    "CLIPTextEncodeControlnet": "text",
    "TextEncodeQwenImageEdit": "prompt",
    "TextEncodeQwenImageEditPlus": "prompt",
    "TextEncodeAceStepAudio": "tags lyrics lyrics_strength",
    "TextEncodeHunyuanVideo_ImageToVideo": "prompt image_interleave",
    "GLIGENTextBoxApply": "text width height x y",
    "ConditioningAverage": "conditioning_to_strength",
    "KSampler": "seed steps cfg sampler_name scheduler denoise",
    "KSamplerAdvanced": "add_noise noise_seed steps cfg sampler_name scheduler start_at_step end_at_step return_noise",
    "SamplerCustom": "add_noise noise_seed cfg",
    "BasicScheduler": "scheduler steps denoise",
    "RandomNoise": "noise_seed",
    "PrimitiveNode": "value",
    "PrimitiveString": "value",
    "PrimitiveStringMultiline": "value",
    "PrimitiveInt": "value",
    "PrimitiveFloat": "value",
    "PrimitiveBoolean": "value",
    "StringConcatenate": "string_a string_b delimiter",
    "StringReplace": "string find replace",
    "ImpactWildcardProcessor": "wildcard_text populated_text mode seed select",
    "ImpactWildcardEncode": "wildcard_text populated_text mode lora wildcard seed",
    "SetNode": "name",
    "GetNode": "name",
    "SaveImage": "filename_prefix",
}


@dataclass
class _Scope:
    """A graph, or a subgraph where it stands."""

    prefix: str
    nodes: dict[str, dict[str, Any]]
    links: dict[str, tuple[str, int, str, int]]
    inputs: list[Any] = field(default_factory=list)
    #: Of a subgraph, by number: the nodes and their inputs that an input goes to, and the link that an output comes by.
    given: dict[int, list[tuple[str, int]]] = field(default_factory=dict)
    taken: dict[int, str] = field(default_factory=dict)
    #: Its inputs that have a field to type in, and the places of these.
    fields: dict[int, int] = field(default_factory=dict)
    #: The inputs of the subgraph where it stands, by name.
    outer: dict[str, dict[str, Any]] = field(default_factory=dict)
    parent: _Scope | None = None
    instance: dict[str, Any] = field(default_factory=dict)
    children: dict[str, _Scope] = field(default_factory=dict)
    named: dict[str, dict[str, Any]] = field(default_factory=dict)


def from_editor(content: Any) -> Graph | None:
    """The graph of the editor's format; None if it is something else, or holds more nodes than ``MAX_NODES``."""
    if not isinstance(content, dict) or not isinstance(content.get("nodes"), list):
        return None
    held = content.get("definitions")
    held = held.get("subgraphs") if isinstance(held, dict) else None
    definitions = {
        str(each.get("id")): each for each in (held if isinstance(held, list) else ()) if isinstance(each, dict)
    }
    scopes = [_scope("", content)]
    count = 0
    for scope in scopes:
        count += len(scope.nodes)
        if count > MAX_NODES or len(scopes) > MAX_NODES:
            return None
        for key, node in scope.nodes.items():
            definition = definitions.get(str(node.get("type")))
            # One that is bypassed or muted need not be looked into; one that holds itself would never end.
            if definition is None or _mode(node) or scope.prefix.count(":") > 30:
                continue
            child = _scope(f"{scope.prefix}{key}:", definition)
            child.parent, child.instance = scope, node
            child.outer = {str(entry.get("name")): entry for entry in reversed(_entries(node, "inputs"))}
            scope.children[key] = child
            scopes.append(child)
    graph: Graph = {}
    for scope in scopes:
        for key, node in scope.nodes.items():
            kind = node.get("type")
            if key in scope.children or _mode(node) or not isinstance(kind, str) or kind in (*_NO_NODES, "SetNode"):
                continue
            found = _node(scope, key, node, kind)
            graph[found.id] = found
    return graph or None


def _scope(prefix: str, content: Mapping[str, Any]) -> _Scope:
    nodes = {
        str(node["id"]): node
        for node in _list(content.get("nodes"))
        if isinstance(node, dict) and isinstance(node.get("id"), (int, str))
    }
    links: dict[str, tuple[str, int, str, int]] = {}
    for link in _list(content.get("links")):
        if isinstance(link, dict):
            link = [link.get(name) for name in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
        if isinstance(link, list) and len(link) >= 5 and isinstance(link[2], int) and isinstance(link[4], int):
            links[str(link[0])] = (str(link[1]), link[2], str(link[3]), link[4])
    scope = _Scope(prefix, nodes, links, _list(content.get("inputs")))
    typed = [
        number for number, entry in enumerate(scope.inputs) if isinstance(entry, dict) and entry.get("type") in _TYPED
    ]
    scope.fields = {number: place for place, number in enumerate(typed)}
    for key, (origin, slot, target, to_slot) in links.items():
        if origin == _SUBGRAPH_INPUT:
            scope.given.setdefault(slot, []).append((target, to_slot))
        if target == _SUBGRAPH_OUTPUT:
            scope.taken.setdefault(to_slot, key)
    for node in nodes.values():
        name = next((value for value in _list(node.get("widgets_values")) if isinstance(value, str)), None)
        if node.get("type") == "SetNode" and name is not None:
            scope.named.setdefault(name, node)
    return scope


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mode(node: Mapping[str, Any]) -> int:
    """2 if it is muted, 4 if bypassed, else 0."""
    mode = node.get("mode")
    return mode if mode in (_MUTED, _BYPASSED) and isinstance(mode, int) else 0


def _entries(node: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    return [entry if isinstance(entry, dict) else {} for entry in _list(node.get(key))]


def _node(scope: _Scope, key: str, node: dict[str, Any], kind: str) -> Node:
    inputs = _widgets(node, kind)
    for number, entry in enumerate(_entries(node, "inputs")):
        if entry.get("link") is None:
            continue
        name = entry.get("name")
        name = name if isinstance(name, str) else str(number)
        value = _behind(scope, str(entry["link"]))
        if value is not None:
            inputs[name] = value
        elif name not in inputs or not entry.get("widget"):
            inputs.pop(name, None)
    title = node.get("title")
    outputs = tuple(str(entry.get("name") or "") for entry in _entries(node, "outputs"))
    shown = None
    if _SHOWS.search(kind):
        shown = next((value for value in _flat(node.get("widgets_values")) if isinstance(value, str) and value), None)
    return Node(scope.prefix + key, kind, title if isinstance(title, str) and title else kind, inputs, outputs, shown)


def _flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    return [item for entry in _list(value) for item in (entry if isinstance(entry, list) else [entry])]


def _behind(scope: _Scope, link: str) -> Any:
    """What a link brings: a ``Link`` to the node that gives it, a value typed into a subgraph's field, or None."""
    for _ in range(_MAX_STEPS):
        found = scope.links.get(link)
        if found is None:
            return None
        origin, slot = found[0], found[1]
        if origin == _SUBGRAPH_INPUT:
            if scope.parent is None:
                return None
            entry = _outer_input(scope, slot)
            if entry is None or entry.get("link") is None:
                return _typed(scope, slot)
            scope, link = scope.parent, str(entry["link"])
            continue
        node = scope.nodes.get(origin)
        if node is None or _mode(node) == _MUTED:
            return None
        if _mode(node) == _BYPASSED:
            passed = _passed_on(node, slot)
        elif node.get("type") == "GetNode":
            name = next((value for value in _list(node.get("widgets_values")) if isinstance(value, str)), None)
            setter = scope.named.get(name or "")
            passed = next((entry.get("link") for entry in _entries(setter or {}, "inputs")), None)
        elif node.get("type") == "SetNode":
            passed = next((entry.get("link") for entry in _entries(node, "inputs")), None)
        elif origin in scope.children:
            child = scope.children[origin]
            passed = child.taken.get(slot)
            scope = child
        else:
            return Link(scope.prefix + origin, slot)
        if passed is None:
            return None
        link = str(passed)
    return None


def _passed_on(node: Mapping[str, Any], slot: int) -> Any:
    """The link that a bypassed node's output is joined to, as the editor does it: the first input of its type."""
    outputs, inputs = _entries(node, "outputs"), _entries(node, "inputs")
    kind = outputs[slot].get("type") if 0 <= slot < len(outputs) else None
    same = inputs[slot : slot + 1] if slot >= 0 else []
    return next((entry.get("link") for entry in (*same, *inputs) if entry.get("type") == kind), None)


def _outer_input(scope: _Scope, slot: int) -> dict[str, Any] | None:
    """The input of the subgraph where it stands that its own input ``slot`` is."""
    if not 0 <= slot < len(scope.inputs) or not isinstance(scope.inputs[slot], dict):
        return None
    return scope.outer.get(str(scope.inputs[slot].get("name")))


def _typed(scope: _Scope, slot: int) -> Any:
    """The value in the field that a subgraph shows for its input ``slot``: its own, else that of the node inside that
    it stands for; None if there is none."""
    values = scope.instance.get("widgets_values")
    if isinstance(values, list) and len(values) == len(scope.fields) and slot in scope.fields:
        return values[scope.fields[slot]]
    for target, to_slot in scope.given.get(slot, ()):
        node = scope.nodes.get(target)
        if node is None or not isinstance(node.get("type"), str):
            continue
        entries = _entries(node, "inputs")
        widget = entries[to_slot].get("widget") if 0 <= to_slot < len(entries) else None
        if isinstance(widget, dict):
            value = _widgets(node, node["type"]).get(str(widget.get("name")))
            if value is not None:
                return value
    return None


def _widgets(node: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The values that were typed in, by name. Where nothing tells the names, the lone text of a node
    that gives or encodes one is ``text``."""
    values = node.get("widgets_values")
    if isinstance(values, dict):
        return {str(name): value for name, value in values.items()}
    values = _list(values)
    entries = _entries(node, "inputs")
    declared = [entry["widget"].get("name") for entry in entries if isinstance(entry.get("widget"), dict)]
    names = [name for name in declared if isinstance(name, str)]
    known = _WIDGETS[kind].split() if kind in _WIDGETS else []
    # Old files list only those fields that were made inputs.
    for candidate in (names, known):
        for kept in (values, _without_control(values)):
            if candidate and len(candidate) == len(kept):
                return dict(zip(candidate, kept, strict=True))
    if known:
        return dict(zip(known, _without_control(values), strict=False))
    texts = [value for value in values if isinstance(value, str) and value.strip() and value not in _CONTROL]
    gives = [str(entry.get("name")).lower() for entry in _entries(node, "outputs")]
    kinds = [entry.get("type") for entry in _entries(node, "outputs")]
    encodes = "CONDITIONING" in kinds and any(entry.get("type") == "CLIP" for entry in entries)
    if encodes and {"positive", "negative"} <= set(gives):
        both = [value for value in values if isinstance(value, str)]
        if len(both) == 2:
            return {"positive": both[0], "negative": both[1]}
    if len(texts) == 1 and ("STRING" in kinds or encodes) and (len(values) == 1 or " " in texts[0].strip()):
        return {"text": texts[0]}
    found = {f"widget_{number}": value for number, value in enumerate(values)}
    written = [value for value in texts if " " in value.strip()]
    fields = [
        name
        for entry, name in zip(
            (entry for entry in entries if isinstance(entry.get("widget"), dict)), declared, strict=True
        )
        if entry.get("type") == "STRING" and isinstance(name, str)
    ]
    if len(written) == len(fields) == 1:
        found[fields[0]] = written[0]
    return found


def _without_control(values: list[Any]) -> list[Any]:
    return [
        value
        for at, value in enumerate(values)
        if not (value in _CONTROL and at and isinstance(values[at - 1], (int, float)))
    ]
