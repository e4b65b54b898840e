"""What the pack adds to ComfyUI's start: importing it, its entry point, and the schema of every node.

    python benchmarks/host_import.py [--runs 7] [--json FILE]

The ComfyUI is the one that the tests find: $COMFYUI_PATH, around the pack, or ~/comfy/ComfyUI. Each run is a process of
its own that imports what the host has imported when it comes to its custom nodes, and then loads the pack with the
host's own function. Byte code is kept in a scratch folder, so the host's folder is only read; a first run, not counted,
fills it.
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

from grefine_core.host_server import find_host

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
start = time.perf_counter()
loaded = asyncio.run(nodes.load_custom_node(os.environ["GREFINE_PACK"]))
seconds = time.perf_counter() - start
print(json.dumps({"loaded": loaded, "seconds": seconds, "modules": sorted(set(sys.modules) - before)}))
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
    with tempfile.TemporaryDirectory(prefix="grefine-import-") as scratch:
        answers = [load_pack(host, Path(scratch)) for _ in range(options.runs + 1)][1:]
    seconds = sorted(answer["seconds"] for answer in answers)
    modules = answers[0]["modules"]
    heavy = [name for name in HEAVY if name in modules]
    median = statistics.median(seconds)
    print(f"{host}: {median:.3f} s, median of {len(seconds)} ({seconds[0]:.3f} to {seconds[-1]:.3f}), ", end="")
    print(f"{len(modules)} modules, heavy ones: {', '.join(heavy) or 'none'} (target ≤ {TARGET:.2f} s and none)")
    if options.json:
        figures = {"host": str(host), "median_seconds": median, "seconds": seconds, "modules": modules}
        Path(options.json).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def load_pack(host: Path, scratch: Path) -> dict:
    """One process: seconds, and the modules that came with the pack."""
    surroundings = {"HF_HUB_OFFLINE": "1", "PYTHONPYCACHEPREFIX": str(scratch / "bytecode"), "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(scratch)],
        cwd=host,
        env={**os.environ, **surroundings, "GREFINE_PACK": str(PACK)},
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
