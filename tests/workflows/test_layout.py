"""How the templates look when they open: few boxes that can be read, none over another, no link across one."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from .layout import WINDOW, Box, box, crossings, fitted, overlaps, ports, size

FOLDER = Path(__file__).resolve().parents[2] / "workflows"
PATHS = sorted(FOLDER.glob("*.json"))
MOST_BOXES = 12
#: What an editor shows at its own size when it fits a template into three quarters of a window of 1920 × 1080, with the
#: ten pixels that it leaves around the nodes.
ROOM = (1440 - 20, 810 - 20)
#: The least that Nodes 2.0 makes of a node.
NARROWEST = 225
#: Inside a subgraph: the letters of its fields are 12 high at their own size, and are to have ten pixels.
LEGIBLE = 10 / 12
MOST_INSIDE = 15
#: What the editor's bars cover of the window, at the left and at the top.
BARS = (60, 90)
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


INSIDE = [
    pytest.param(inside, id=f"{path.stem}-{inside['name']}")
    for path in (*PATHS, FOLDER.parent / "subgraphs" / "G-Refine.json")
    for inside in json.loads(path.read_text(encoding="utf-8"))["definitions"]["subgraphs"]
]


@pytest.mark.parametrize("inside", INSIDE)
def test_what_is_in_a_subgraph_is_read_when_it_is_entered(inside):
    """An editor fits the nodes into three quarters of the window then; inputs and outputs find room beside them."""
    assert overlaps(inside) == []
    assert all(node["size"][0] >= NARROWEST for node in inside["nodes"])
    assert len(inside["nodes"]) <= MOST_INSIDE
    assert fitted(inside) >= LEGIBLE
    for end in ports(inside):
        assert BARS[0] <= end.left, "under the bar at the side"
        assert BARS[1] <= end.top, "under the bar above"
        assert end.right <= WINDOW[0]
        assert end.bottom <= WINDOW[1]


@pytest.mark.parametrize("inside", INSIDE)
def test_every_node_in_a_subgraph_lies_in_one_frame_under_its_title(inside):
    frames = [Box(x, y, x + wide, y + high) for x, y, wide, high in (each["bounding"] for each in inside["groups"])]
    for node in inside["nodes"]:
        here = box(node)
        around = [
            frame
            for frame in frames
            if frame.left <= here.left
            and frame.right >= here.right
            and frame.top + inside["groups"][0]["font_size"] <= here.top
            and frame.bottom >= here.bottom
        ]
        assert len(around) == 1, node["type"]
    assert not any(
        a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom
        for number, a in enumerate(frames)
        for b in frames[:number]
    )


def test_what_is_wrong_is_noticed():
    good = json.loads((FOLDER / "grefine_sdxl_inpainting.json").read_text(encoding="utf-8"))
    nodes = {node.get("title"): node for node in good["nodes"]}
    bad = copy.deepcopy(good)
    moved = next(node for node in bad["nodes"] if node.get("title") == "Refined picture")
    moved["pos"][1] = 0
    assert crossings(bad), "the report's link runs over it"
    moved["pos"] = list(nodes["Refine"]["pos"])
    assert overlaps(bad)


def test_a_graph_that_is_too_large_to_be_read_is_noticed():
    good = json.loads((FOLDER / "grefine_sdxl_inpainting.json").read_text(encoding="utf-8"))
    bad = copy.deepcopy(next(each for each in good["definitions"]["subgraphs"] if each["name"] == "Refine"))
    first = next(node for node in bad["nodes"] if node["flags"].get("collapsed"))
    first["flags"] = {}
    assert overlaps(bad), "what is collapsed has no room to be open"
    bad["nodes"][-1]["pos"][0] += 300
    assert fitted(bad) < LEGIBLE
