"""What a template looks like when it has just been opened, in both of the editor's renderers: measured, not looked at.

In a window of 1920 × 1080: the size of the letters on the screen, boxes over each other, links over boxes, notes that
do not fit. And App Mode, where the editor has it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from ...workflows.layout import Box, curve
from .editor import GROWN_UP

WORKFLOWS = Path(__file__).resolve().parents[3] / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
# The one box, and the most boxes; the others are measured in the slow run.
FIRST = ("grefine_1_start_here", "grefine_score_gated_batch")
SOME = [pytest.param(name, marks=[] if name in FIRST else pytest.mark.slow) for name in NAMES]
SMALLEST = 10.0
#: The height of the letters of fields at their own size, in both renderers.
FIELD = 12
#: The editor draws a shadow and a border; that much may lie over each other.
TOUCH = 4.0

SEEN = """() => {
    const canvas = app.canvas, scale = canvas.ds.scale, vue = Boolean(LiteGraph.vueNodesMode)
    const shown = node => [...document.querySelectorAll(`[data-node-id="${node.id}"]`)].find(e => e.offsetWidth)
    const graph = canvas.graph
    const boxes = graph.nodes.map(node => {
        const element = vue ? shown(node) : null, title = LiteGraph.NODE_TITLE_HEIGHT
        const under = node.flags.collapsed ? 0 : node.size[1]
        if (!element) return [Number(node.id), node.pos[0], node.pos[1] - title, node.size[0], under + title]
        const box = element.getBoundingClientRect(), [x, y] = [canvas.ds.offset[0], canvas.ds.offset[1]]
        return [Number(node.id), box.left / scale - x, box.top / scale - y, box.width / scale, box.height / scale]
    })
    const inside = link => graph.getNodeById(link.origin_id) && graph.getNodeById(link.target_id)
    const links = [...graph.links.values()].filter(inside).map(link => {
        const from = graph.getNodeById(link.origin_id), to = graph.getNodeById(link.target_id)
        const ends = [[...from.getOutputPos(link.origin_slot)], [...to.getInputPos(link.target_slot)]]
        return [Number(link.id), Number(from.id), Number(to.id), ...ends]
    })
    const texts = [...document.querySelectorAll("textarea, .comfy-markdown p, .tiptap p, [data-node-id] p")]
    const holder = vue ? "[data-node-id]" : ".dom-widget, .comfy-markdown, .comfy-multiline-input"
    const drawn = texts.filter(e => e.getBoundingClientRect().width && e.closest(holder))
    const letters = drawn.map(e => {
        const grown = e.getBoundingClientRect().height / e.offsetHeight
        return [e.textContent.slice(0, 30) || e.value, parseFloat(getComputedStyle(e).fontSize) * grown]
    })
    const hidden = drawn.map(e => e.closest(".comfy-markdown") ?? e).filter(e => e.scrollHeight > e.clientHeight + 4)
    const frames = graph.groups.map(group => [...group.pos, ...group.size])
    return {
        ports: [graph.inputNode, graph.outputNode].filter(end => end).map(end => [...end.boundingRect]),
        frames, scale, boxes, links, letters,
        canvas: vue ? null : Math.min(LiteGraph.NODE_TEXT_SIZE, LiteGraph.NODE_SUBTEXT_SIZE) * scale,
        hidden: hidden.map(e => (e.textContent || e.value).slice(0, 40)),
    }
}"""


#: Into a subgraph, wherever its node stands.
ENTER = """key => {
    const root = app.rootGraph ?? app.graph, inside = root.subgraphs.get(key)
    const nodes = [root, ...root.subgraphs.values()].flatMap(graph => graph.nodes)
    app.canvas.openSubgraph(inside, nodes.find(node => node.subgraph === inside))
}"""
LEAVE = "() => app.canvas.setGraph(app.rootGraph ?? app.graph)"


def load(name: str) -> dict[str, Any]:
    return json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=["classic", "nodes 2.0"])
def window(request: pytest.FixtureRequest, open_editor, server):
    """A tab in the size of a common screen, with one of the renderers."""
    wanted = request.param != "classic"
    tab = open_editor(server, Comfy_VueNodes_Enabled=wanted)
    if bool(tab.page.evaluate("() => Boolean(LiteGraph.vueNodesMode)")) != wanted:
        pytest.skip("this editor has one renderer only")
    if wanted and tab.release() < GROWN_UP:
        pytest.skip("this editor's Nodes 2.0 are an experiment")
    tab.page.set_viewport_size({"width": 1920, "height": 1080})
    yield tab
    tab.post("/api/settings/Comfy.VueNodes.Enabled", False)
    tab.page.close()


def seen(tab: Any, name: str) -> dict[str, Any]:
    """What is on the screen after the template was chosen, when it has come to rest."""
    tab.open_template("g-refine", name)
    found = at_rest(tab, letters=True)
    tab.screenshot(f"first-{name}-{tab.renderer()}")
    tab.close_dialogs()
    tab.problems.clear()  # model files and previews of pictures that are not there
    return found


def at_rest(tab: Any, *, letters: bool = False) -> dict[str, Any]:
    """What is on the screen when it no longer moves; ``letters``: and there are fields of text, which come last."""
    same, before = 0, None
    for _ in range(60):
        found = tab.page.evaluate(SEEN)
        same = same + 1 if found == before and (found["letters"] or not letters) else 0
        if same == 2:
            break
        before = found
        time.sleep(0.3)
    return found


@pytest.mark.parametrize("name", SOME)
def test_it_is_read_as_it_opens(window, name):
    found = seen(window, name)
    boxes = {key: Box(x, y, x + wide, y + high) for key, x, y, wide, high in found["boxes"]}
    assert set(boxes) == {node["id"] for node in load(name)["nodes"]}
    assert len(boxes) <= 12
    if found["canvas"] is not None:
        assert found["canvas"] >= SMALLEST
    assert found["letters"]
    small = [(text, size) for text, size in found["letters"] if size < SMALLEST - 0.01]
    assert not small, f"at {found['scale']:.2f}: {small}"
    assert found["hidden"] == []
    frames = [Box(x - TOUCH, y - TOUCH, x + wide + TOUCH, y + high + TOUCH) for x, y, wide, high in found["frames"]]
    assert not [key for key, box in boxes.items() if not any(_within(box, frame) for frame in frames)], "out of frames"
    over = [(a, b) for a in boxes for b in boxes if a < b and _share(boxes[a], boxes[b])]
    assert not over
    crossed = [
        (link, key)
        for link, source, target, start, end in found["links"]
        for key, box in boxes.items()
        if key not in (source, target) and any(_in(point, box) for point in curve(start, end))
    ]
    assert len(found["links"]) == len(load(name)["links"])
    assert not crossed


@pytest.mark.parametrize("name", SOME)
def test_its_subgraphs_are_read_as_they_are_entered(window, name):
    window.load(load(name), name)
    window.close_dialogs()
    try:
        for inside in load(name)["definitions"]["subgraphs"]:
            window.page.evaluate(ENTER, inside["id"])
            found = at_rest(window)
            window.screenshot(f"inside-{name}-{inside['name']}-{window.renderer()}")
            assert {key for key, *_ in found["boxes"]} == {node["id"] for node in inside["nodes"]}
            # Fields and sockets; a field of text, whose letters are smaller, says what is read outside as well.
            assert found["scale"] * FIELD >= SMALLEST - 0.01, inside["name"]
            boxes = [Box(x, y, x + wide, y + high) for _, x, y, wide, high in found["boxes"]]
            ends = [Box(x, y, x + wide, y + high) for x, y, wide, high in found["ports"]]
            assert len(ends) == 2
            boxes += ends
            assert not [(a, b) for place, a in enumerate(boxes) for b in boxes[:place] if _share(a, b)], inside["name"]
    finally:
        window.page.evaluate(LEAVE)
        window.problems.clear()  # model files that are not there


def _share(a: Box, b: Box) -> bool:
    return (
        a.left < b.right - TOUCH and b.left < a.right - TOUCH and a.top < b.bottom - TOUCH and b.top < a.bottom - TOUCH
    )


def _within(a: Box, b: Box) -> bool:
    return b.left <= a.left and b.top <= a.top and a.right <= b.right and a.bottom <= b.bottom


def _in(point: tuple[float, float], box: Box) -> bool:
    x, y = point
    return box.left + TOUCH < x < box.right - TOUCH and box.top + TOUCH < y < box.bottom - TOUCH


@pytest.mark.parametrize("name", SOME)
def test_app_mode_is_one_page_with_all_that_is_asked(editor, server, name):
    known = editor.page.evaluate("() => app.extensionManager.command.commands.map(c => c.id)")
    if "Comfy.ToggleLinear" not in known or editor.release() < GROWN_UP:
        pytest.skip("this editor has no App Mode")
    editor.open_template(server.pack_folder, name)
    # The graph is there before its tab is, which begins without App Mode.
    opened = f"() => app.extensionManager.workflow.activeWorkflow?.path.includes({json.dumps(name)})"
    assert editor.wait_for(opened)
    editor.close_dialogs()
    editor.page.evaluate("() => app.extensionManager.command.execute('Comfy.ToggleLinear')")
    try:
        data = load(name)["extra"]["linearData"]
        count = "() => document.querySelectorAll('[data-testid=app-mode-widget-item]').length"
        assert editor.wait_for(f"() => ({count})() === {len(data['inputs'])}"), editor.page.evaluate(count)
        kept = editor.page.evaluate("() => app.rootGraph.extra.linearData")
        assert len(kept["inputs"]) == len(data["inputs"])
        assert [str(key) for key in kept["outputs"]] == data["outputs"]
        editor.screenshot(f"app-{name}")
    finally:
        editor.page.evaluate("() => app.extensionManager.command.execute('Comfy.ToggleLinear')")
        editor.problems.clear()  # model files that are not there
