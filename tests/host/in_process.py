"""Code for ``host_run`` that the tests share: the pack and the doubles as packages in a process of the host's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: ``part("nodes.x")`` is a module of the pack, ``doubles`` the package of the test doubles.
PRELUDE = f"""
import importlib, importlib.util, json, logging, os, warnings
import torch
torch.set_num_threads(1)
logging.disable(logging.WARNING)
warnings.simplefilter("ignore")
import comfy.utils
comfy.utils.PROGRESS_BAR_ENABLED = False

def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path + "/__init__.py", submodule_search_locations=[path])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)

load("pack", os.environ["GREFINE_PACK"])
load("doubles", {str(Path(__file__).parent / "doubles")!r})
part = lambda name: importlib.import_module("pack." + name)
values = lambda output: getattr(output, "result", None) or output.args
torch.inference_mode().__enter__()
seen = {{}}
"""
RESULT = """
print("RESULT", json.dumps(seen))
"""


def run_in_host(host_run: Callable[..., str], code: str) -> dict[str, Any]:
    """What the code put into ``seen``."""
    lines = host_run(PRELUDE + code + RESULT).splitlines()
    found: dict[str, Any] = json.loads(
        next(line for line in lines if line.startswith("RESULT ")).removeprefix("RESULT ")
    )
    return found
