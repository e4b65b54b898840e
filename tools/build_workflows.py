"""Writes the shipped workflows, in the editor's format and in the queue's, and the subgraph of the whole method.

    python tools/build_workflows.py            write workflows/*.json, workflows/api/*.json and subgraphs/*.json
    python tools/build_workflows.py --check    change nothing; say what is out of date, and end with 1 if anything is

What is in them: ``workflow_graphs.py``, ``workflow_blueprint.py``. Needs no ComfyUI: what the nodes look like is
recorded in tests/.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow_blueprint import BLUEPRINT, blueprint
from workflow_graphs import GRAPHS
from workflow_writer import Graph

ROOT = Path(__file__).resolve().parents[1]
RECORDED = (ROOT / "tests/workflows/host_nodes.json", ROOT / "tests/host/object_info.json")


def build(object_info: Mapping[str, Any]) -> dict[str, str]:
    """The text of every file, by its path inside the repository."""
    files = {}
    for name, describe in GRAPHS.items():
        graph = Graph(name, object_info)
        describe(graph)
        files[f"workflows/{name}.json"] = json.dumps(graph.ui(), indent=2, ensure_ascii=False) + "\n"
        files[f"workflows/api/{name}.json"] = json.dumps(graph.api(), indent=2, ensure_ascii=False) + "\n"
    # Some hosts read it in the encoding of the system's language: ASCII is the same in all.
    files[f"subgraphs/{BLUEPRINT}.json"] = json.dumps(blueprint(object_info), indent=2) + "\n"
    return files


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or check them."""
    parser = argparse.ArgumentParser(description="Writes the shipped workflows and the subgraph.")
    parser.add_argument("--check", action="store_true", help="change nothing, say what is out of date")
    parser.add_argument("--output", type=Path, default=ROOT, help="where workflows/ and subgraphs/ are")
    parser.add_argument("--object-info", type=Path, nargs="+", default=RECORDED, help="recorded /object_info files")
    options = parser.parse_args(arguments)
    object_info: dict[str, Any] = {}
    for path in options.object_info:
        object_info |= json.loads(path.read_text(encoding="utf-8"))
    stale = 0
    for name, text in build(object_info).items():
        path = options.output / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{'out of date' if options.check else 'written'}: {path}\n")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
