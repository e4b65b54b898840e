"""How the templates look when they open: few boxes that can be read, none over another, no link across one."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from .layout import box, crossings, overlaps, size

FOLDER = Path(__file__).resolve().parents[2] / "workflows"
PATHS = sorted(FOLDER.glob("*.json"))
MOST_BOXES = 12
#: What an editor shows at its own size when it fits a template into three quarters of a window of 1920 × 1080, with the
#: ten pixels that it leaves around the nodes.
ROOM = (1440 - 20, 810 - 20)
#: The least that Nodes 2.0 makes of a node.
NARROWEST = 225
RESULTS = ("SaveImage", "PreviewImage", "MaskPreview", "PreviewAny")


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> dict[str, Any]:
    return json.loads(request.param.read_text(encoding="utf-8"))


def test_it_has_few_boxes_that_do_not_lie_over_each_other(workflow):
    assert len(workflow["nodes"]) <= MOST_BOXES
    assert overlaps(workflow) == []
    assert all(node["size"][0] >= NARROWEST for node in workflow["nodes"])


def test_no_link_runs_over_a_box(workflow):
    assert workflow["links"]
    assert crossings(workflow) == []


def test_it_opens_at_its_own_size(workflow):
    """Its smallest letters, those of prompts and notes, have ten pixels there."""
    width, height = size(workflow)
    assert width <= ROOM[0]
    assert height <= ROOM[1]


def test_its_results_are_a_row_at_the_end(workflow):
    """To the right of all else; none of them hidden under another's link."""
    shown = [node for node in workflow["nodes"] if node["type"] in RESULTS]
    others = [node for node in workflow["nodes"] if node["type"] not in RESULTS]
    assert min(box(node).left for node in shown) > max(box(node).right for node in others)
    main = [node for node in shown if node.get("title") != "What was decided"]
    assert max(box(node).top for node in main) < min(box(node).bottom for node in main), "one row"


def test_no_picture_is_shown_twice(workflow):
    """One box for each picture that a node gives."""
    sources = [
        (link[1], link[2])
        for link in workflow["links"]
        for node in workflow["nodes"]
        if node["id"] == link[3] and node["type"] in RESULTS
    ]
    assert len(set(sources)) == len(sources)
    loaded = [node["widgets_values"][0] for node in workflow["nodes"] if node["type"] == "LoadImage"]
    assert len(set(loaded)) == len(loaded)


def test_what_is_wrong_is_noticed():
    good = json.loads((FOLDER / "grefine_sdxl_inpainting.json").read_text(encoding="utf-8"))
    nodes = {node.get("title"): node for node in good["nodes"]}
    bad = copy.deepcopy(good)
    moved = next(node for node in bad["nodes"] if node.get("title") == "Refined picture")
    moved["pos"][1] = 0
    assert crossings(bad), "the report's link runs over it"
    moved["pos"] = list(nodes["Refine"]["pos"])
    assert overlaps(bad)
