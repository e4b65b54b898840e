"""What the pack adds to ComfyUI's start: importing it, its entry point, and the schema of every node.

    python benchmarks/host_import.py [--runs 7] [--json FILE]

The ComfyUI is the one that the tests find: $COMFYUI_PATH, around the pack, or ~/comfy/ComfyUI. Each run is a process of
its own that imports what the host has imported when it comes to its custom nodes, and then loads the pack with the
host's own function. Byte code is kept in a scratch folder, so the host's folder is only read; the first run fills it
(so does the first start after an installation) and is told apart. Seconds are those of the clock, and those that the
process computed: the two differ where other work waits for the same cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from grefine_core.comfyui.host_server import find_host

PACK = Path(__file__).resolve().parents[1]
TARGET = 0.15
HEAVY = ("diffusers", "transformers", "open_clip", "timm", "nltk", "kornia", "scipy.ndimage")
CODE = """
import sys; sys.path.insert(0, "."); sys.argv = ["main.py", "--cpu", "--base-directory", sys.argv[1]]
import comfy.options; comfy.options.enable_args_parsing()
import utils.extra_config, execution, server, nodes, comfy.samplers, comfy_api.latest, latent_preview, node_helpers
import comfy_config.config_parser  # the host needs it for its own extra nodes, before any pack
import asyncio, json, os, time
before = set(sys.modules)
start, used = time.perf_counter(), time.process_time()
loaded = asyncio.run(nodes.load_custom_node(os.environ["GREFINE_PACK"]))
row = {"seconds": time.perf_counter() - start, "process": time.process_time() - used}
print(json.dumps({"loaded": loaded, **row, "modules": sorted(set(sys.modules) - before)}))
"""


def main() -> None:
    """Measure, print, write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="processes that are measured")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file, too")
    options = parser.parse_args()
    host, looked = find_host(PACK)
    if host is None:
        raise SystemExit(f"No ComfyUI at {looked}; set COMFYUI_PATH to a ComfyUI folder.")
    figures = measure(host, options.runs)
    seconds, modules = figures["seconds"], figures["modules"]
    said = (
        f"{host}: {figures['median']:.3f} s, median of {options.runs} ({min(seconds):.3f} to {max(seconds):.3f})",
        f"computed {figures['process']:.3f} s, at the first start {figures['first_process']:.3f} s",
        f"{len(modules)} modules, heavy ones: {', '.join(figures['heavy']) or 'none'}",
        f"target ≤ {TARGET:.2f} s and none",
    )
    print("; ".join(said))
    if options.json:
        Path(options.json).write_text(json.dumps({"host": str(host), **figures}, indent=2) + "\n", encoding="utf-8")


def measure(host: Path, runs: int) -> dict[str, Any]:
    """``runs`` processes after a first one: their seconds, medians, and what came along."""
    with tempfile.TemporaryDirectory(prefix="grefine-import-") as scratch:
        first, *later = [load_pack(host, Path(scratch)) for _ in range(runs + 1)]
    seconds = [answer["seconds"] for answer in later]
    return {
        "median": statistics.median(seconds),
        "seconds": seconds,
        "process": statistics.median(answer["process"] for answer in later),
        "first_process": first["process"],
        "heavy": [name for name in HEAVY if name in later[0]["modules"]],
        "modules": later[0]["modules"],
    }


def load_pack(host: Path, scratch: Path) -> dict[str, Any]:
    """One process: seconds, and the modules that came with the pack."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    surroundings = {"HF_HUB_OFFLINE": "1", "PYTHONPYCACHEPREFIX": str(scratch / "bytecode"), "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(scratch)],
        cwd=host,
        env={**inherited, **surroundings, "GREFINE_PACK": str(PACK)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"The host's Python failed:\n{done.stderr[-3000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    if not answer["loaded"]:
        raise SystemExit(f"The host could not load the pack:\n{done.stderr[-3000:]}")
    return dict(answer)


if __name__ == "__main__":
    main()
