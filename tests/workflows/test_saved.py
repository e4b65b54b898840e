"""Workflows that earlier releases saved still open and run: names, places, types and values, without a host.

And the check itself: each change to a node that would break them is made to the record, and must be noticed.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from .saved_checks import FOLDER, names, saved_api_problems, saved_files, saved_ui_problems

ROOT = Path(__file__).resolve().parents[2]
RECORD = "GREFINE_RECORD_SAVED=1 .venv/bin/pytest tests/host/browser/test_saving.py -m slow -k record"
# With nodes that the oldest supported hosts have not: saved where a newer one is at hand.
NEWER_HOSTS = {"grefine_sdxl_supir", "grefine_z_image_turbo_seedvr2", "grefine_flux2_klein_edit"}
UI, API = saved_files("ui"), saved_files("api")


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def info() -> dict[str, Any]:
    """The nodes as they are now."""
    return load(Path(__file__).parent / "host_nodes.json") | load(ROOT / "tests" / "host" / "object_info.json")


def nodes_then(path: Path) -> Any:
    """The nodes of the release that saved it."""
    return load(path.parents[1] / "nodes.json")


def test_every_shipped_workflow_is_saved_for_those_to_come():
    newest = max(FOLDER.glob("*/"), key=lambda path: [int(part) for part in path.name.split(".")])
    for kind in ("ui", "api"):
        saved = {path.stem for path in (newest / kind).glob("*.json")}
        missing = {path.stem for path in (ROOT / "workflows").glob("*.json")} - saved - NEWER_HOSTS
        assert not missing, f"release {newest.name}, {kind}: {sorted(missing)} are not saved. {RECORD}"


@pytest.mark.parametrize("path", UI, ids=names(UI))
def test_the_editor_still_reads_it(path, info):
    assert saved_ui_problems(load(path), nodes_then(path), info) == []


@pytest.mark.parametrize("path", API, ids=names(API))
def test_the_queue_still_takes_it(path, info):
    assert saved_api_problems(load(path), info) == []


def renamed(node: dict[str, Any], old: str, new: str) -> None:
    for group, inputs in node["input"].items():
        node["input"][group] = {new if name == old else name: spec for name, spec in inputs.items()}


def changed(info: dict[str, Any], how: str) -> dict[str, Any]:
    """The nodes of a release that made this change."""
    info = copy.deepcopy(info)
    stage1, plan, quality = (info[f"GRefine{name}"] for name in ("Stage1Inpaint", "Plan", "PQMap"))
    required = plan["input"]["required"]
    if how == "a node is gone":
        del info["GRefinePQMap"]
    elif how == "a socket is renamed":
        renamed(stage1, "denoise_mask", "mask")
    elif how == "a widget is renamed":
        renamed(plan, "alignment_bar", "alignment_limit")
    elif how == "a widget is gone":
        del required["alignment_bar"]
    elif how == "widgets change places":
        required["alignment_bar"] = required.pop("alignment_bar")
    elif how == "a widget is inserted in the middle":
        items = list(required.items())
        place = [name for name, _ in items].index("steps")
        items.insert(place, ("new", ["FLOAT", {"default": 0.5}]))
        plan["input"]["required"] = dict(items)
    elif how == "a choice is gone":
        required["mode"][1]["options"].remove("gated")
    elif how == "a range is narrowed":
        required["steps"][1]["max"] = 10
    elif how == "another type":
        required["steps"][0] = "STRING"
    elif how == "a socket takes something else":
        stage1["input"]["required"]["denoise_mask"][0] = "IMAGE"
    elif how == "a new input is required":
        stage1["input"]["required"]["new"] = ["MASK", {}]
    elif how == "an output is gone":
        for key in ("output", "output_name"):
            quality[key] = quality[key][:3]
    elif how == "outputs change places":
        for key in ("output", "output_name"):
            quality[key] = [quality[key][2], *quality[key][:2], *quality[key][3:]]
    elif how == "an output is of another type":
        quality["output"][1] = "IMAGE"
    else:
        raise ValueError(how)
    return info


EVERYWHERE = [
    "a node is gone",
    "a socket is renamed",
    "a widget is renamed",
    "a widget is gone",
    "a choice is gone",
    "a range is narrowed",
    "another type",
    "a socket takes something else",
    "a new input is required",
    "an output is gone",
    "outputs change places",
    "an output is of another type",
]
IN_THE_EDITOR = ["widgets change places", "a widget is inserted in the middle"]


@pytest.mark.parametrize("how", [*EVERYWHERE, *IN_THE_EDITOR])
def test_what_would_break_a_saved_workflow_is_noticed(info, how):
    """The queue goes by names, so there only some of it matters; the editor also by places."""
    after = changed(info, how)
    full = FOLDER / "0.1.0" / "ui" / "grefine_sdxl_inpainting.json"
    assert saved_ui_problems(load(full), nodes_then(full), after)
    if how in EVERYWHERE:
        assert saved_api_problems(load(full.parents[1] / "api" / full.name), after)


def test_new_things_at_the_end_break_nothing(info):
    after = copy.deepcopy(info)
    for name, node in after.items():
        if name.startswith("GRefine"):
            node["input"].setdefault("optional", {})["new_widget"] = ["FLOAT", {"default": 0.5}]
            node["input"]["optional"]["new_socket"] = ["MASK", {}]
            node["output"] = [*node["output"], "FLOAT"]
            node["output_name"] = [*node["output_name"], "new"]
    for path in UI:
        assert saved_ui_problems(load(path), nodes_then(path), after) == []
    for path in API:
        assert saved_api_problems(load(path), after) == []
