"""The pack as a user meets it: templates, dropped files, results on the nodes, help, another language.

The browser is a real one, the server too; what is waited for is asked of the server, outside of the page.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from ...workflows.checks import VIRTUAL
from ...workflows.test_files import all_nodes

ROOT = Path(__file__).resolve().parents[3]
WORKFLOWS = ROOT / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
MINIATURE = "grefine_1_start_here"
# Those whose nodes differ most; the others are looked at in the slow run.
FIRST = ("grefine_flux_fill", "grefine_score_gated_batch", "grefine_sdxl_inpainting_pasd")


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def check_graph(editor, name: str, newer: Collection[str] = ()) -> None:
    """The editor has every node, link and value of the shipped file, and would queue what the API file says."""
    file, shown = load(WORKFLOWS / f"{name}.json"), editor.graph()
    assert {int(n["id"]): n["type"] for n in shown["nodes"]} == {n["id"]: n["type"] for n in file["nodes"]}
    assert len(shown["links"]) == len(file["links"])
    assert {int(n["id"]): n.get("title") for n in shown["nodes"] if n["type"] in VIRTUAL} == {
        n["id"]: n["title"] for n in file["nodes"] if n["type"] in VIRTUAL
    }
    check_queued(editor, name, newer)


def check_queued(editor, name: str, newer: Collection[str] = ()) -> None:
    """``newer``: kinds of nodes that this host has not, whose values the editor cannot name."""
    queued, expected = with_colons(editor.api_graph()), load(WORKFLOWS / "api" / f"{name}.json")
    for key in [key for key, node in expected.items() if node["class_type"] in newer]:
        del expected[key]
        queued.pop(key, None)
    assert set(queued) == set(expected)
    for key, node in expected.items():
        assert queued[key]["class_type"] == node["class_type"]
        # Newer editors add what a node of the host's shows to its inputs.
        assert {i: queued[key]["inputs"].get(i) for i in node["inputs"]} == node["inputs"], key


def with_colons(graph: dict[str, Any]) -> dict[str, Any]:
    """Ids as in the API file: an editor that was given that file (1.58) makes "22_21" of "22:21"."""
    text = json.dumps(graph)
    for key in graph:
        if "_" in key:
            text = text.replace(json.dumps(key), json.dumps(key.replace("_", ":")))
    return json.loads(text)


def check_nothing_is_missing(editor) -> None:
    assert editor.dialogs() == []
    assert editor.unknown_nodes() == []


def ran(entry: dict[str, Any]) -> dict[str, Any]:
    """The outputs of a prompt that has run well."""
    assert entry["status"]["status_str"] == "success", entry["status"]
    return entry["outputs"]


def test_a_template_opens_runs_and_shows_its_result(editor, server):
    """Templates, this pack, the card, Run: nothing else is done."""
    editor.open_template(server.pack_folder, MINIATURE)
    check_nothing_is_missing(editor)
    check_graph(editor, MINIATURE)
    editor.screenshot("first")
    editor.look_at()
    editor.screenshot("opened")
    before = {int(node["id"]): node["size"] for node in editor.graph()["nodes"]}
    outputs = ran(editor.queue())

    assert editor.pictures(editor.of("SaveImage", "Refined picture")) == [(128, 128)]
    (sheet,) = editor.pictures(editor.of("SaveImage", "Report"))
    assert sheet[0] == 1600
    told = json.loads(outputs[inside("PreviewAny")]["text"][0])
    assert told["prompt"] == load_prompt()
    cards = outputs[inside("GRefineQualityReport")]["grefine"]
    assert cards[0]["lines"][0]["text"].startswith(f"Perceptual score: {told['before']['perceptual']:.3f} → ")

    # What was shown is no part of what is saved.
    assert {int(node["id"]): node["size"] for node in editor.graph()["nodes"]} == before
    check_graph(editor, MINIATURE)
    editor.screenshot("ran")


def test_the_nodes_inside_show_what_they_found(editor):
    """The API file, dropped: every node lies in sight, as it does inside of the subgraph."""
    editor.drop(WORKFLOWS / "api" / f"{MINIATURE}.json")
    outputs = with_colons(ran(editor.queue("keys")))
    told = json.loads(outputs[inside("PreviewAny")]["text"][0])
    for kind in ("GRefinePQMap", "GRefineAQMap", "GRefineBinarizeMap"):
        assert editor.panel(node_of(editor, kind))["pictures"] == [[128, 128]]
    report = editor.panel(node_of(editor, "GRefineQualityReport"))["lines"]
    assert report[0]["text"].startswith(f"Perceptual score: {told['before']['perceptual']:.3f} → ")
    colors = {line["text"].split(":")[0]: line["color"] for line in report if line["chip"]}
    assert {phrase["text"] for phrase in told["phrases"]} == set(colors)
    shown = {phrase["text"] for phrase in told["phrases"] if phrase["defect"] == "none"}
    assert shown
    assert len({colors[text] for text in shown}) == 1
    assert not {colors[text] for text in colors if text not in shown} & {colors[text] for text in shown}
    refused = [line for line in report if ": refused" in line["text"]]
    assert len(refused) == sum(not entry["accepted"] for entry in told["guard"])
    plan = editor.panel(node_of(editor, "GRefinePlan"))["lines"]
    assert [line["text"] for line in plan] == [told["plan"]["reason"]]
    editor.look_at()
    editor.screenshot("inside")


def inside(kind: str) -> str:
    """The id that the only node of that kind has in the queue."""
    nodes = load(WORKFLOWS / "api" / f"{MINIATURE}.json")
    (found,) = (key for key, node in nodes.items() if node["class_type"] == kind)
    return found


def node_of(editor, kind: str) -> Any:
    """The id of the only node of that kind on the canvas, whatever the editor makes of ids with a colon."""
    (found,) = editor.page.evaluate("kind => app.graph.nodes.filter(n => n.type === kind).map(n => n.id)", kind)
    return found


def load_prompt() -> str:
    nodes = load(WORKFLOWS / "api" / f"{MINIATURE}.json").values()
    return next(n["inputs"]["value"] for n in nodes if n["class_type"] == "PrimitiveStringMultiline")


def test_both_files_of_a_workflow_can_be_dropped_and_queued(editor, server, tmp_path):
    """Then the picture that was saved: it carries its workflow."""
    editor.drop(WORKFLOWS / f"{MINIATURE}.json")
    check_nothing_is_missing(editor)
    check_graph(editor, MINIATURE)
    outputs = ran(editor.queue("keys"))
    saved = outputs[str(editor.of("SaveImage", "Refined picture"))]["images"][0]

    editor.drop(WORKFLOWS / "api" / f"{MINIATURE}.json")
    check_nothing_is_missing(editor)
    check_queued(editor, MINIATURE)
    editor.look_at()
    editor.screenshot("dropped-api")
    assert set(with_colons(ran(editor.queue("keys")))) >= {inside("GRefineQualityReport"), inside("GRefinePQMap")}

    picture = server.output_dir / saved["subfolder"] / saved["filename"]
    editor.drop(picture)
    check_nothing_is_missing(editor)
    check_graph(editor, MINIATURE)


def test_words_on_a_node_are_never_markup(editor):
    """A prompt is anything: what comes from it is shown letter by letter."""
    evil = "<img src=x onerror='window.evil = 1'><b>bold</b>"
    editor.drop(WORKFLOWS / "api" / f"{MINIATURE}.json")
    node = node_of(editor, "GRefinePlan")
    editor.page.evaluate(
        """([id, text]) => { app.nodeOutputs = {[id]: {grefine: [{lines: [{text, kind: "bad"}]}]}} }""",
        [node, evil],
    )
    assert [line["text"] for line in editor.panel(node)["lines"]] == [evil]
    assert editor.page.evaluate("() => window.evil") is None


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in FIRST else pytest.mark.slow) for n in NAMES])
def test_every_template_opens_with_nothing_missing(editor, name):
    """Widgets go by their places: the values are those of the file, node by node.

    Nodes of the host's own that an old host has not are named by its editor; all others are as in the file.
    """
    file = load(WORKFLOWS / f"{name}.json")
    known = set(editor.get("/object_info")) | VIRTUAL
    newer = {node["type"] for node in all_nodes(file)} - known
    assert not any(kind.startswith("GRefine") for kind in newer)
    editor.load(file, name)
    dialogs = editor.dialogs()
    if newer:
        assert any(all(kind in dialog for kind in newer) for dialog in dialogs)
        editor.screenshot(f"template-{name}-dialog")
    else:
        # Older editors list here the model files that are not there: each once.
        wanted = {m["name"] for node in all_nodes(file) for m in node["properties"].get("models", ())}
        assert all(dialog.count(name) <= 1 for dialog in dialogs for name in wanted)
        assert set(editor.unknown_nodes()) <= {node["type"] for node in file["nodes"]}
    editor.close_dialogs()
    check_graph(editor, name, newer)
    editor.look_at()
    editor.screenshot(f"template-{name}")


def test_help_opens_beside_the_graph(editor, server):
    editor.drop(WORKFLOWS / "api" / f"{MINIATURE}.json")
    node = node_of(editor, "GRefinePQMap")
    editor.look_at([node], margin=250)  # the buttons stand over the node
    editor.page.evaluate("id => app.canvas.selectItems([app.graph.getNodeById(id)])", node)
    editor.page.click("[data-testid=info-button]")
    text = editor.page.wait_for_selector(".node-help-content:has-text('Reading the result')").inner_text()
    assert "Perceptual quality: where and how much a picture looks defective" in text
    page = (ROOT / "web" / "docs" / "GRefinePQMap.md").read_text(encoding="utf-8")
    if "](pictures/" in page:
        folder = urllib.parse.quote(server.pack_folder)
        (source,) = editor.wait_for(
            "() => [...document.querySelectorAll('.node-help-content img')]"
            ".filter(i => i.naturalWidth > 100).map(i => i.src)"
        )
        assert f"/extensions/{folder}/docs/pictures/GRefinePQMap" in source
    editor.screenshot("help")
    # It looks for a page in the user's language first.
    editor.problems[:] = [problem for problem in editor.problems if "/docs/GRefinePQMap/en.md" not in problem]


def test_the_nodes_speak_the_users_language(open_editor, server, editor):
    language = "zh"
    texts = load(ROOT / "locales" / language / "nodeDefs.json")
    try:
        other = open_editor(server, Comfy_Locale=language)
        shown = other.page.evaluate(
            """kinds => Object.fromEntries(kinds.map((kind, index) => {
                const node = LiteGraph.createNode(kind)
                app.graph.add(node)
                node.pos = [(index % 6) * 420, Math.floor(index / 6) * 560]
                const names = slots => Object.fromEntries((slots ?? []).map(s => [s.name, s.label ?? s.localized_name]))
                return [kind, {title: node.title, inputs: names(node.inputs)}]
            }))""",
            list(texts),
        )
        other.look_at()
        other.screenshot("chinese")
        assert other.problems == []
        other.page.close()
    finally:
        editor.post("/api/settings/Comfy.Locale", "en")
    translated = 0
    for kind, text in texts.items():
        assert shown[kind]["title"] == text["display_name"]
        for name, label in shown[kind]["inputs"].items():
            assert label == text["inputs"][name]["name"], f"{kind}: {name}"
            translated += label != name
    assert translated > 20
