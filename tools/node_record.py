"""The recorded copy of the host's ``/object_info`` for this pack: what saved workflows and other programs rely on.

It changes only on purpose: ``python tools/write_node_texts.py --host`` records it anew.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT / "tests" / "host" / "object_info.json"

#: Choices that are the host's (samplers) or the user's (files): left out of the copy, so that any value passes there.
HOST_LISTS = {
    "alignment_encoder",
    "architecture",
    "base",
    "calibration",
    "clip_name",
    "embeddings",
    "pasd",
    "personalised",
    "pipeline",
    "sampler_name",
    "scheduler",
    "vision_tower",
}
#: Those of them that begin with the first file found, whatever it is.
FIRST_FOUND = {"base", "clip_name", "pasd", "pipeline"}
#: What only newer hosts know of a node; the pack passes some of it where it is known.
NODE_KEYS = (
    "input",
    "input_order",
    "output",
    "output_is_list",
    "output_name",
    "output_tooltips",
    "name",
    "display_name",
    "description",
    "category",
    "output_node",
)
#: What only newer hosts know of an input.
NEWER_INPUT_KEYS = {"advanced"}


def of_pack(object_info: dict[str, Any], pack_folder: str) -> dict[str, Any]:
    """The nodes that the host lists as this pack's, in the form of the copy."""
    module = f"custom_nodes.{pack_folder}"
    return {name: normalise(info) for name, info in sorted(object_info.items()) if info.get("python_module") == module}


def normalise(info: dict[str, Any]) -> dict[str, Any]:
    """One node without what differs between hosts."""
    kept = copy.deepcopy({key: info[key] for key in NODE_KEYS})
    for group in ("required", "optional"):
        for name, spec in kept["input"].get(group, {}).items():
            kept["input"][group][name] = [str(spec[0]), _options(name, spec[1])]
    kept["input"].pop("hidden", None)
    kept["input_order"].pop("hidden", None)
    return kept


def _options(name: str, options: dict[str, Any]) -> dict[str, Any]:
    dropped = ({"options"} if name in HOST_LISTS else set()) | ({"default"} if name in FIRST_FOUND else set())
    # A host that knows the word says no to most inputs, an older one says nothing.
    return {key: value for key, value in options.items() if key not in dropped and (key, value) != ("advanced", False)}


def inputs(info: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """All inputs of a node by name: type, and options, with ``optional`` among them."""
    return {
        name: (spec[0], {**spec[1], "optional": group == "optional"})
        for group in ("required", "optional")
        for name, spec in info["input"].get(group, {}).items()
    }


def is_newer(nodes: dict[str, Any]) -> bool:
    """Whether the host that gave these nodes knows ``NEWER_INPUT_KEYS``."""
    return any(NEWER_INPUT_KEYS & set(options) for info in nodes.values() for _, options in inputs(info).values())


def as_older(nodes: dict[str, Any]) -> dict[str, Any]:
    """The nodes as a host gives them that does not know ``NEWER_INPUT_KEYS``."""
    kept = copy.deepcopy(nodes)
    for info in kept.values():
        for group in ("required", "optional"):
            for spec in info["input"].get(group, {}).values():
                spec[1] = {key: value for key, value in spec[1].items() if key not in NEWER_INPUT_KEYS}
    return kept


def read() -> dict[str, Any]:
    """The recorded copy."""
    return json.loads(RECORDED.read_text(encoding="utf-8"))
