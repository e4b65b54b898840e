"""What Stage 1 costs beside the sampling itself, and what a crop saves.

    python benchmarks/stages.py                                             # small networks: minutes on one core
    python benchmarks/stages.py --network sd15 --side 512 --crop-steps 0 --repeats 1    # the real size: a quarter hour
    python benchmarks/stages.py --network sd15 --side 512 --frame 1024 --crop-steps 10 --gpu

- **overhead**: the node against the bare graph of the host's own nodes (VAE Encode, Set Latent Noise Mask, KSampler,
  VAE Decode) with the same picture, size, sampler and number of model calls.
  Both do the same inside of the networks, which is most of it, and what disturbs a machine disturbs that: so the
  seconds outside of the networks are counted apart, and their difference is set against the bare graph.
- **scoring**: PQ-Map and AQ-Map of the same picture, listed apart.
- **crop**: a mask of ``--share`` of the picture against all of it masked, with ``crop_size="source"``.
- **operations**: the same two crops in multiplications of one call of a UNet of Stable Diffusion 1.5's real size,
  counted without computing anything.

``--network fifth`` has the structure of Stable Diffusion 1.5 with a fifth of its channels (UNet 64, VAE 32): cheaper
sampling makes the *overhead* look larger than it is. Times are interleaved in one process; on the CPU they are the
process's own seconds, so that a busy machine does not count. Random weights; ratios are of medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import in_host

import grefine_core
from grefine_core.refine.crops import CropOptions, plan_crop

CONFIG = Path(grefine_core.__file__).parent / "engines" / "configs" / "sd15" / "unet" / "config.json"
OVERHEAD, FASTER = 1.03, 4.0
#: The node's own context is what a target is set for; the other one is for comparison.
DEFAULT = "context 0.25"


def main() -> None:
    """Measure, print a Markdown table, write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=("fifth", "sd15"), default="fifth", help="size of UNet and VAE")
    parser.add_argument("--side", type=int, default=256, help="of the picture for the overhead, pixels")
    parser.add_argument("--frame", type=int, default=512, help="of the picture for the crop, pixels")
    parser.add_argument("--steps", type=int, default=10, help="model calls of the overhead")
    parser.add_argument("--crop-steps", type=int, default=2, help="model calls of the crop; 0: leave it out")
    parser.add_argument("--share", type=float, default=0.1, help="of the picture that is masked")
    parser.add_argument("--repeats", type=int, default=7, help="interleaved runs of each")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--gpu", action="store_true", help="let the host take the GPU")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file, too")
    options = parser.parse_args()
    figures = measure(**{name: value for name, value in vars(options).items() if name != "json"})
    print("\n".join(table(figures)))
    in_host.write(figures, options.json)


def measure(
    network: str = "fifth",
    side: int = 256,
    frame: int = 512,
    steps: int = 10,
    crop_steps: int = 2,
    share: float = 0.1,
    repeats: int = 7,
    threads: int = 1,
    gpu: bool = False,
) -> dict[str, Any]:
    """Ratios and medians of all; without ``crop_steps`` nothing about crops."""
    common = {"network": network, "threads": threads, "gpu": gpu}
    rows = in_host.run("stages", task="overhead", side=side, steps=steps, repeats=repeats, **common)
    scoring = seconds(in_host.run("stages", task="scoring", side=side, repeats=max(3, repeats), **common))["scoring"]
    figures = {"network": network, "overhead": {"side": side, "steps": steps, **overhead(rows, scoring)}}
    if not crop_steps:
        return figures
    crops = in_host.run(
        "stages", task="crop", side=frame, steps=crop_steps, repeats=max(1, repeats // 2), share=share, **common
    )
    medians = {name: statistics.median(values) for name, values in seconds(crops).items()}
    return {
        **figures,
        "crop": {
            "frame": frame,
            "share": share,
            "steps": crop_steps,
            "full_seconds": medians["full"],
            "faster": {name: medians["full"] / value for name, value in medians.items() if name != "full"},
        },
        "operations": {f"context {context}": saved(1024, share, context) for context in (0.25, 0.5)},
    }


def overhead(rows: list[dict[str, Any]], scoring: list[float]) -> dict[str, Any]:
    """Stage 1 against the bare graph, from what ``host_parts.stages`` told."""
    both, outside = seconds(rows), {row["what"]: statistics.median(row["outside"]) for row in rows}
    if rows[0]["calls"] != rows[1]["calls"]:
        raise RuntimeError(f"The two do not do the same work: {rows[0]['calls']} against {rows[1]['calls']}.")
    pairs = [ours / bare for ours, bare in zip(both["ours"], both["bare"], strict=True)]
    bare = statistics.median(both["bare"])
    return {
        "ratio": statistics.median(pairs),
        "lowest": min(pairs),
        "highest": max(pairs),
        "bare_seconds": bare,
        "pairs": len(pairs),
        "outside": outside,
        "accounted": 1.0 + (outside["ours"] - outside["bare"]) / bare,
        "scoring_seconds": statistics.median(scoring),
    }


def seconds(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Task -> its seconds, round by round."""
    return {row["what"]: row["seconds"] for row in rows}


def saved(frame: int, share: float, context: float) -> float:
    """How many times fewer multiplications a UNet call takes for the crop around a square mask than for the frame."""
    length = round(frame * share**0.5)
    start = (frame - length) // 2
    plan = plan_crop(
        (start, start, start + length, start + length), (frame, frame), CropOptions(context=context), min_side=512
    )
    return operations((frame, frame)) / operations(plan.sample)


def operations(size: tuple[int, int]) -> int:
    """Multiplications of one call of Stable Diffusion 1.5's UNet for a picture of ``size``."""
    import torch
    from diffusers import UNet2DConditionModel
    from diffusers.models.attention_processor import AttnProcessor
    from torch.utils.flop_counter import FlopCounterMode

    config = {name: value for name, value in json.loads(CONFIG.read_text()).items() if not name.startswith("_")}
    with torch.device("meta"), torch.no_grad():
        network = UNet2DConditionModel(**config)
        network.set_attn_processor(AttnProcessor())  # plain products: fused attention is counted on some devices only
        latent, text = torch.zeros(1, 4, size[0] // 8, size[1] // 8), torch.zeros(1, 77, 768)
        with FlopCounterMode(display=False) as counter:
            network(latent, 500, text)
    return int(counter.get_total_flops() // 2)


def table(figures: dict[str, Any]) -> list[str]:
    """The figures as Markdown."""
    over, outside = figures["overhead"], figures["overhead"]["outside"]
    which = f"{over['side']}², {over['steps']} steps"
    spread = f"{over['ratio']:.3f} ({over['lowest']:.3f} to {over['highest']:.3f})"
    rows = [
        (f"Stage 1 against the bare graph, {which}", spread, OVERHEAD),
        (
            f"the same by what lies outside of the networks ({outside['ours']:.3f} s against {outside['bare']:.3f} s)",
            f"{over['accounted']:.4f}",
            OVERHEAD,
        ),
        ("the bare graph, s", f"{over['bare_seconds']:.2f}", None),
        ("scoring apart: PQ-Map and AQ-Map, ViT-B/16, s", f"{over['scoring_seconds']:.2f}", None),
    ]
    lines = [f"| networks: {figures['network']} | measured | target |", "|---|---:|---:|"]
    lines += [f"| {what} | {figure} | {f'≤ {most:.2f}' if most else ''} |" for what, figure, most in rows]
    if "crop" in figures:
        crop = figures["crop"]
        masked = f"| {crop['share']:.0%} of {{}}² masked, {{}}: {{}} | {{:.1f}} | {{}} |"
        for what, side, found in (
            ("faster than the frame by", crop["frame"], crop["faster"]),
            ("fewer multiplications of the UNet", 1024, figures["operations"]),
        ):
            for name, faster in found.items():
                lines.append(masked.format(side, name, what, faster, f"≥ {FASTER:.0f}" if name == DEFAULT else ""))
    return lines


if __name__ == "__main__":
    main()
