"""The pack as a folder: what importing it costs, its texts and help pages."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECORDED = json.loads((ROOT / "tests" / "host" / "object_info.json").read_text(encoding="utf-8"))
TEXTS = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))

IMPORT = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("any.name", {root!r} + "/__init__.py",
                                              submodule_search_locations=[{root!r}])
module = importlib.util.module_from_spec(spec)
sys.modules["any.name"] = module
spec.loader.exec_module(module)
assert module.WEB_DIRECTORY == "./web"
assert not hasattr(module, "NODE_CLASS_MAPPINGS")
print(*sorted(sys.modules))
"""


def test_importing_the_pack_needs_neither_the_host_nor_torch():
    out = subprocess.run(
        [sys.executable, "-I", "-c", IMPORT.format(root=str(ROOT))], capture_output=True, text=True, check=True
    )
    loaded = set(out.stdout.split())
    assert "any.name" in loaded
    assert not loaded & {"torch", "numpy", "nodes", "comfy", "grefine_core"}


def test_the_root_never_gets_onto_the_path():
    """`nodes` is a module of the host's: a pack that puts its own folder first would hide it."""
    sources = [ROOT / "__init__.py", *(ROOT / "nodes").rglob("*.py")]
    assert len(sources) > 5
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path"), source
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                absolute = not isinstance(node, ast.ImportFrom) or node.level == 0
                tops = {(name or "").split(".")[0] for name in names}
                assert not (absolute and tops & {"nodes", "grefine_core"}), f"{source}: {ast.unparse(node)}"


def test_only_one_module_knows_the_hosts_folders_and_memory():
    """What differs between versions of the host, and its globals, live in nodes/host.py alone."""
    for source in (ROOT / "nodes").rglob("*.py"):
        text = source.read_text(encoding="utf-8")
        if source.name != "host.py":
            assert "folder_names_and_paths" not in text, source
            assert "ModelPatcher(" not in text, source


def test_texts_are_those_of_the_schemas():
    for name, info in RECORDED.items():
        given = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
        texts = TEXTS[name]
        assert texts["display_name"] == info["display_name"]
        assert texts["description"] == info["description"]
        assert {key: text["tooltip"] for key, text in texts["inputs"].items()} == {
            key: spec[1]["tooltip"] for key, spec in given.items()
        }
        assert [texts["outputs"][str(index)]["name"] for index in range(len(info["output"]))] == info["output_name"]
    assert set(TEXTS) == set(RECORDED)


def test_what_came_later_stands_behind_what_saved_workflows_know():
    """Widgets are saved by their places, links by the numbers of outputs."""
    outputs = RECORDED["GRefinePQMap"]["output_name"]
    assert outputs[:3] == ["quality_map", "defect_map", "overlay"]
    assert outputs[3:] == ["score", "overall", "technical", "rational", "natural", "worst_region"]
    plan = RECORDED["GRefinePlan"]["input"]
    fields = {**plan["required"], **plan["optional"]}
    widgets = [name for name, (_, options) in fields.items() if not options.get("forceInput")]
    known = ["mode", "perceptual_bar", "alignment_bar", "steps", "stage1_min", "stage1_max", "stage2_strength"]
    assert widgets == [*known, "region_bar"]
    assert list(plan["optional"]) == ["area", "worst_region", "region_bar"]


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_help_page_names_every_input_and_output(name):
    page = (ROOT / "web" / "docs" / f"{name}.md").read_text(encoding="utf-8")
    info = RECORDED[name]
    assert page.startswith(f"# {info['display_name']}\n")
    inputs = [key for group in ("required", "optional") for key in info["input"].get(group, {})]
    for key in (*inputs, *info["output_name"]):
        assert re.search(rf"`{key}`", page), key


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_the_specification_lists_every_input_with_its_default(name):
    """docs/nodes.md and the schema say the same: section, ids, types, defaults."""
    document = (ROOT / "docs" / "nodes.md").read_text(encoding="utf-8")
    section = re.search(rf"^## [^\n]*`{name}`[^\n]*\n(.*?)(?=^## |\Z)", document, re.MULTILINE | re.DOTALL)
    assert section, name
    info = RECORDED[name]
    for group in ("required", "optional"):
        for key, (kind, options) in info["input"].get(group, {}).items():
            row = re.search(rf"^\|[^|\n]*`{key}`[^|\n]*\|(.*)$", section[1], re.MULTILINE)
            if row is None:
                family = f"`{key.split('_')[0]}_*`" if "_" in key else key
                assert f"`{key}`" in section[1] or family in section[1] or "As *" in section[1], key
                continue
            cells = [cell.strip() for cell in row[1].split("|")]
            if cells[0]:
                assert kind in cells[0], key
            if isinstance(options.get("default"), int | float) and not isinstance(options["default"], bool):
                assert cells[1] == "" or float(cells[1]) == options["default"], key
            if group == "optional" and cells[0]:
                assert "optional" in row[1], key
