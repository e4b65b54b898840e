"""The layers of the code, as docs/architecture.md draws them: arrows point down, and nothing runs in a circle.

Imports inside of functions and those for types alone count as well. `grefine_core/__init__.py`, which names the public
rest of the library, and what the command line finds in `grefine_research` by name, are no imports.
"""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Rooms of `grefine_core`, from the lowest up. Those of one line may import one another, without circles.
LAYERS = (
    ("errors", "checks", "files", "plain_text"),
    ("memory", "tensors"),
    ("pixels", "metadata", "pictures", "tables", "comfyui", "models"),
    ("prompt",),
    ("clip", "perceptual", "alignment", "imagereward", "calibration"),
    ("diagnosis", "instructions", "masks", "plan", "regions", "report"),
    ("refine",),
    ("engines",),
    ("miniature", "examples"),
    ("cli",),
)
HEIGHT = {room: height for height, rooms in enumerate(LAYERS) for room in rooms}


@cache
def modules() -> dict[str, Path]:
    """Every module by its dotted name."""
    found = {}
    for package in ("grefine_core", "grefine_research", "nodes"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports() -> dict[str, set[str]]:
    """Module -> the modules that it imports, wherever it does."""
    graph = {}
    for name, path in modules().items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                up = node.level - (path.name == "__init__.py")
                parts = name.split(".")[: len(name.split(".")) - up] if node.level else []
                base = ".".join([*parts, *([node.module] if node.module else [])])
                longer = {f"{base}.{alias.name}" for alias in node.names}
                found |= {each if each in modules() else base for each in longer}
        graph[name] = {each for each in found if each in modules() and each != name}
    graph["grefine_core"] = set()
    return graph


def height(module: str) -> int:
    """Of a module of `grefine_core`; the package itself, which everything may ask for its version, lies below all."""
    parts = module.split(".")
    return HEIGHT[parts[1]] if len(parts) > 1 else -1


def test_every_room_has_its_place():
    rooms = {name.split(".")[1] for name in modules() if name.startswith("grefine_core.")}
    assert rooms - set(HEIGHT) == set()


def test_arrows_point_down():
    library = {name: found for name, found in imports().items() if name.split(".")[0] == "grefine_core"}
    assert len(library) > 50
    up = [
        f"{name} imports {other}"
        for name, found in library.items()
        for other in found
        if other.split(".")[0] != "grefine_core" or height(other) > height(name) >= 0
    ]
    assert up == []


def test_nodes_use_the_library_without_its_command_line():
    wrong = [
        f"{name} imports {other}"
        for name, found in imports().items()
        for other in found
        if name.split(".")[0] == "nodes"
        and (other.split(".")[0] == "grefine_research" or other.split(".")[:2] == ["grefine_core", "cli"])
    ]
    assert wrong == []


def test_the_pack_uses_no_node_class_of_the_host():
    """Its library, whose functions other packs call as well, changes far less often than its nodes do."""
    for name, path in modules().items():
        if name.split(".")[0] == "nodes":
            asked = set()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    asked |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    asked.add(str(node.module).split(".")[0])
            assert not asked & {"nodes", "comfy_extras", "comfy_api_nodes", "execution", "server"}, name


def test_research_knows_nothing_of_the_nodes():
    wrong = [
        f"{name} imports {other}"
        for name, found in imports().items()
        for other in found
        if name.split(".")[0] == "grefine_research" and other.split(".")[0] == "nodes"
    ]
    assert wrong == []


def test_nothing_runs_in_a_circle():
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        raise AssertionError(" <- ".join(error.args[1])) from None
