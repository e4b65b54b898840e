"""Peak memory of every node for one large picture, beyond the picture itself and what the node returns.

    python benchmarks/footprint.py [--side 4096] [--share 0.1] [--only TEXT] [--json FILE]

Every node runs in a process of its own in ComfyUI's surroundings, as it calls them: what the allocator kept of other
tasks does not count. The quality model is ViT-B/16 with random weights. The stages have an engine that does nothing:
what a real one needs for a crop is its own.
"""

from __future__ import annotations

import argparse
from typing import Any

import in_host

TARGET = 300.0
#: Words of the tasks' names; those with the same one share a process.
PROCESSES = (
    "PQ-Map", "AQ-Map", "Merge", "Binarize", "Guard", "Report", "% masked", "all masked", "many parts", "Stage 2"
)  # fmt: skip


def main() -> None:
    """Measure, print a Markdown table, write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=4096, help="of the picture, pixels")
    parser.add_argument("--share", type=float, default=0.1, help="of the picture that is masked")
    parser.add_argument("--only", metavar="TEXT", default="", help="tasks with this in their name")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file, too")
    options = parser.parse_args()
    rows = measure(options.side, options.share, options.only)
    print("\n".join(table(rows, options.side)))
    in_host.write(rows, options.json)


def measure(side: int = 4096, share: float = 0.1, only: str = "") -> list[dict[str, Any]]:
    """A row for each task: its peak, what of that it returns, and the rest, in megabytes."""
    chosen = [only] if only else PROCESSES
    return [row for text in chosen for row in in_host.run("footprint", side=side, share=share, only=text)]


def table(rows: list[dict[str, Any]], side: int) -> list[str]:
    """The figures as Markdown."""
    lines = [f"| one picture of {side}² | returned, MB | beyond that, MB | target |", "|---|---:|---:|---:|"]
    for row in rows:
        lines.append(f"| {row['what']} | {row['returned_mb']:.0f} | {row['beyond_mb']:.0f} | ≤ {TARGET:.0f} |")
    return lines


if __name__ == "__main__":
    main()
