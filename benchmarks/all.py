"""All of speed and footprint with one command: one table, and ``results/speed.md`` and ``results/speed.json``.

    python benchmarks/all.py [--only NAME …] [--repeats 7] [--threads 1] [--side 4096] [--device cpu|cuda]

Parts: import, quality, batch, masks, footprint, stages, sd15 (the stages at the real size of Stable Diffusion 1.5, one
pair of runs). Each is a script of its own here, with more options; what is
left out by ``--only`` keeps the figures that it has in ``results/speed.json``. On the CPU, times are the process's own
seconds, and ratios are of runs that are interleaved in one process. Takes some forty minutes on one core,
half of them for sd15.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import footprint
import host_import
import in_host
import masks
import quality
import stages
import torch

from grefine_core.comfyui.host_server import find_host

RESULTS = Path(__file__).resolve().parent / "results"
Row = tuple[str, str, str, bool]
"""What was measured, the figure, its target, whether it is met."""


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), help="parts to measure anew")
    parser.add_argument("--repeats", type=int, default=7, help="interleaved runs of each")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--side", type=int, default=4096, help="of the picture for the footprint, pixels")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # of the processes that are started
    file = RESULTS / "speed.json"
    figures = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for name in options.only:
        print(f"{name} …", flush=True)
        figures[name] = {"measured": PARTS[name][0](options), "conditions": conditions(options)}
        RESULTS.mkdir(exist_ok=True)
        file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")  # what was measured is kept
    page = "\n".join(report(figures))
    (RESULTS / "speed.md").write_text(page + "\n", encoding="utf-8")
    print(page)


def conditions(options: argparse.Namespace) -> dict[str, str]:
    """What the figures were measured on."""
    return {
        "when": datetime.now(timezone.utc).strftime("%d %B %Y"),
        "threads": str(options.threads),
        "device": options.device,
        "torch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
    }


def quality_options(options: argparse.Namespace) -> argparse.Namespace:
    """Those of ``quality.py``."""
    clock = "process" if options.device == "cpu" else "wall"
    return argparse.Namespace(
        model="ViT-B-16-quickgelu", size=512, batch=1, repeats=options.repeats, threads=options.threads,
        device=options.device, clock=clock,
    )  # fmt: skip


def stage_options(options: argparse.Namespace) -> dict[str, Any]:
    """Those of ``stages.py`` that are the machine's."""
    return {"threads": options.threads, "gpu": options.device != "cpu"}


def import_seconds(options: argparse.Namespace) -> dict[str, Any]:
    """The pack's import in the host."""
    host, looked = find_host(host_import.PACK)
    if host is None:
        raise SystemExit(f"No ComfyUI at {looked}; set COMFYUI_PATH to a ComfyUI folder.")
    found = host_import.measure(host, options.repeats)
    return {name: value for name, value in found.items() if name != "modules"}


def quality_ratios(options: argparse.Namespace) -> dict[str, float]:
    """Medians against the plain encode, by task."""
    runs, _ = quality.measure(quality_options(options))
    base = statistics.median(runs["plain open_clip encode"])
    return {name: statistics.median(values) / base for name, values in runs.items()}


def mask_rows(options: argparse.Namespace) -> list[dict[str, float]]:
    """Seconds and memory of ``binarize_map``."""
    return [masks.in_process(side, min(3, options.repeats)) for side in (1024, 4096)]


def report(figures: dict[str, Any]) -> list[str]:
    """The page: one table of all targets, and what each part was measured on."""
    lines = ["# Speed and footprint", "", "| what | measured | target | met |", "|---|---:|---:|---|"]
    for name, (_, rows) in PARTS.items():
        if name in figures:
            for what, figure, target, met in rows(figures[name]["measured"]):
                lines.append(f"| {what} | {figure} | {target} | {('yes' if met else '**no**') if target else ''} |")
    lines += ["", "Made by `python benchmarks/all.py`; [README](../README.md) says what is measured, and how.", ""]
    for name in PARTS:
        if name in figures:
            said = figures[name]["conditions"]
            lines.append(
                f"- {name}: {said['when']}, {said['device']}, {said['threads']} threads, torch {said['torch']}, "
                f"{said['machine']}"
            )
    return lines


def _import_rows(found: dict[str, Any]) -> list[Row]:
    met = found["median"] <= host_import.TARGET and not found["heavy"]
    heavy = ", ".join(found["heavy"]) or "none"
    figure = f"{found['median']:.3f} (computed: {found['process']:.3f}), heavy packages: {heavy}"
    what = "import of the pack in ComfyUI, s"
    return [
        (what, figure, f"≤ {host_import.TARGET:.2f}, none", met),
        ("the same at the first start, byte code to be written: computed", f"{found['first_process']:.3f}", "", True),
    ]


def _quality_rows(found: dict[str, float]) -> list[Row]:
    rows: list[Row] = []
    for name, ratio in found.items():
        target = quality.TARGETS.get(name)
        rows.append((name, f"{ratio:.2f}", "" if target is None else f"≤ {target:.2f}", ratio <= (target or ratio)))
    return rows


def _batch_rows(found: dict[str, float]) -> list[Row]:
    what = f"a picture in a batch of {found['batch']}, by itself = 1.00"
    return [(what, f"{found['ratio']:.2f}", "≤ 1.00", found["ratio"] <= 1.005)]


def _mask_rows(found: list[dict[str, float]]) -> list[Row]:
    return [
        (
            f"`binarize_map`, threshold, {row['side']:.0f}²",
            f"{row['threshold']:.2f} s, {row['memory_mb']:.0f} MB",
            "",
            True,
        )
        for row in found
    ]


def _footprint_rows(found: list[dict[str, Any]]) -> list[Row]:
    limit = footprint.TARGET
    return [
        (
            f"{row['what']}: beyond picture and result, MB",
            f"{row['beyond_mb']:.0f}",
            f"≤ {limit:.0f}",
            row["beyond_mb"] <= limit,
        )
        for row in found
    ]


def _stage_rows(found: dict[str, Any]) -> list[Row]:
    over, name = found["overhead"], found["network"]
    which = f"{over['side']}², {over['steps']} steps, network “{name}”"
    rows = [
        (
            f"Stage 1 against the bare graph, {which}, by what lies outside of the networks",
            f"{over['accounted']:.4f}",
            f"≤ {stages.OVERHEAD:.2f}",
            over["accounted"] <= stages.OVERHEAD,
        ),
        (
            f"the same by all seconds, pairs: {over['pairs']}",
            f"{over['ratio']:.3f} ({over['lowest']:.3f} to {over['highest']:.3f})",
            f"≤ {stages.OVERHEAD:.2f}",
            over["ratio"] <= stages.OVERHEAD,
        ),
        ("the bare graph, s", f"{over['bare_seconds']:.1f}", "", True),
        ("scoring apart: PQ-Map and AQ-Map of that picture, ViT-B/16, s", f"{over['scoring_seconds']:.2f}", "", True),
    ]
    if "crop" not in found:
        return rows
    crop = found["crop"]
    for source, size, values in (
        (f"faster, network “{name}”", crop["frame"], crop["faster"]),
        ("fewer multiplications of the UNet at real size", 1024, found["operations"]),
    ):
        for context, faster in values.items():
            what = f"{crop['share']:.0%} of {size}² masked, {context}: times {source}"
            asked = context == stages.DEFAULT
            rows.append((what, f"{faster:.1f}", f"≥ {stages.FASTER:.0f}" if asked else "", faster >= stages.FASTER))
    return rows


PARTS: dict[str, tuple[Callable[[argparse.Namespace], Any], Callable[[Any], list[Row]]]] = {
    "import": (import_seconds, _import_rows),
    "quality": (quality_ratios, _quality_rows),
    "batch": (lambda options: quality.batch_against_singles(quality_options(options)), _batch_rows),
    "masks": (mask_rows, _mask_rows),
    "footprint": (lambda options: footprint.measure(options.side), _footprint_rows),
    "stages": (lambda options: stages.measure(repeats=options.repeats, **stage_options(options)), _stage_rows),
    "sd15": (
        lambda options: stages.measure("sd15", 512, crop_steps=0, repeats=1, **stage_options(options)),
        _stage_rows,
    ),
}

if __name__ == "__main__":
    try:
        main()
    except in_host.NoHostError as error:
        raise SystemExit(str(error)) from error
