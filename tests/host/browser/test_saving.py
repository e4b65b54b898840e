"""Workflows as the editor saves them: recorded for the releases to come, and those of earlier releases opened again."""

from __future__ import annotations

import copy
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ...tooling import tool
from ...workflows.checks import VIRTUAL
from ...workflows.saved_checks import FOLDER, names, saved_files
from ...workflows.test_files import all_nodes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[3]
SAVED = saved_files("ui")
pytestmark = pytest.mark.slow


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def of_then(nodes: dict[str, Any]) -> dict[str, Any]:
    """The nodes without their texts, which may change."""
    kept = {
        name: {key: copy.deepcopy(node[key]) for key in ("input", "output", "output_name")}
        for name, node in nodes.items()
    }
    for node in kept.values():
        for inputs in node["input"].values():
            for spec in inputs.values():
                spec[1].pop("tooltip", None)
    return kept


@pytest.fixture(scope="module")
def unknown(editor) -> Callable[[dict[str, Any]], set[str]]:
    """The kinds of nodes of a workflow that this host has not."""
    known = set(editor.get("/object_info")) | VIRTUAL
    return lambda workflow: {node["type"] for node in all_nodes(workflow)} - known


@pytest.mark.skipif(not os.environ.get("GREFINE_RECORD_SAVED"), reason="set GREFINE_RECORD_SAVED=1 to record")
def test_record_what_the_editor_saves(editor, unknown):
    """Exported by the editor's own menu; what is there already stays. And the nodes' record as it is now."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    if not (FOLDER / version / "nodes.json").exists():
        (FOLDER / version).mkdir(parents=True, exist_ok=True)
        text = json.dumps(of_then(tool("node_record").read()), ensure_ascii=False, separators=(",", ":"))
        (FOLDER / version / "nodes.json").write_text(text + "\n", encoding="utf-8")
    for path in sorted((ROOT / "workflows").glob("*.json")):
        targets = {kind: FOLDER / version / kind / path.name for kind in ("ui", "api")}
        if all(target.exists() for target in targets.values()):
            continue
        if newer := unknown(load(path)):
            warnings.warn(f"{path.name} is left out: this ComfyUI has no {sorted(newer)}", stacklevel=1)
            continue
        editor.drop(path)
        for kind, command in {"ui": "Comfy.ExportWorkflow", "api": "Comfy.ExportWorkflowAPI"}.items():
            targets[kind].parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(editor.export(command), ensure_ascii=False, separators=(",", ":"))
            targets[kind].write_text(text + "\n", encoding="utf-8")


@pytest.mark.parametrize("path", SAVED, ids=names(SAVED))
def test_a_saved_workflow_opens_as_it_was(editor, unknown, path):
    """Values by their places in the editor's file come to the names that the queue's file has them under."""
    if newer := unknown(load(path)):
        pytest.skip(f"this ComfyUI has no {sorted(newer)}")
    editor.drop(path)
    # Older editors name the model files that are missing in a dialog of their own.
    assert [told for told in editor.dialogs() if not told.startswith("Missing Models")] == []
    assert editor.unknown_nodes() == []
    queued, expected = editor.api_graph(), load(path.parents[1] / "api" / path.name)
    assert set(queued) == set(expected)
    for key, node in expected.items():
        if node["class_type"].startswith("GRefine"):
            assert {name: queued[key]["inputs"].get(name) for name in node["inputs"]} == node["inputs"], key
