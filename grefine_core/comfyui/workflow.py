"""Reading and filling in ComfyUI workflows in API format: ``{node id: {"class_type", "inputs", "_meta": {"title"}}}``.

Nodes are found by the titles that the shipped workflows give them ("Picture", "Prompt"), so that a user's own
workflow works as well as long as its nodes carry these titles, or there is only one that can be meant.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError

Workflow = dict[str, dict[str, Any]]

_PICTURE_TITLE, _PICTURE_KINDS, _PICTURE_INPUT = "picture", ("LoadImage", "LoadImageOutput"), "image"
_PROMPT_TITLE, _PROMPT_KINDS = "prompt", ("PrimitiveStringMultiline", "PrimitiveString")
_TEXT_INPUTS = ("value", "text", "prompt", "string")


def read_workflow(path: str | Path) -> Workflow:
    """The workflow in a file.

    Raises:
        InputError: no such file, no JSON, or the editor's format instead of the API format.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"workflow {path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"workflow {path}: is no JSON file ({error})") from error
    return check_workflow(content, str(path))


def check_workflow(content: object, name: str = "workflow") -> Workflow:
    """``content`` if it is a workflow in API format.

    Raises:
        InputError: it is something else; the message says what.
    """
    if isinstance(content, dict) and "nodes" in content and "links" in content:
        raise InputError(
            f"{name}: is in the format of ComfyUI's editor. Export it with 'File > Export (API)'; the shipped "
            "workflows are in API format in workflows/api/"
        )
    nodes = content if isinstance(content, dict) else {}
    if not nodes or not all(
        isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)
        for node in nodes.values()
    ):
        raise InputError(f"{name}: is no ComfyUI workflow in API format (nodes with 'class_type' and 'inputs')")
    return {str(node_id): node for node_id, node in nodes.items()}


def title_of(workflow: Mapping[str, Mapping[str, Any]], node_id: object) -> str:
    """What the editor calls a node, as it can be printed: its title, else its kind, else its id."""
    node = workflow.get(str(node_id), {})
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    name = str(title or node.get("class_type") or node_id)
    return "".join(sign if sign.isprintable() else " " for sign in name)


def set_picture(workflow: Workflow, name: str) -> Workflow:
    """A copy that loads the picture ``name`` of the host's input folder.

    Raises:
        InputError: no loader can be told to be the one that is meant.
    """
    node_id = _find(workflow, _PICTURE_TITLE, _PICTURE_KINDS, (_PICTURE_INPUT,), "picture")
    return set_input(workflow, node_id, _PICTURE_INPUT, name)


def set_prompt(workflow: Workflow, prompt: str) -> Workflow:
    """A copy with this prompt.

    Raises:
        InputError: no node can be told to be the one that holds the prompt.
    """
    node_id = _find(workflow, _PROMPT_TITLE, _PROMPT_KINDS, _TEXT_INPUTS, "prompt")
    key = next(key for key in _TEXT_INPUTS if isinstance(workflow[node_id]["inputs"].get(key), str))
    return set_input(workflow, node_id, key, prompt)


def set_input(workflow: Workflow, node: str, key: str, value: object) -> Workflow:
    """A copy in which the input ``key`` of ``node`` (a title, else an id) has this value instead of its own or a link.

    Raises:
        InputError: no such node, several of that title, or no such input.
    """
    titled = [node_id for node_id in workflow if title_of(workflow, node_id).lower() == node.lower()]
    found = titled or [node_id for node_id in workflow if node_id == node]
    if len(found) != 1:
        count = "several nodes are" if found else "no node is"
        raise InputError(f"workflow: {count} called {node!r}; there are {_titles(workflow)}")
    inputs = workflow[found[0]]["inputs"]
    if key not in inputs:
        raise InputError(f"workflow: {node!r} has no input {key!r}; it has {', '.join(sorted(inputs))}")
    changed = copy.deepcopy(workflow)
    changed[found[0]]["inputs"][key] = value
    return changed


def _find(workflow: Workflow, title: str, kinds: tuple[str, ...], keys: tuple[str, ...], what: str) -> str:
    """The node of that title with a constant text in one of ``keys``, else the only node of those kinds."""

    def usable(node_id: str) -> bool:
        return any(isinstance(workflow[node_id]["inputs"].get(key), str) for key in keys)

    titled = [node_id for node_id in workflow if title_of(workflow, node_id).lower() == title and usable(node_id)]
    found = titled or [node_id for node_id in workflow if workflow[node_id]["class_type"] in kinds and usable(node_id)]
    if len(found) != 1:
        raise InputError(
            f"workflow: cannot tell which node takes the {what}: {len(found)} nodes could; title one of them "
            f"{title.capitalize()!r} (there are {_titles(workflow)})"
        )
    return found[0]


def _titles(workflow: Workflow) -> str:
    return ", ".join(sorted({repr(title_of(workflow, node_id)) for node_id in workflow}))
