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
    assert {n["id"]: n["type"] for n in shown["nodes"]} == {n["id"]: n["type"] for n in file["nodes"]}
    assert sorted(map(tuple, shown["links"])) == sorted(map(tuple, file["links"]))
    assert {n["id"]: n.get("title") for n in shown["nodes"] if n["type"] in VIRTUAL} == {
        n["id"]: n["title"] for n in file["nodes"] if n["type"] in VIRTUAL
    }
    check_queued(editor, name, newer)


def check_queued(editor, name: str, newer: Collection[str] = ()) -> None:
    """``newer``: kinds of nodes that this host has not, whose values the editor cannot name."""
    queued, expected = editor.api_graph(), load(WORKFLOWS / "api" / f"{name}.json")
    for key in [key for key, node in expected.items() if node["class_type"] in newer]:
        del expected[key]
        queued.pop(key, None)
    assert set(queued) == set(expected)
    for key, node in expected.items():
        assert queued[key]["class_type"] == node["class_type"]
        # Newer editors add what a node of the host's shows to its inputs.
        assert {i: queued[key]["inputs"].get(i) for i in node["inputs"]} == node["inputs"], key


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
    # Below that the editor draws no text; newer ones choose by themselves how much of a template is shown.
    assert load(WORKFLOWS / f"{MINIATURE}.json")["extra"]["ds"]["scale"] > 0.6
    editor.look_at()
    editor.screenshot("opened")
    before = {node["id"]: node["size"] for node in editor.graph()["nodes"]}
    outputs = ran(editor.queue())

    for title in ("Perceptual defects", "Alignment defects"):
        assert editor.pictures(editor.of("PreviewImage", title)) == [(128, 128)]
    assert editor.pictures(editor.of("MaskPreview")) == [(128, 128)]
    assert editor.pictures(editor.of("SaveImage", "Refined picture")) == [(128, 128)]
    (sheet,) = editor.pictures(editor.of("GRefineQualityReport"))
    assert sheet[0] == 1600
    told = json.loads(editor.texts(editor.of("PreviewAny", "Report as JSON"))[0])
    assert told["prompt"] == load_prompt()

    for kind in ("GRefinePQMap", "GRefineAQMap", "GRefineBinarizeMap"):
        assert editor.panel(editor.of(kind))["pictures"] == [[128, 128]]
    report = editor.panel(editor.of("GRefineQualityReport"))["lines"]
    assert report[0]["text"].startswith(f"Perceptual score: {told['before']['perceptual']:.3f} → ")
    colors = {line["text"].rsplit(" ", 1)[0]: line["color"] for line in report if line["chip"]}
    assert {phrase["text"] for phrase in told["phrases"]} == set(colors)
    shown = {phrase["text"] for phrase in told["phrases"] if phrase["defect"] == "none"}
    assert shown
    assert len({colors[text] for text in shown}) == 1
    assert not {colors[text] for text in colors if text not in shown} & {colors[text] for text in shown}
    refused = [line for line in report if ": refused" in line["text"]]
    assert len(refused) == sum(not entry["accepted"] for entry in told["guard"])
    plan = editor.panel(editor.of("GRefinePlan"))["lines"]
    assert [line["text"] for line in plan] == [told["plan"]["reason"]]
    assert any(editor.panel(editor.of("GRefineNoHarmGuard", f"No-Harm Guard: stage {n}"))["lines"] for n in (1, 2))

    # What the nodes show has room in the template, and is no part of what is saved.
    assert {node["id"]: node["size"] for node in editor.graph()["nodes"] if node["type"].startswith("GRefine")} == {
        key: size for key, size in before.items() if key in {int(name) for name in grefine_nodes()}
    }
    check_graph(editor, MINIATURE)
    editor.screenshot("ran")
    for name, kinds in {
        "found": ("GRefinePQMap", "GRefineAQMap", "GRefineBinarizeMap"),
        "decided": ("GRefinePlan", "GRefinePromptEmphasis"),
        "report": ("GRefineQualityReport",),
    }.items():
        editor.look_at([editor.of(kind) for kind in kinds])
        editor.screenshot(name)
    assert str(editor.of("SaveImage", "Refined picture")) in outputs


def load_prompt() -> str:
    nodes = load(WORKFLOWS / "api" / f"{MINIATURE}.json").values()
    return next(n["inputs"]["value"] for n in nodes if n["class_type"] == "PrimitiveStringMultiline")


def grefine_nodes() -> list[str]:
    nodes = load(WORKFLOWS / "api" / f"{MINIATURE}.json")
    return [key for key, node in nodes.items() if node["class_type"].startswith("GRefine")]


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
    assert set(ran(editor.queue("keys"))) >= {str(editor.of("GRefineQualityReport")), str(editor.of("GRefinePQMap"))}

    picture = server.output_dir / saved["subfolder"] / saved["filename"]
    editor.drop(picture)
    check_nothing_is_missing(editor)
    check_graph(editor, MINIATURE)


def test_words_on_a_node_are_never_markup(editor):
    """A prompt is anything: what comes from it is shown letter by letter."""
    evil = "<img src=x onerror='window.evil = 1'><b>bold</b>"
    editor.drop(WORKFLOWS / "api" / f"{MINIATURE}.json")
    node = editor.of("GRefinePlan")
    editor.page.evaluate(
        """([id, text]) => app.graph.getNodeById(id).onExecuted({grefine: [{lines: [{text, kind: "bad"}]}]})""",
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
    newer = {node["type"] for node in file["nodes"]} - known
    assert not any(kind.startswith("GRefine") for kind in newer)
    editor.load(file, name)
    if newer:
        (dialog,) = editor.dialogs()
        assert all(kind in dialog for kind in newer)
        editor.screenshot(f"template-{name}-dialog")
        editor.close_dialogs()
    else:
        check_nothing_is_missing(editor)
    check_graph(editor, name, newer)
    editor.look_at()
    editor.screenshot(f"template-{name}")


def test_help_opens_beside_the_graph(editor, server):
    editor.load(load(WORKFLOWS / f"{MINIATURE}.json"), MINIATURE)
    node = editor.of("GRefinePQMap")
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
