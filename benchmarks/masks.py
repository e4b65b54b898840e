"""What turning a defect map into masks costs: seconds and memory of ``binarize_map``, by the picture's size.

    python benchmarks/masks.py [--sides 1024 2048 4096] [--repeats 3] [--json FILE]

The map is noise at patch resolution, enlarged as PQ-Map enlarges it, so that half of it is above the threshold,
in many parts: more work than most pictures give. Every size runs in a process of its own; memory is what its peak rises
by beyond the map itself; the two masks that come back are a part of it (134 MB at 4096²).
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

METHODS = ("threshold", "otsu", "top")


def main() -> None:
    """Measure every size, print a Markdown table, write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[1024, 2048, 4096], help="sides of the maps, pixels")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the median counts")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file, too")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.repeats)))
        return
    rows = [in_process(side, options.repeats) for side in options.sides]
    print("| map | " + " | ".join(f"{method}, s" for method in METHODS) + " | memory, MB |")
    print("|---|" + "---:|" * (len(METHODS) + 1))
    for row in rows:
        seconds = " | ".join(f"{row[method]:.2f}" for method in METHODS)
        print(f"| {row['side']}² | {seconds} | {row['memory_mb']:.0f} |")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def in_process(side: int, repeats: int) -> dict[str, float]:
    """:func:`measure` in a process of its own."""
    command = [sys.executable, __file__, "--one", str(side), "--repeats", str(repeats)]
    return dict(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def measure(side: int, repeats: int) -> dict[str, float]:
    """Median seconds of each method for a map of ``side``², and the rise of this process's peak memory."""
    from scipy import ndimage  # noqa: F401 - its import is no part of the measurement

    from grefine_core import binarize_map

    noise = torch.rand(1, 1, 14, 14, generator=torch.Generator().manual_seed(1))
    defects = F.interpolate(noise, size=(side, side), mode="bicubic").clamp(0.0, 1.0)[0]
    binarize_map(defects[:, :64, :64])
    start = peak_mb()
    row: dict[str, float] = {"side": side}
    for method in METHODS:
        spent = []
        for _ in range(repeats):
            begin = time.process_time()
            binarize_map(defects, method)
            spent.append(time.process_time() - begin)
        row[method] = statistics.median(spent)
    return {**row, "memory_mb": peak_mb() - start}


def peak_mb() -> float:
    """The most memory that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


if __name__ == "__main__":
    main()
