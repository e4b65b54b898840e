"""What the calibration costs at the first load of weights, and at the next one.

    python benchmarks/calibration.py [--model ViT-B-16-quickgelu] [--threads 2] [--profile]

The model has the real size and random weights: what it measures means nothing, what it costs is real. Seconds are by
the wall and by the process itself, which is what counts where other work waits for the same cores. Targets: at most 200
pictures encoded, 60 s on two cores, 50 ms at a second load beyond loading. ``--profile`` says where the time goes.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import tempfile
import time
from pathlib import Path

import torch

MOST_ENCODES, MOST_SECONDS, MOST_SECOND_LOAD = 200, 60.0, 0.050


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-B-16-quickgelu", help="open_clip's name")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    import open_clip

    from grefine_core import QualityModel
    from grefine_core.calibration import auto, store

    torch.manual_seed(0)
    model = QualityModel(open_clip.create_model(options.model).eval(), name=options.model)
    with tempfile.TemporaryDirectory() as folder:
        store.CACHE = Path(folder) / "cache"
        weights = Path(folder) / "weights.bin"
        # As large as the weights, for the key reads all over the file.
        torch.save(model.module.state_dict(), weights)
        load = load_average()
        profile = cProfile.Profile()
        encodes = []
        started = time.perf_counter(), time.process_time()
        if options.profile:
            profile.enable()
        auto.calibrate_at_load(
            model,
            weights,
            (weights,),
            choose=True,
            progress=lambda done, _: encodes.append(done),
            told=lambda _: None,
        )
        profile.disable()
        wall, own = time.perf_counter() - started[0], time.process_time() - started[1]
        again = []
        for _ in range(5):
            started_again = time.perf_counter()
            auto.calibrate_at_load(model, weights, (weights,), choose=True, told=lambda _: None)
            again.append(time.perf_counter() - started_again)
    if options.profile:
        pstats.Stats(profile).sort_stats("cumtime").print_stats(45)
    rows = (
        ("pictures encoded", f"{encodes[-1]}", f"{MOST_ENCODES}"),
        ("texts encoded", f"{model.texts_encoded}", ""),
        ("first load, s by the wall", f"{wall:.1f}", f"{MOST_SECONDS:.0f}"),
        (f"first load, s computed on {options.threads} cores, all together", f"{own:.1f}", ""),
        ("the same, a core", f"{own / options.threads:.1f}", f"{MOST_SECONDS:.0f}"),
        ("second load, ms, best of 5", f"{min(again) * 1e3:.0f}", f"{MOST_SECOND_LOAD * 1e3:.0f}"),
    )
    print(f"{options.model}, {options.threads} threads, load {load}\n\n| what | measured | target |\n|---|---:|---:|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def load_average() -> str:
    """Of the machine, where it tells."""
    return " ".join(f"{value:.1f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"


if __name__ == "__main__":
    main()
