"""The fine-tuning of ImageReward's image encoder, a part of ``grefine train aq``."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grefine_core.errors import InputError

from .train_options import checked_file, training_options

if TYPE_CHECKING:
    from ..datasets import Dataset
    from ..training.launch import Launch


def fine_tuned_file(arguments: argparse.Namespace) -> Path | None:
    """Where the fine-tuned weights go; None where nothing is fine-tuned.

    Raises:
        InputError: fine-tuning of CLIP was asked for, or the file cannot be written.
    """
    if not arguments.fine_tune:
        return None
    if arguments.alignment_encoder == "clip":
        raise InputError("--fine-tune: it is ImageReward's encoder that learns; give --alignment-encoder imagereward.")
    # What learns reads every picture again and again: those that cannot be read as a whole have to be known before.
    arguments.check = "decode"
    return checked_file(arguments.encoder_output, "--encoder-output", f"ImageReward-{arguments.dataset}.safetensors")


def fine_tune(
    arguments: argparse.Namespace,
    encoder: Any,
    dataset: Dataset,
    ratings: Mapping[str, float],
    target: Path,
    work: Path,
    launch: Launch,
) -> dict[str, Any]:
    """Let the encoder learn, in place, and write its weights; returns what the log says of it."""
    from tqdm import tqdm

    from grefine_core.imagereward import PUBLISHED, published_tensors
    from grefine_core.models.files import write_tensors

    from ..training.data import held_back
    from ..training.fingerprint import model_fingerprint
    from ..training.reward_options import RewardTuningOptions
    from ..training.reward_tuning import tune_image_reward

    options = training_options(arguments, RewardTuningOptions())
    sides = held_back(dataset, arguments.validation_share, arguments.seed)
    training, validation = ([key for key in ratings if key in side] for side in sides)
    of = f"{model_fingerprint(encoder.network)} {options} {sorted(ratings.items())} {sorted(validation)}"
    name = hashlib.blake2b(of.encode(), digest_size=4).hexdigest()
    with tqdm(desc="Fine-tuning", unit="picture", disable=None if launch.main else True, file=sys.stderr) as bar:
        finished = 0

        def batch_end(done: int, total: int) -> None:
            bar.total = total * options.epochs
            bar.update(finished * total + done - bar.n)

        def epoch_end(entry: Mapping[str, Any], _: int) -> None:
            nonlocal finished
            finished = entry["epoch"]
            figure = {} if entry["monitor"] is None else {"srocc": f"{entry['monitor']:.4f}"}
            bar.set_postfix(epoch=finished, loss=f"{entry['loss']:.4f}", **figure)

        found = tune_image_reward(
            encoder,
            dataset,
            ratings,
            training,
            validation,
            options,
            launch=launch,
            checkpoint=work / f"encoder-{name}.safetensors",
            threads=arguments.threads,
            epoch_end=epoch_end,
            batch_end=batch_end,
        )
    # As it will be called when it is loaded: the bounds are for it by this name.
    encoder.name = target.stem
    if launch.main:
        notes = {"grefine": "ImageReward, image encoder fine-tuned", "dataset": dataset.name, "seed": str(options.seed)}
        write_tensors(target, published_tensors(encoder.network), notes)
        if encoder.network.sizes != PUBLISHED:
            encoder.network.sizes.save(target)
    return {
        "file": str(target),
        "options": asdict(options),
        "pictures": {"train": len(training), "validation": len(validation)},
        "figures": found.figures,
        "best_epoch": found.best_epoch,
        "history": found.history,
    }
