"""Every node, whatever it is given: a clear error that names the input, or a right result; inputs stay as they were.

Real models (the miniature ones) and the host's own modules, in a process of its own. The long run, with many more cases
and larger pictures: ``pytest -m slow tests/host/test_node_properties.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .properties.subjects import CASES

HERE = Path(__file__).resolve().parent
CODE = """
import asyncio, importlib, os, sys, tempfile
import folder_paths, nodes, torch
torch.set_num_threads(1)
assert asyncio.run(nodes.load_custom_node(os.environ["GREFINE_PACK"])), "the pack did not load"
name = os.environ["GREFINE_PACK"].replace(".", "_x_")
part = lambda module: importlib.import_module(f"{name}.{module}")
folder = part("tests.tiny_models").write_quality_model(tempfile.mkdtemp())
folder_paths.add_model_folder_path("grefine", str(folder))
sys.path.append(HERE)
from properties.runner import run
run(part, **OPTIONS)
"""
QUICK = {"cases": 6, "longest": 257, "most": 257 * 257, "text": 2000}
SLOW = {"cases": 500, "longest": 4097, "most": 2_000_000, "text": 100_000}


def results(host_run: Any, timeout: float, **options: Any) -> dict[str, Any]:
    out = host_run(f"HERE, OPTIONS = {str(HERE)!r}, {options!r}\n" + CODE, timeout=timeout)
    return json.loads(out.split("RESULT ", 1)[1])


@pytest.fixture(scope="module")
def quick(host_run) -> dict[str, Any]:
    return results(host_run, 1500.0, names=list(CASES), **QUICK)


def test_every_node_has_a_case(quick):
    assert set(quick["nodes"]) == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_clear_error_or_a_right_result(quick, name):
    assert not quick[name]["failed"], quick[name]["failed"]


def test_there_are_both_errors_and_results(quick):
    """Cases that are all refused, or none, would prove nothing."""
    results, refused = (sum(quick[name].get(kind, 0) for name in CASES) for kind in ("result", "refused"))
    assert results > 25
    assert refused > 12


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("name", CASES)
def test_many_cases_and_large_pictures(host_run, name):
    found = results(host_run, 4 * 3600, names=[name], **SLOW)[name]
    assert not found["failed"], found["failed"]
    assert sum(found.get(kind, 0) for kind in ("result", "refused")) >= (1 if name == "GRefineLoadMiniature" else 500)
