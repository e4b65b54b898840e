"""What repeats the nodes' schemas is written from them, prose stays, and a new node gets pages of its own."""

from __future__ import annotations

import copy
import shutil

import pytest

from ..tooling import tool

write = tool("write_node_texts")
record = tool("node_record")


@pytest.fixture
def folder(tmp_path):
    """A copy of what is written, to be changed."""
    for name in write.build(record.read()):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(write.ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def nodes():
    """Two nodes: one of this pack, and one that no page knows."""
    emphasis = record.read()["GRefinePromptEmphasis"]
    new = {
        **emphasis,
        **{
            "name": "GRefineNew",
            "display_name": "New (node)",
            "description": "Does | something.",
            "output_name": ["a"],
        },
        "category": "G-Refine/mask",
        "input": {
            "required": {
                "seed": ["INT", {"tooltip": "Of `<x>` <y>.", "default": 0, "min": 0, "max": 2**64 - 1}],
                "base": ["COMBO", {"tooltip": "A file."}],
                "on": ["BOOLEAN", {"tooltip": "Or off.", "default": True, "advanced": True}],
                "words": ["STRING", {"tooltip": "What.", "default": "a | b", "multiline": True}],
            },
            "optional": {"low": ["FLOAT", {"tooltip": "How.", "default": 0.5, "min": -1.0, "max": 1.0, "step": 0.05}]},
        },
        "output": ["MASK"],
        "output_is_list": [True],
        "output_tooltips": ["The mask."],
    }
    return {"GRefineNew": new, "GRefinePromptEmphasis": emphasis}


def test_nothing_is_out_of_date():
    assert write.main(["--check"]) == 0


def test_an_old_file_is_noticed_and_mended(folder):
    spoiled = folder / "web" / "docs" / "GRefinePlan.md"
    spoiled.write_text(spoiled.read_text(encoding="utf-8").replace("FLOAT, 0.8", "FLOAT, 0.7"), encoding="utf-8")
    before = spoiled.read_bytes()
    assert write.main(["--check", "--output", str(folder)]) == 1
    assert spoiled.read_bytes() == before
    assert write.main(["--output", str(folder)]) == 0
    for name in write.build(record.read()):
        assert (folder / name).read_bytes() == (write.ROOT / name).read_bytes()


def test_a_changed_tooltip_reaches_every_text_and_leaves_the_prose(folder):
    nodes = copy.deepcopy(record.read())
    nodes["GRefinePlan"]["input"]["required"]["steps"][1]["tooltip"] = "So many."
    now, then = write.build(nodes, folder), write.build(record.read(), folder)
    changed = {name for name in now if now[name] != then[name]}
    recorded, locale = "tests/host/object_info.json", "locales/en/nodeDefs.json"
    assert changed == {recorded, locale, "docs/nodes.md", "web/docs/GRefinePlan.md"}
    for name in changed:
        differing = [
            pair for pair in zip(now[name].split("\n"), then[name].split("\n"), strict=True) if len(set(pair)) > 1
        ]
        assert len(differing) == 1
        assert "So many." in differing[0][0]


def test_a_new_node_gets_a_page_a_section_and_texts(folder, nodes):
    files = write.build(nodes, folder)
    assert files["web/docs/GRefineNew.md"] == (
        "# New (node)\n\nDoes | something.\n\n## Inputs\n\n"
        "- `seed` *(INT, 0)*: Of `<x>` \\<y>.\n"
        "- `base` *(COMBO, first found)*: A file.\n"
        "- `on` *(BOOLEAN, on)*: *Advanced.* Or off.\n"
        '- `words` *(STRING, "a | b")*: What.\n'
        "- `low` *(FLOAT, 0.5)*: *Optional.* How.\n"
        "\n## Outputs\n\n- `a` *(MASK)*: The mask.\n"
    )
    section = files["docs/nodes.md"].partition("## New (node) — `GRefineNew` (mask)\n")[2]
    assert section == (
        "\nDoes | something.\n\n"
        "| input | type | default | range, choices | what it does |\n|---|---|---|---|---|\n"
        "| `seed` | INT | 0 | 0…2⁶⁴−1 | Of `<x>` \\<y>. |\n"
        "| `base` | COMBO | first found | files | A file. |\n"
        "| `on` | BOOLEAN | on | advanced | Or off. |\n"
        '| `words` | STRING | "a \\| b" | multi-line | What. |\n'
        "| `low` | FLOAT | 0.5 | optional, −1…1, step 0.05 | How. |\n\n"
        "| output | type | what it is |\n|---|---|---|\n| `a` | MASK *list* | The mask. |\n"
    )
    assert '"GRefineNew": {\n    "display_name": "New (node)"' in files["locales/en/nodeDefs.json"]


def test_a_section_written_once_is_the_same_when_written_again(folder, nodes):
    once = write.build(nodes, folder)
    for name, text in once.items():
        (folder / name).write_text(text, encoding="utf-8")
    assert write.build(nodes, folder) == once
    assert "`GRefinePlan`" not in once["docs/nodes.md"]


def test_a_page_without_its_sections_is_named(nodes):
    with pytest.raises(ValueError, match="GRefineNew needs one section '## Outputs'"):
        write.help_page(nodes["GRefineNew"], "# New\n\n## Inputs\n")


def test_an_older_host_is_compared_without_what_it_cannot_know():
    nodes = record.read()
    older = record.as_older(nodes)
    assert record.is_newer(nodes)
    assert not record.is_newer(older)
    for name in nodes:
        for key, (kind, options) in record.inputs(nodes[name]).items():
            assert record.inputs(older[name])[key] == (kind, {k: v for k, v in options.items() if k != "advanced"})
