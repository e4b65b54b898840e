"""Runs a part of a benchmark in the real ComfyUI's surroundings, without a server: its modules, this pack's nodes.

The parts lie in ``host_parts``; each is a module with a function ``main(bench)``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from grefine_core.comfyui.host_server import find_host

HERE = Path(__file__).resolve().parent
PACK = HERE.parent
PRELUDE = """
import json, os, sys
HOST, SCRATCH, NAME, OPTIONS = json.loads(os.environ["GREFINE_BENCHMARK"])
sys.path.insert(0, HOST)
sys.argv = ["main.py", "--base-directory", SCRATCH] + ([] if OPTIONS.get("gpu") else ["--cpu"])
import comfy.options; comfy.options.enable_args_parsing()
import utils.extra_config
import asyncio, importlib, nodes, torch
if OPTIONS.get("threads"): torch.set_num_threads(OPTIONS["threads"])
PACK = os.environ["GREFINE_PACK"]
assert asyncio.run(nodes.load_custom_node(PACK)), "the pack did not load"
sys.path.append(os.path.join(PACK, "benchmarks"))
from in_host import Bench
part = lambda module: importlib.import_module(PACK.replace(".", "_x_") + "." + module)
tell = lambda **row: print("TOLD", json.dumps(row), flush=True)
with torch.inference_mode():
    importlib.import_module("host_parts." + NAME).main(Bench(part, OPTIONS, tell))
"""


@dataclass(frozen=True)
class Bench:
    """What a part is given."""

    part: Callable[[str], ModuleType]
    """A module of the pack by its name, as the host has imported it: ``part("nodes.quality")``."""
    options: dict[str, Any]
    tell: Callable[..., None]
    """``tell(what=…, seconds=…)``: one row of figures."""


class NoHostError(Exception):
    """There is no ComfyUI to measure with."""


def run(name: str, **options: Any) -> list[dict[str, Any]]:
    """What ``host_parts.name`` told, row by row. Options ``threads`` and ``gpu`` are the process's own.

    Raises:
        NoHostError: no ComfyUI was found.
        RuntimeError: the part failed; its last words are in the message.
    """
    host, looked = find_host(PACK)
    if host is None:
        raise NoHostError(f"No ComfyUI at {looked}; set COMFYUI_PATH to a ComfyUI folder.")
    with tempfile.TemporaryDirectory(prefix="grefine-benchmark-") as scratch:
        surroundings = {
            "HF_HUB_OFFLINE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": "",
            "GREFINE_PACK": str(PACK),
            "GREFINE_BENCHMARK": json.dumps([str(host), scratch, name, options]),
        }
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE],
            cwd=host,
            env={**os.environ, **surroundings},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"{name} failed:\n{done.stderr[-3000:]}")
    return [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("TOLD ")]


def write(figures: Any, file: str | None) -> None:
    """The figures as JSON, if a file was asked for."""
    if file:
        Path(file).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
