"""The help pages: what a user reads on a node's "?" is there, true, illustrated, and light."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageStat

from ..tooling import tool

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "web" / "docs"
RECORDED = json.loads((ROOT / "tests" / "host" / "object_info.json").read_text(encoding="utf-8"))
NODES = sorted(RECORDED)
LARGEST = 80_000
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]*)\)")


def page_of(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def section(page: str, title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"no section {title!r}"
    return found[1]


def inputs_of(name: str) -> dict[str, tuple[object, dict]]:
    given = RECORDED[name]["input"]
    return {**given.get("required", {}), **given.get("optional", {})}


def test_there_is_one_page_for_every_node():
    assert sorted(path.stem for path in PAGES.glob("*.md")) == NODES


@pytest.mark.parametrize("name", NODES)
def test_nothing_on_a_page_is_taken_for_markup(name):
    """`<file>` in plain text is a tag to the host, which removes it."""
    plain = re.sub(r"`[^`]*`", "", page_of(name))
    assert not re.search(r"(?<!\\)<", plain)


@pytest.mark.parametrize("name", NODES)
def test_a_page_shows_a_small_picture_of_its_own(name):
    """The host's page puts `/extensions/<folder>/docs/` before addresses that are relative, and before no other."""
    pictures = PICTURE.findall(page_of(name))
    assert [address for _, address in pictures] == [f"pictures/{name}.jpg"]
    assert len(pictures[0][0]) > 20, "says in words what it shows"
    file = PAGES / pictures[0][1]
    assert file.stat().st_size < LARGEST
    with Image.open(file) as picture:
        assert 480 <= picture.width <= 900
        assert max(ImageStat.Stat(picture.convert("L")).stddev) > 10, "shows nothing"


def test_no_picture_is_left_over_and_each_can_be_made_again():
    pictures = sorted(path.name for path in (PAGES / "pictures").iterdir())
    assert pictures == [f"{name}.jpg" for name in NODES]
    assert sorted(tool("write_help_pictures").SCENES) == NODES


@pytest.mark.parametrize("name", NODES)
def test_typical_values_can_be_set(name):
    """What the page advises for an input of this node is within its range, or one of its choices."""
    text = section(page_of(name), "Typical values")
    assert text.count("\n|") >= 4
    checked = 0
    for key, words in re.findall(r"`(\w+)` ([\w.]+(?: to [\d.]+)?)", text):
        kind, options = inputs_of(name).get(key, ("", {}))
        choices = {str(choice) for choice in options.get("options", ())}
        for value in words.rstrip(".").split(" to ") if words not in ("and", "or", "only", "as", "not") else ():
            if kind in ("FLOAT", "INT"):
                assert options["min"] <= float(value) <= options["max"], f"{key} {value}"
            elif kind == "BOOLEAN":
                assert value in ("on", "off"), f"{key} {value}"
            elif choices:
                assert value in choices, f"{key} {value}"
            checked += bool(kind)
    if any(kind in ("FLOAT", "INT") for kind, _ in inputs_of(name).values()):
        assert checked or "|---|---|---|" in text, "advises nothing"


def sources() -> str:
    """All texts of the code, sentences that were broken over lines in one piece; no comments."""
    found = []
    for path in (path for folder in (ROOT / "nodes", ROOT / "grefine_core") for path in folder.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parts = (value for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for value in node.values)
        known = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)} | set(map(id, parts))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in known:
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                words = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                found.append("".join(map(str, words)))
    return "\n".join(found)


def test_messages_that_pages_explain_are_those_of_the_code():
    code, explained = sources(), 0
    for name in NODES:
        rows = re.findall(r"^\| ([^|]*) \|[^|]*\|$", section(page_of(name), "Common problems"), re.MULTILINE)[1:]
        assert len(rows) >= 3, name
        for quoted in (each for row in rows for each in re.findall(r'"([^"]{8,})"', row)):
            for part in (part.strip(" .") for part in quoted.split("…")):
                assert part in code, f"{name}: {quoted!r}"
            explained += 1
    assert explained > 12


def test_the_maps_in_the_pictures_mean_something():
    """What the pages of PQ-Map and AQ-Map show: the maps are highest on what is wrong."""
    from grefine_core import assess
    from grefine_core.miniature.loading import load_choices, load_miniature_quality_model
    from grefine_research.miniature.generator import make_sample

    quality, chosen = load_miniature_quality_model(), load_choices().assessment()
    for index, kind in ((164, "perceptual"), (41, "alignment")):
        sample = make_sample("test", index)
        image = torch.from_numpy(np.clip(sample.image, 0, 1)).float()[None]
        found = getattr(assess(quality, image, sample.caption.prompt, **chosen), kind).defect_map[0]
        wrong = torch.from_numpy(np.max([defect.mask for defect in sample.defects], axis=0)) > 0.5
        assert found[wrong].mean() > 2 * found[~wrong].mean()
        assert found[wrong].max() > 0.95 * found.max()
