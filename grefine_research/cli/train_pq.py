"""``grefine train pq``: the learned prompts of PQ-Map, from pictures with ratings, or from good pictures alone."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grefine_core.cli import common
from grefine_core.files import write_text

from .data_options import add_data_options, data_notes, named, open_data, report_skipped
from .train_options import (
    add_training_options,
    add_weights_options,
    check_results,
    load_weights,
    report_file,
    result_file,
    training_options,
    versions,
    work_folder,
)

if TYPE_CHECKING:
    from torch import nn

    from ..datasets import Dataset
    from ..training import PromptTuningOptions, TunedPrompts
    from ..training.data import Overall

_VALIDATION = 600
"""Miniature pictures to validate on."""


def add_command(halves: Any) -> None:
    """Add the command and its options."""
    parser = halves.add_parser(
        "pq",
        help="learn the prompts of PQ-Map",
        description="The image encoder is frozen: pictures are encoded once and kept on disk, then epochs take "
        "seconds. With one rating a picture all factors learn together through the overall score; factors with "
        "labels of their own learn from these. With --self-supervised no ratings are needed: good pictures are "
        "damaged, and the strength is the label.",
    )
    add_data_options(parser, required=False)
    group = parser.add_argument_group("without ratings")
    group.add_argument(
        "--self-supervised",
        action="store_true",
        help="learn from good pictures (--images FOLDER; default: the reference pictures) and damaged copies of them",
    )
    group.add_argument("--copies", type=int, metavar="N", help="that are made of them; default 4500")
    group = parser.add_argument_group("labels")
    group.add_argument(
        "--mos", metavar="SCORE", help="the rating that PS is to follow; default: perception, else mos; none: no such"
    )
    group.add_argument(
        "--factor", action="append", default=[], metavar="FACTOR=SCORE", help="a label of one factor; repeatable"
    )
    group.add_argument(
        "--overall",
        choices=("joint", "own"),
        help="the overall factor learns through PS alone (as published), or from the rating as well; default: joint, "
        "for miniature own",
    )
    add_weights_options(parser)
    add_training_options(parser, "default 50, as published")
    group = parser.add_argument_group("prompts")
    group.add_argument(
        "--train",
        choices=("embeddings", "text-encoder"),
        default="embeddings",
        help="what learns: the embeddings alone, or a copy of the text encoder with them",
    )
    group.add_argument(
        "--preset",
        choices=("paper", "miniature"),
        help="options to start from; default: paper, for the miniature world those of its shipped embeddings",
    )
    group.add_argument("--blocks", type=int, metavar="N", help="last blocks with V-V attention, for patches; default 6")
    group.add_argument("--validation-limit", type=int, metavar="N", help="miniature: pictures to validate on")
    parser.set_defaults(run=run, missing=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Encode, train and write the embeddings; rows that cannot be used are reported and skipped."""
    if arguments.self_supervised:
        from .train_self import run as learn

        return learn(arguments)
    if missing := [f"--{name}" for name in ("dataset", "data") if getattr(arguments, name) is None]:
        arguments.missing(f"the following arguments are required: {', '.join(missing)}")
    from tqdm import tqdm

    from grefine_core.clip.surgery import DEFAULT_BLOCKS

    from ..training.data import encode_dataset, labelled, labels_of
    from ..training.launch import current_launch

    started = time.monotonic()
    miniature = arguments.dataset == "miniature"
    options = _options(arguments)
    target = result_file(arguments, f"pq-{arguments.dataset}.safetensors")
    work = work_folder(arguments, "pq")
    check_results([target], work, arguments.overwrite)
    launch = current_launch(arguments.device == "cpu")
    dataset = _open(arguments)
    overall: Overall = arguments.overall or ("own" if miniature else "joint")
    labels = labels_of(dataset, arguments.mos, named(arguments.factor, "--factor"), overall)
    dataset = labelled(dataset, labels)
    clip, tokenizer = load_weights(arguments, launch)
    blocks = DEFAULT_BLOCKS if arguments.blocks is None else arguments.blocks
    with tqdm(desc="Encoding", unit="picture", disable=None if launch.main else True, file=sys.stderr) as bar:

        def encoded(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        features, dataset = encode_dataset(
            dataset,
            clip,
            work,
            patches=options.patch_weight > 0,
            resolution=arguments.resolution,
            blocks=blocks,
            precision=arguments.precision,
            launch=launch,
            threads=arguments.threads,
            progress=encoded,
        )
    if not launch.main:
        # A step costs the reading of eight prompts, however many pictures: there is nothing to share.
        return 0
    report_skipped(dataset, work / f"{target.stem}.skipped.json")
    found, sides = _train(clip, tokenizer, features, dataset, labels, options, work)
    notes = {
        "dataset": dataset.name,
        "labels": json.dumps(asdict(labels)),
        "train": options.train,
        "seed": str(options.seed),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    }
    found.save(target, notes)
    log = {
        "result": str(target),
        "data": data_notes(dataset) | sides,
        "labels": asdict(labels),
        "options": asdict(options),
        "blocks": blocks,
        "clip_fingerprint": found.fingerprint,
        "figures": {name: round(value, 4) for name, value in found.figures.items()},
        "best_epoch": found.best_epoch,
        "bounds": asdict(found.bounds),
        "history": found.history,
        "seconds": round(time.monotonic() - started),
        "versions": versions(),
    }
    write_text(work / f"{target.stem}.training.json", common.json_text(log, 1) + "\n")
    _report(arguments, found, target, sides, log)
    return 3 if dataset.skipped else 0


def _options(arguments: argparse.Namespace) -> PromptTuningOptions:
    from ..miniature.training.embeddings import DEFAULTS
    from ..training import PromptTuningOptions

    preset = arguments.preset or ("miniature" if arguments.dataset == "miniature" else "paper")
    options = DEFAULTS if preset == "miniature" else PromptTuningOptions()
    return training_options(arguments, replace(options, train=arguments.train))


def _open(arguments: argparse.Namespace) -> Dataset:
    if arguments.dataset != "miniature":
        return open_data(arguments)
    count = _VALIDATION if arguments.validation_limit is None else arguments.validation_limit
    training, validation = open_data(arguments, "train"), open_data(arguments, "validation", count)
    return replace(training, examples=training.examples + validation.examples)


def _train(
    clip: nn.Module,
    tokenizer: Any,
    features: Any,
    dataset: Dataset,
    labels: Any,
    options: PromptTuningOptions,
    work: Path,
) -> tuple[TunedPrompts, dict[str, int]]:
    import torch
    from tqdm import tqdm

    from ..training import tune_prompts
    from ..training.data import held_back, targets_of
    from ..training.fingerprint import model_fingerprint, tensor_fingerprint
    from ..training.prompt_tuning import AFTERWARDS

    training, validation = held_back(dataset, options.validation_share, options.seed)
    keys = [key for key in features.keys if key in training or key in validation]
    chosen = features.rows([number for number, key in enumerate(features.keys) if key in training or key in validation])
    rows = torch.tensor([number for number, key in enumerate(keys) if key in validation], dtype=torch.long)
    targets = targets_of(dataset, keys, labels)
    # Bounds are measured after the training, and can be so again in another way.
    trained = {name: value for name, value in asdict(options).items() if name not in AFTERWARDS}
    data = tensor_fingerprint(tokens=chosen.class_tokens, rows=rows, **targets.columns())
    name = hashlib.blake2b(f"{model_fingerprint(clip)} {data} {trained}".encode(), digest_size=4).hexdigest()
    with tqdm(total=options.epochs, desc="Training", unit="epoch", disable=None, file=sys.stderr) as bar:

        def epoch_end(entry: Mapping[str, Any], _: int) -> None:
            bar.update(entry["epoch"] - bar.n)
            figure = {} if entry["monitor"] is None else {"srocc": f"{entry['monitor']:.4f}"}
            bar.set_postfix(loss=f"{entry['loss']:.4f}", **figure)

        found = tune_prompts(
            clip,
            chosen,
            targets,
            options if len(rows) else replace(options, validation_share=0.0),
            tokenizer=tokenizer,
            held_back=rows if len(rows) else None,
            checkpoint=work / f"checkpoint-{name}.safetensors",
            epoch_end=epoch_end,
        )
    return found, {"train": len(keys) - len(rows), "validation": len(rows)}


def _report(
    arguments: argparse.Namespace, found: TunedPrompts, target: Path, sides: Mapping[str, int], log: Mapping[str, Any]
) -> None:
    if arguments.json:
        common.print_json({name: value for name, value in log.items() if name != "history"})
        return
    for name, value in found.figures.items():
        print(f"{name}: SROCC {value:.4f} on {sides['validation']} pictures held back")
    print(f"best epoch {found.best_epoch} of {len(found.history)}, {sides['train']} pictures trained on")
    report_file(target, "embeddings")
