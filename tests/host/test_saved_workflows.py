"""Saved workflows of every release, through the real host's own validation of prompts; nothing of them is run.

Nobody has the model files here: that a file is not in a list is all that the host may say.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from ..workflows.saved_checks import names, saved_files

SAVED = saved_files("api")
CODE = """
import asyncio, json, os, pathlib
import nodes, execution
asyncio.run(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
assert asyncio.run(nodes.load_custom_node(os.environ["GREFINE_PACK"])), "the pack did not load"

def errors(prompt):
    known = {key: node for key, node in prompt.items() if node["class_type"] in nodes.NODE_CLASS_MAPPINGS}
    if len(known) < len(prompt):
        return [["-", kind["class_type"], "unknown", ""] for key, kind in prompt.items() if key not in known]
    _, _, _, found = asyncio.run(execution.validate_prompt("1", prompt, None))
    return [[key, prompt[key]["class_type"], error["type"], error["extra_info"].get("input_name", ""), error["details"]]
            for key, entry in found.items() for error in entry["errors"]]

result = {}
for path in PATHS:
    prompt = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    result[path] = errors(prompt)

# The same workflow, as if the nodes had changed since it was saved: each must be refused.
for how in ("renamed", "another type", "another slot", "out of range", "no such node"):
    prompt = json.loads(pathlib.Path(PATHS[0]).read_text(encoding="utf-8"))
    stage1 = next(node for node in prompt.values() if node["class_type"] == "GRefineStage1Inpaint")
    if how == "renamed":
        stage1["inputs"]["old_mask"] = stage1["inputs"].pop("denoise_mask")
    elif how == "another type":
        stage1["inputs"]["denoise_mask"] = stage1["inputs"]["image"]
    elif how == "another slot":
        stage1["inputs"]["denoise_mask"][1] = 2
    elif how == "out of range":
        stage1["inputs"]["min_side"] = -1
    else:
        stage1["class_type"] = "GRefineOldName"
    result[how] = errors(prompt)
print("RESULT", json.dumps(result))
"""


@pytest.fixture(scope="module")
def result(host_run) -> dict[str, Any]:
    full = next(path for path in SAVED if path.stem == "grefine_sdxl_inpainting")
    paths = [str(path) for path in [full, *(path for path in SAVED if path != full)]]
    return json.loads(host_run(f"PATHS = {paths!r}\n" + CODE).split("RESULT ", 1)[1])


@pytest.mark.parametrize("path", SAVED, ids=names(SAVED))
def test_the_host_still_takes_it(result, path):
    missing = {kind for _, kind, error, *_ in result[str(path)] if error == "unknown"}
    if missing and not any(kind.startswith("GRefine") for kind in missing):
        pytest.skip(f"NODE MISSING in this host: {', '.join(sorted(missing))}")
    for key, kind, error, name, details in result[str(path)]:
        where = f"{key} {kind}.{name}: {error}: {details}"
        assert error in ("value_not_in_list", "custom_validation_failed"), where
        no_such_file = "was not found. Searched" in details or details.endswith("not in []")
        assert not kind.startswith("GRefine") or no_such_file, where


@pytest.mark.parametrize("how", ["renamed", "another type", "another slot", "out of range", "no such node"])
def test_the_host_would_refuse_what_does_not_fit_the_nodes(result, how):
    assert any(kind.startswith("GRefine") for _, kind, *_ in result[how])
