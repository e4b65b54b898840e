"""The recorded copy of the host's ``/object_info`` for this pack: what saved workflows and other programs rely on.

It changes only on purpose. To record it anew, with the host that the tests find:

    GREFINE_RECORD=1 python -m pytest tests/host/test_object_info.py

and look at the difference before committing it. The texts of ``locales/en`` are written by the same command;
what then has to be translated anew is named by ``tests/nodes/test_locales.py``.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RECORDED = Path(__file__).resolve().parent / "object_info.json"
LOCALE = ROOT / "locales" / "en" / "nodeDefs.json"

#: Choices that are the host's (samplers) or the user's (files): left out of the copy, so that any value passes there.
HOST_LISTS = {
    "alignment_encoder",
    "base",
    "calibration",
    "clip_name",
    "embeddings",
    "pasd",
    "personalised",
    "pipeline",
    "sampler_name",
    "scheduler",
}
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
    dropped = NEWER_INPUT_KEYS | ({"options", "default"} if name in HOST_LISTS else set())
    return {key: value for key, value in options.items() if key not in dropped}


def read() -> dict[str, Any]:
    """The recorded copy."""
    return json.loads(RECORDED.read_text(encoding="utf-8"))


def write(nodes: dict[str, Any]) -> None:
    """Replace the recorded copy, and the English texts with what it says."""
    RECORDED.write_text(json.dumps(nodes, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    LOCALE.parent.mkdir(parents=True, exist_ok=True)
    LOCALE.write_text(json.dumps(texts(nodes), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def texts(nodes: dict[str, Any]) -> dict[str, Any]:
    """The nodes' texts in the structure that the host's translations have."""
    return {name: _texts(info) for name, info in nodes.items()}


def _texts(info: dict[str, Any]) -> dict[str, Any]:
    inputs = {
        name: {"name": name, "tooltip": spec[1].get("tooltip", "")}
        for group in ("required", "optional")
        for name, spec in info["input"].get(group, {}).items()
    }
    outputs = {
        str(index): {"name": name, "tooltip": tooltip or ""}
        for index, (name, tooltip) in enumerate(zip(info["output_name"], info["output_tooltips"], strict=True))
    }
    return {
        "display_name": info["display_name"],
        "description": info["description"],
        "inputs": inputs,
        "outputs": outputs,
    }
