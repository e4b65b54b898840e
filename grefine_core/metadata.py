"""The prompt that a generated picture carries in its own metadata: ComfyUI's graph, or A1111's parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .plain_text import lines_of, mended

_TEXT_INPUTS = ("text", "text_g", "text_l", "t5xxl", "clip_l", "string", "value", "prompt", "emphasized_prompt")


def prompt_from_metadata(text: Mapping[str, str]) -> str | None:
    """Return the positive prompt found in a picture's text entries, or None.

    Args:
        text: the entries by name: ``prompt`` as ComfyUI writes it (its graph), ``parameters`` as A1111 does.
    """
    graph = text.get("prompt")
    if graph:
        found = _from_graph(graph)
        if found:
            return mended(found)
    parameters = text.get("parameters")
    found = _from_parameters(parameters) if parameters else None
    return mended(found) if found else None


def _from_parameters(parameters: str) -> str | None:
    lines: list[str] = []
    for line in lines_of(parameters):
        if line.startswith(("Negative prompt:", "Steps:")):
            break
        lines.append(line)
    return "\n".join(lines).strip() or None


def _from_graph(text: str) -> str | None:
    try:
        graph = json.loads(text, parse_int=_whole)
    except json.JSONDecodeError:
        return text.strip() or None  # other programs write the bare prompt under this name
    except RecursionError:
        return None  # nested as no prompt is
    if not isinstance(graph, dict):
        return None
    seen: set[str] = set()
    for node in graph.values():
        # Whatever has a positive conditioning is what the picture was sampled with; its text lies upstream.
        inputs = node.get("inputs") if isinstance(node, dict) else None
        link = inputs.get("positive") if isinstance(inputs, dict) else None
        if isinstance(link, list):
            found = _text_upstream(graph, link, seen)
            if found:
                return found
    return None


def _whole(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:  # Python refuses thousands of digits
        return float(digits)


def _text_upstream(graph: Mapping[str, Any], link: list[Any], seen: set[str]) -> str | None:
    """The first text, depth first. Without recursion: a graph may be thousands of nodes deep."""
    links = [link]
    while links:
        link = links.pop()
        name = str(link[0]) if link else ""
        node = graph.get(name)
        if name in seen or not isinstance(node, dict):
            continue
        seen.add(name)
        inputs = node.get("inputs", {})
        if not isinstance(inputs, dict):
            continue
        for key in _TEXT_INPUTS:
            value = inputs.get(key)
            if isinstance(value, str) and value.strip():
                return value.strip()
        # A conditioning that passes through other nodes (ControlNet, inpaint conditioning) keeps its positive side.
        ordered = sorted(inputs.items(), key=lambda item: item[0] not in (*_TEXT_INPUTS, "positive", "conditioning"))
        links += [value for key, value in reversed(ordered) if isinstance(value, list) and key != "negative"]
    return None
