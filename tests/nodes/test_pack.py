"""The pack as a folder: what importing it costs, and what saved workflows know of its nodes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECORDED = json.loads((ROOT / "tests" / "host" / "object_info.json").read_text(encoding="utf-8"))

IMPORT = """
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("any.name", {root!r} + "/__init__.py",
                                              submodule_search_locations=[{root!r}])
module = importlib.util.module_from_spec(spec)
sys.modules["any.name"] = module
spec.loader.exec_module(module)
assert module.WEB_DIRECTORY == "./web"
assert not hasattr(module, "NODE_CLASS_MAPPINGS")
print(*sorted(sys.modules))
print(any(os.path.samefile({root!r}, place) for place in sys.path if os.path.isdir(place)))
"""


def test_importing_the_pack_needs_neither_the_host_nor_torch():
    out = subprocess.run(
        [sys.executable, "-I", "-c", IMPORT.format(root=str(ROOT))], capture_output=True, text=True, check=True
    )
    *modules, on_the_path = out.stdout.split()
    loaded = set(modules)
    assert "any.name" in loaded
    assert not loaded & {"torch", "numpy", "nodes", "comfy", "grefine_core"}
    # `nodes` is a module of the host's: a pack that puts its own folder on the path would hide it.
    assert on_the_path == "False"


def test_what_came_later_stands_behind_what_saved_workflows_know():
    """Widgets are saved by their places, links by the numbers of outputs."""
    outputs = RECORDED["GRefinePQMap"]["output_name"]
    assert outputs[:3] == ["quality_map", "defect_map", "overlay"]
    assert outputs[3:] == ["score", "overall", "technical", "rational", "natural", "worst_region", "diagnosis"]
    plan = RECORDED["GRefinePlan"]["input"]
    fields = {**plan["required"], **plan["optional"]}
    widgets = [name for name, (_, options) in fields.items() if not options.get("forceInput")]
    known = ["mode", "perceptual_bar", "alignment_bar", "steps", "stage1_min", "stage1_max", "stage2_strength"]
    assert widgets == [*known, "region_bar", "plan", "own_phrases", "calibrated"]
    later = ["plan", "emphasized_prompt", "own_phrases", "calibrated"]
    assert list(plan["optional"]) == ["area", "worst_region", "region_bar", *later]
