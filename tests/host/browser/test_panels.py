"""What the nodes show on themselves, and that it stays: another tab and back, the page loaded again, a run in which
nothing has to run, a folded node, subgraphs, several pictures, zoom. In both of the editor's renderers: the canvas
("classic") and, where the editor has it, "Nodes 2.0".

A small graph that measures; a whole template is another test's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ...tooling import tool
from .editor import GROWN_UP, Editor

PROMPT = "a dotted yellow star and a green square beneath a fish, upon water"
PICTURES = 3
IDS = {"picture": 1, "prompt": 2, "models": 3, "perceptual": 4, "alignment": 5, "mask": 6, "plan": 7, "changed": 8}
IDS |= {"guard": 9, "report": 10, "several": 11, "emphasis": 12, "kept": 13}
SHOWING = ("perceptual", "alignment", "mask", "plan", "emphasis", "guard", "report")


def node(kind: str, **given: Any) -> dict[str, Any]:
    """A node with its defaults and these inputs."""
    declared = tool("node_record").read().get(kind, {}).get("input", {})
    defaults = {
        name: spec[1].get("default", (spec[1].get("options") or [None])[0])
        for group in declared.values()
        for name, spec in group.items()
        if spec[0] in ("COMBO", "INT", "FLOAT", "STRING", "BOOLEAN") and not spec[1].get("forceInput")
    }
    return {"class_type": kind, "inputs": {**defaults, **given}}


def measuring(pictures: int = 1) -> dict[str, Any]:
    """Measure, plan, guard and report a change that nobody wants: the picture upside down in its colours."""
    of = {name: str(key) for name, key in IDS.items()}
    measured: dict[str, Any] = {"quality_model": [of["models"], 3], "prompt": [of["prompt"], 0]}
    batch = [of["several"], 0]
    pair = {"before": batch, "after": [of["changed"], 0]}
    graph = {
        "picture": node("LoadImage", image="miniature.png"),
        "several": node("RepeatImageBatch", image=[of["picture"], 0], amount=pictures),
        "prompt": node("PrimitiveStringMultiline", value=PROMPT),
        "models": node("GRefineLoadMiniature"),
        "perceptual": node("GRefinePQMap", image=batch, quality_model=[of["models"], 3]),
        "alignment": node("GRefineAQMap", image=batch, **measured, diagnosis=[of["perceptual"], 9]),
        "mask": node("GRefineBinarizeMap", defect_map=[of["perceptual"], 1], diagnosis=[of["alignment"], 5]),
        "plan": node(
            "GRefinePlan",
            perceptual_score=[of["perceptual"], 3],
            alignment_score=[of["alignment"], 2],
            plan=[of["mask"], 3],
        ),
        "emphasis": node("GRefinePromptEmphasis", prompt=[of["prompt"], 0], phrases=[of["alignment"], 3]),
        "changed": node("ImageInvert", image=batch),
        "guard": node("GRefineNoHarmGuard", **pair, **measured),
        "report": node(
            "GRefineQualityReport",
            before=batch,
            after=[of["guard"], 0],
            **measured,
            stage1_guard=[of["guard"], 1],
            plan_reason=[of["plan"], 6],
            emphasized_prompt=[of["emphasis"], 0],
        ),
        "kept": node("PreviewImage", images=[of["guard"], 0]),
    }
    return {of[name]: entry for name, entry in graph.items()}


def opened(editor: Editor, pictures: int = 1) -> None:
    """The small graph, laid out by the editor, run once."""
    editor.page.evaluate("graph => app.loadApiJson(graph, 'measuring')", measuring(pictures))
    assert editor.wait_for(f"() => app.graph.nodes.length === {len(IDS)}")
    # One beside the other, with room below for what is shown.
    editor.page.evaluate(
        """() => app.graph.nodes.forEach((node, index) => {
            node.pos = [(index % 7) * 440, Math.floor(index / 7) * 900]
        })"""
    )
    ran_anew(editor)


def ran(editor: Editor) -> None:
    entry = editor.queue("keys")
    assert entry["status"]["status_str"] == "success", entry["status"]


def ran_anew(editor: Editor) -> None:
    """A run of a graph that is another to the page, though its nodes may have run: all of them are told of."""
    if not editor.get("/object_info/GRefinePlan")["GRefinePlan"].get("has_intermediate_output"):
        # Older hosts do not tell again what a node in the middle showed.
        editor.post("/free", {"free_memory": True})
    ran(editor)


def way(name: str) -> str:
    return str(IDS[name])


def all_there(editor: Editor, names: tuple[str, ...] = SHOWING, inside: str = "") -> dict[str, list[str]]:
    """Every panel has something to say; what it says."""
    said = {name: editor.seen(inside + way(name))["lines"] for name in names}
    assert not [name for name, lines in said.items() if not lines], said
    return said


def within(seen: dict[str, Any]) -> bool:
    """The panel is drawn, and on its node; two pixels for the rounding of a scaled layout."""
    (left, top, width, height), (x, y, w, h) = seen["box"], seen["node"]
    sideways, upright = x - 2 <= left and left + width <= x + w + 2, y - 2 <= top and top + height <= y + h + 2
    return width > 0 and height > 0 and sideways and upright


def settled(editor: Editor, ways: list[str]) -> dict[str, dict[str, Any]]:
    """What is seen once the editor has laid it out."""
    end = time.monotonic() + 15
    while True:
        found = {each: editor.seen(each) for each in ways}
        if all(within(seen) for seen in found.values()) or time.monotonic() > end:
            return found
        time.sleep(0.3)


def in_sight(editor: Editor, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The panels with all nodes in the window: what is out of sight has no size."""
    editor.look_at()
    found = settled(editor, [way(name) for name in names])
    return {name: found[way(name)] for name in names}


@pytest.fixture(
    scope="module", params=[pytest.param(False, id="classic"), pytest.param(True, id="nodes2", marks=pytest.mark.slow)]
)
def newer(request: pytest.FixtureRequest) -> bool:
    """Whether Nodes 2.0 draws."""
    return request.param


@pytest.fixture(scope="module")
def editor(newer: bool, open_editor: Callable[..., Editor], server: Any) -> Iterator[Editor]:
    """A tab in that renderer."""
    page = open_editor(server, Comfy_VueNodes_Enabled=newer)
    if newer and not page.page.evaluate("() => LiteGraph.vueNodesMode"):
        page.page.close()
        pytest.skip("this editor has no other renderer")
    if newer and page.release() < GROWN_UP:
        page.post("/api/settings/Comfy.VueNodes.Enabled", False)
        page.page.close()
        pytest.skip("this editor's Nodes 2.0 are an experiment: what is not in sight is not laid out")
    yield page
    page.post("/api/settings/Comfy.VueNodes.Enabled", False)
    page.page.close()


@pytest.fixture
def run(editor: Editor) -> dict[str, list[str]]:
    """The small graph has run; what its panels say. Opened once, and again where a test went elsewhere."""
    if editor.page.evaluate("() => app.graph.nodes.length") != len(IDS):
        opened(editor)
    return all_there(editor)


def look(editor: Editor, newer: bool, name: str) -> None:
    editor.look_at()
    editor.screenshot(f"panels-{'nodes2' if newer else 'classic'}-{name}")


def test_panels_stay_when_the_tab_is_switched_the_page_loaded_anew_and_nothing_has_to_run(editor, newer, run):
    look(editor, newer, "ran")
    editor.switch(editor.new_workflow())
    assert all_there(editor) == run
    look(editor, newer, "switched")

    editor.reload()
    assert all_there(editor) == run
    look(editor, newer, "reloaded")
    ran(editor)
    assert all_there(editor) == run


def test_what_a_panel_says_is_on_its_node(editor, newer, run):
    editor.look_at()
    for name, seen in settled(editor, [way(name) for name in SHOWING]).items():
        assert within(seen), (name, seen)
    report = editor.seen(way("report"))
    assert report["compare"] == 1
    assert report["pictures"] == 2
    assert any(line.startswith("Perceptual score: ") for line in run["report"])


def test_a_linked_prompt_says_where_it_comes_from(editor, run):
    label = """id => app.graph.getNodeById(id).widgets.find(w => w.name === "prompt").element.placeholder"""
    title = editor.page.evaluate("id => app.graph.getNodeById(id).title", IDS["prompt"])
    assert editor.page.evaluate(label, IDS["alignment"]) == f"prompt ← {title}"
    editor.page.evaluate(
        "id => { const n = app.graph.getNodeById(id); n.disconnectInput(n.findInputSlot('prompt')) }", 5
    )
    try:
        assert editor.wait_for(f"() => ({label})({IDS['alignment']}) === 'prompt'")
    finally:
        editor.page.evaluate(
            "([from, to]) => { const n = app.graph.getNodeById(to);"
            "app.graph.getNodeById(from).connect(0, n, n.findInputSlot('prompt')) }",
            [IDS["prompt"], IDS["alignment"]],
        )


def test_a_folded_node_shows_nothing_and_an_unfolded_one_all(editor, run):
    fold = "id => { app.graph.getNodeById(id).collapse(true); app.canvas.setDirty(true, true) }"
    editor.look_at()
    editor.page.evaluate(fold, IDS["alignment"])
    gone = """() => {
        const box = app.graph.getNodeById(5).widgets.find(w => w.name === "grefine_shown").element
        return !box.checkVisibility() || !box.getBoundingClientRect().height
    }"""
    assert editor.wait_for(gone)
    editor.page.evaluate(fold, IDS["alignment"])
    (seen,) = settled(editor, [way("alignment")]).values()
    assert within(seen), seen
    assert seen["lines"] == run["alignment"]


@pytest.mark.slow
def test_panels_keep_to_their_nodes_at_any_zoom(editor, newer, run):
    for scale in (0.3, 0.8, 1.6):
        editor.look_at([IDS["report"]])
        editor.page.evaluate("scale => { app.canvas.ds.scale = scale; app.canvas.setDirty(true, true) }", scale)
        editor.page.evaluate(
            """id => {
                const ds = app.canvas.ds, box = app.canvas.canvas.getBoundingClientRect(), n = app.graph.getNodeById(id)
                ds.offset[0] = box.width / ds.scale / 2 - n.pos[0] - n.size[0] / 2
                ds.offset[1] = box.height / ds.scale / 2 - n.pos[1] - n.size[1] / 2
                app.canvas.setDirty(true, true)
            }""",
            IDS["report"],
        )
        (seen,) = settled(editor, [way("report")]).values()
        assert within(seen), (scale, seen)
        editor.screenshot(f"panels-{'nodes2' if newer else 'classic'}-zoom-{scale}")


@pytest.mark.slow
def test_long_panels_scroll_and_do_not_stretch_their_nodes(editor, newer):
    names = ("perceptual", "alignment", "report")
    opened(editor)
    short = in_sight(editor, names)
    opened(editor, PICTURES)
    try:
        said = all_there(editor)
        assert sum(line.startswith("Perceptual score") for line in said["perceptual"]) == PICTURES
        for name, seen in in_sight(editor, names).items():
            assert seen["high"] > seen["room"] + 20, (name, seen)
            assert 60 < seen["least"] <= 300, (name, seen)
            # What it has beyond that is not its content's doing: the editor counts too much for the fields above it.
            spare, before = seen["room"] - seen["least"], short[name]["room"] - short[name]["least"]
            assert abs(spare - before) < 15, (name, spare, before)  # less than a line of text
        assert editor.seen(way("report"))["compare"] == PICTURES
        look(editor, newer, "three")
    finally:
        opened(editor)


@pytest.mark.slow
def test_the_line_between_before_and_after_follows_the_mouse(editor, run):
    editor.look_at([IDS["report"]])
    settled(editor, [way("report")])
    place = """() => {
        const box = app.graph.getNodeById(10).widgets.find(w => w.name === "grefine_shown").element
        box.scrollTop = 0
        const image = box.querySelectorAll("[data-compare] img")[1], rect = image.getBoundingClientRect()
        return [rect.left, rect.top, rect.width, rect.height, image.style.clipPath]
    }"""
    left, top, width, height, half = editor.page.evaluate(place)
    assert "50%" in half
    editor.page.mouse.move(left + width * 0.25, top + height * 0.5)
    assert editor.wait_for(f"() => Math.abs(parseFloat(({place})()[4].split(' ').at(-1)) - 25) < 3")


@pytest.mark.slow
def test_a_subgraph_shows_what_was_found_inside_and_so_do_its_nodes(editor, newer):
    """The node around it before and after a run, a switch of tabs and back, from outside and from inside."""
    opened(editor)
    inner = [IDS[name] for name in ("perceptual", "alignment", "mask", "plan")]
    outer = editor.page.evaluate(
        """ids => {
            const items = new Set(ids.map(id => app.graph.getNodeById(id)))
            return Number(app.graph.convertToSubgraph(items).node.id)
        }""",
        inner,
    )
    try:
        ran_anew(editor)
        inside = {name: f"{outer}:{IDS[name]}" for name in ("perceptual", "alignment", "mask", "plan")}
        if not editor.seen(inside["plan"], seconds=3)["lines"]:  # the editor gives them numbers of their own
            found = editor.page.evaluate(
                "id => app.graph.getNodeById(id).subgraph.nodes.map(n => [n.type, n.id])", outer
            )
            kinds = {"perceptual": "GRefinePQMap", "alignment": "GRefineAQMap", "mask": "GRefineBinarizeMap"}
            kinds["plan"] = "GRefinePlan"
            inside = {name: f"{outer}:{dict(found)[kind]}" for name, kind in kinds.items()}
        told = {name: editor.seen(place)["lines"] for name, place in inside.items()}
        said = editor.seen(str(outer))["lines"]
        assert said
        for name, first in (("perceptual", "Perceptual score: "), ("alignment", "Alignment score: ")):
            (line,) = [line for line in told[name] if line.startswith(first)]
            assert line in said
        assert told["plan"][-1] in said
        editor.look_at()
        (seen,) = settled(editor, [str(outer)]).values()
        assert within(seen), seen
        editor.screenshot(f"panels-{'nodes2' if newer else 'classic'}-subgraph-outside")

        editor.switch(editor.new_workflow())
        assert editor.seen(str(outer))["lines"] == said

        editor.page.evaluate(
            """id => {
                const node = app.graph.getNodeById(id)
                app.canvas.openSubgraph(node.subgraph, node)
            }""",
            outer,
        )
        assert editor.wait_for("() => app.canvas.graph !== (app.rootGraph ?? app.graph)")
        editor.page.evaluate("() => app.extensionManager.command.execute('Comfy.Canvas.FitView')")
        for place in inside.values():
            (seen,) = settled(editor, [place]).values()
            assert within(seen), (place, seen)
        editor.screenshot(f"panels-{'nodes2' if newer else 'classic'}-subgraph-inside")
        editor.page.evaluate("() => app.canvas.setGraph(app.rootGraph ?? app.graph)")
        editor.look_at()
        (seen,) = settled(editor, [str(outer)]).values()
        assert within(seen), seen
    finally:
        editor.page.evaluate("() => app.canvas.setGraph(app.rootGraph ?? app.graph)")
        opened(editor)
