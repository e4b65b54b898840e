"""``grefine train pq --self-supervised``: prompts of PQ-Map from good pictures alone."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from grefine_core.cli import common
from grefine_core.errors import InputError
from grefine_core.files import write_text

from .train_options import (
    check_results,
    load_weights,
    report_file,
    result_file,
    training_options,
    versions,
    work_folder,
)

if TYPE_CHECKING:
    from ..training.self_supervised import Copies


def run(arguments: argparse.Namespace) -> int:
    """Damage, encode, train and write the embeddings."""
    from tqdm import tqdm

    from grefine_core.clip.surgery import DEFAULT_BLOCKS

    from ..training.launch import current_launch
    from ..training.self_supervised import DEFAULTS, learn_without_opinions

    started = time.monotonic()
    if arguments.dataset is not None or arguments.data is not None:
        raise InputError("--self-supervised: takes good pictures (--images FOLDER), no data set with ratings.")
    arguments.dataset = "self"
    options = training_options(arguments, replace(DEFAULTS, train=arguments.train))
    target = result_file(arguments, "pq-self.safetensors")
    work = work_folder(arguments, "pq")
    check_results([target], work, arguments.overwrite)
    launch = current_launch(arguments.device == "cpu")
    copies = _copies(arguments)
    clip, tokenizer = load_weights(arguments, launch)
    with (
        common.encodes("Encoding") as encoded,
        tqdm(total=options.epochs, desc="Training", unit="epoch", disable=None, delay=1, file=sys.stderr) as bar,
    ):

        def epoch_end(entry: Mapping[str, Any], _: int) -> None:
            bar.update(entry["epoch"] - bar.n)

        found = learn_without_opinions(
            clip,
            copies,
            work,
            options,
            tokenizer=tokenizer,
            resolution=arguments.resolution,
            blocks=DEFAULT_BLOCKS if arguments.blocks is None else arguments.blocks,
            precision=arguments.precision,
            progress=encoded,
            epoch_end=epoch_end,
        )
    date = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    found.save(target, {"dataset": "self-supervised", "train": options.train, "seed": str(options.seed), "date": date})
    log = {
        "result": str(target),
        "pictures": copies.pictures,
        "copies": copies.count,
        "options": asdict(options),
        "clip_fingerprint": found.fingerprint,
        "figures": {name: round(value, 4) for name, value in found.figures.items()},
        "best_epoch": found.best_epoch,
        "bounds": asdict(found.bounds),
        "history": found.history,
        "seconds": round(time.monotonic() - started),
        "versions": versions(),
    }
    write_text(work / f"{target.stem}.training.json", common.json_text(log, 1) + "\n")
    if arguments.json:
        common.print_json({name: value for name, value in log.items() if name != "history"})
        return 0
    for name, value in found.figures.items():
        print(f"{name}: SROCC {value:.4f} with the strength of damage, on copies of pictures held back")
    print(f"best epoch {found.best_epoch} of {len(found.history)}, {copies.count} copies of {copies.pictures} pictures")
    report_file(target, "embeddings")
    return 0


def _copies(arguments: argparse.Namespace) -> Copies:
    """Of the user's own good pictures, or of the reference."""
    from grefine_core.calibration.reference import bounded_size, load_reference
    from grefine_core.pictures import find_pictures, load_picture

    from ..training.self_supervised import COPIES, Copies

    count = COPIES if arguments.copies is None else arguments.copies
    if arguments.images is None:
        reference = load_reference()
        good = reference.good
        return Copies(lambda number: good[number].load(), len(good), count, arguments.seed, reference.key)
    files = find_pictures([arguments.images])
    name = json.dumps([f"{file} {file.stat().st_size}" for file in files])
    return Copies(
        lambda number: bounded_size(load_picture(files[number]).image[0]), len(files), count, arguments.seed, name
    )
