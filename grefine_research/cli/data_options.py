"""Options that name a data set, for the commands that train and evaluate."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grefine_core.cli import common
from grefine_core.errors import InputError
from grefine_core.files import write_text

if TYPE_CHECKING:
    from ..datasets import Dataset

_SHOWN = 10
"""Skipped rows that are named; the rest are counted, and all are in the list on disk."""


def add_data_options(parser: argparse.ArgumentParser, more: tuple[str, ...] = (), *, required: bool = True) -> None:
    """Which data set, where, and what of it; ``more`` kinds beside those of ``grefine_research.datasets``."""
    from ..datasets import KINDS

    group = parser.add_argument_group("data set")
    kinds = (*KINDS, *more)
    group.add_argument(
        "--dataset", required=required, choices=kinds, help="its kind; the layouts are in docs/training.md"
    )
    group.add_argument(
        "--data", required=required, metavar="FOLDER", help="its folder (csv: also the table; miniature: drawn into it)"
    )
    group.add_argument("--table", metavar="FILE", help="prompts and ratings, where they are not in their usual place")
    group.add_argument("--images", metavar="FOLDER", help="pictures, where they are not in their usual place")
    group.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="WHAT=COLUMN",
        help="csv, folder: the column of image, prompt, group, split or a score; repeatable",
    )
    group.add_argument(
        "--scale",
        action="append",
        default=[],
        metavar="SCORE=WORST:BEST",
        help="range of a score, where the data set does not publish it; else it is measured; repeatable",
    )
    group.add_argument("--limit", type=int, metavar="N", help="no more pictures than this, evenly spaced")
    group.add_argument(
        "--check",
        choices=("exists", "header", "decode"),
        default="header",
        help="how closely pictures are looked at before anything is done",
    )


def open_data(arguments: argparse.Namespace, split: str | None = None, limit: int | None = None) -> Dataset:
    """Open the data set that the options name.

    Args:
        arguments: parsed.
        split: only this one.
        limit: instead of the option's.
    """
    from tqdm import tqdm

    from ..datasets import open_dataset

    with tqdm(desc="Looking at the data", unit="picture", delay=1, disable=None, file=sys.stderr) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return open_dataset(
            arguments.dataset,
            arguments.data,
            table=arguments.table,
            images=arguments.images,
            split=split,
            columns=named(arguments.column, "--column"),
            scales={score: _range(score, ends) for score, ends in named(arguments.scale, "--scale").items()},
            check=arguments.check,
            limit=arguments.limit if limit is None else limit,
            progress=progress,
            prompt_from=getattr(arguments, "prompt_from", None),
        )


def named(settings: list[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` texts as a dictionary.

    Raises:
        InputError: one of them has no ``=``.
    """
    pairs = [setting.partition("=") for setting in settings]
    if wrong := [setting for setting, (_, sign, value) in zip(settings, pairs, strict=True) if not (sign and value)]:
        raise InputError(f"{option} {wrong[0]}: expected NAME=VALUE.")
    return {name: value for name, _, value in pairs}


def report_skipped(dataset: Dataset, file: Path) -> None:
    """Name what cannot be used, on standard error and, all of it, in a JSON file."""
    if not dataset.skipped:
        return
    rows = [{"key": one.key, "path": str(one.path), "reason": one.reason} for one in dataset.skipped]
    write_text(file, common.json_text(rows, 1) + "\n")
    for one in dataset.skipped[:_SHOWN]:
        print(f"skipped: {one.key}: {one.reason}", file=sys.stderr)
    rest = f", {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    print(f"{len(rows)} rows skipped{rest}; all of them are in {file}", file=sys.stderr)


def data_notes(dataset: Dataset) -> dict[str, Any]:
    """What a log says of a data set."""
    return {
        "name": dataset.name,
        "kind": dataset.kind,
        "pictures": len(dataset),
        "skipped": len(dataset.skipped),
        "scales": {score: [scale.low, scale.high, scale.published] for score, scale in dataset.scales.items()},
    }


def _range(score: str, ends: str) -> tuple[float, float]:
    low, sign, high = ends.partition(":")
    try:
        if not sign:
            raise ValueError
        return float(low), float(high)
    except ValueError:
        raise InputError(f"--scale {score}={ends}: expected SCORE=WORST:BEST, such as mos=1:5.") from None
