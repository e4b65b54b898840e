"""``grefine train aq``: the bounds of AQ-Map, from pictures with ratings on how well they show their prompts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grefine_core.cli import common
from grefine_core.errors import InputError
from grefine_core.files import write_text

from .data_options import add_data_options, data_notes, open_data, report_skipped
from .fine_tuning import fine_tune, fine_tuned_file
from .train_options import (
    add_speed_options,
    add_training_options,
    check_results,
    checked_file,
    report_file,
    work_folder,
)

if TYPE_CHECKING:
    from torch import Tensor

    from grefine_core.alignment.calibrate import Truth
    from grefine_core.alignment.calibration import Calibration

    from ..datasets import Dataset
    from ..training.alignment_scores import Scored

Figures = dict[str, dict[str, float]]

_RATINGS = ("alignment", "mos")
_SHARE = 0.1
"""Of the pictures, held back where the data set has no split."""


def add_command(halves: Any) -> None:
    """Add the command and its options."""
    parser = halves.add_parser(
        "aq",
        help="set the bounds of AQ-Map",
        description="Measures every picture against its prompt once, keeps the raw scores on disk, and sets the bounds "
        "under which a phrase counts as missed so that the alignment score follows the ratings best. With ImageReward "
        "in CLIP's place its image encoder may learn from the ratings first. Without ratings, from good pictures "
        "alone: grefine calibrate.",
    )
    add_data_options(parser)
    group = parser.add_argument_group("labels")
    group.add_argument("--score", metavar="SCORE", help="rating on alignment; default: alignment, else mos")
    group.add_argument("--validation-limit", type=int, default=600, metavar="N", help="miniature: pictures of the test")
    group.add_argument(
        "--aggregate", choices=("product", "geometric", "min"), default="product", help="how phrases make up the score"
    )
    common.add_model_options(parser)
    group = parser.add_argument_group("fine-tuning")
    group.add_argument(
        "--fine-tune",
        action="store_true",
        help="let ImageReward's image encoder learn from the ratings first (with --alignment-encoder)",
    )
    group.add_argument(
        "--encoder-output",
        metavar="FILE",
        help="the fine-tuned weights; default: ImageReward-<data set>.safetensors in the first of the model folders",
    )
    add_speed_options(group)
    add_training_options(parser, "default 10", "training (of --fine-tune; what is held back, of both)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, set the bounds, and write the calibration file."""
    from tqdm import tqdm

    from grefine_core.alignment.scoring import measured_by

    from ..training.alignment_scores import score_dataset
    from ..training.launch import current_launch

    launch = current_launch(arguments.device == "cpu")
    if arguments.validation_share is None:
        arguments.validation_share = _SHARE
    tuned = fine_tuned_file(arguments)
    target = _target(arguments, tuned)
    work = work_folder(arguments, "aq")
    check_results([target] if tuned is None else [target, tuned], work, arguments.overwrite)
    dataset = _with_prompts(_open(arguments))
    arguments.calibration = None
    if launch.device is not None:
        arguments.device = launch.device
    model = common.load_model(arguments)
    tuning: dict[str, Any] = {}
    if tuned is not None:
        ratings = ratings_of(arguments, dataset)
        tuning = fine_tune(arguments, model.alignment_encoder, dataset, ratings, tuned, work, launch)
    with tqdm(desc="Measuring", unit="picture", disable=None if launch.main else True, file=sys.stderr) as bar:

        def measured(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        scored, dataset = score_dataset(
            model, dataset, work, launch=launch, threads=arguments.threads, progress=measured
        )
    if not launch.main:
        return 0
    report_skipped(dataset, work / f"{target.stem}.skipped.json")
    fit = _from_truth if dataset.kind == "miniature" else _from_ratings
    calibration, figures = fit(arguments, scored, dataset, measured_by(model))
    calibration.save(target)
    log = {
        "result": str(target),
        "data": data_notes(dataset),
        "scoring": calibration.scoring,
        "bounds": {name: vars(bound) for name, bound in calibration.bounds.items()},
        "quantile": calibration.quantile,
        "seed": arguments.seed,
        "figures": figures,
        "fine-tuning": tuning,
    }
    write_text(work / f"{target.stem}.training.json", common.json_text(log, 1) + "\n")
    if arguments.json:
        common.print_json(log)
        return 3 if dataset.skipped else 0
    if tuning:
        print(f"{tuned}: best epoch {tuning['best_epoch']}; give it to --alignment-encoder")
    for name, row in figures.items():
        before, after = row["uncalibrated"], row["calibrated"]
        print(f"{name}: {before:.4f} with the default bounds, {after:.4f} with these ({row['pictures']:.0f} pictures)")
    for name, bound in calibration.bounds.items():
        chosen = ", the one to use" if name == calibration.scoring else ""
        print(f"{name}: nouns {bound.noun:.4f}, phrases {bound.phrase:.4f}{chosen}")
    report_file(target, "calibration")
    return 3 if dataset.skipped else 0


def _target(arguments: argparse.Namespace, tuned: Path | None) -> Path:
    """The calibration file: beside the weights that measure, where every loader finds it."""
    from grefine_core.alignment.calibration import calibration_path
    from grefine_core.clip.loading import alignment_file
    from grefine_core.models.finding import find_clip, weight_file

    if arguments.output:
        return checked_file(arguments.output, "--output", "calibration.json")
    weights = tuned or alignment_file(arguments.alignment_encoder)
    if weights is None:
        weights = weight_file(arguments.clip) if arguments.clip else find_clip()
    target = calibration_path(weights)
    common.output_folder(target.parent)
    return target


def _open(arguments: argparse.Namespace) -> Dataset:
    if arguments.dataset != "miniature":
        return open_data(arguments)
    # Bounds from validation scenes, as everything that is chosen; whether they hold is for test scenes to say.
    parts = [open_data(arguments, "validation"), open_data(arguments, "test", arguments.validation_limit)]
    if arguments.fine_tune:
        parts.append(open_data(arguments, "train"))
    return replace(parts[0], examples=tuple(example for part in parts for example in part.examples))


def ratings_of(arguments: argparse.Namespace, dataset: Dataset) -> dict[str, float]:
    """Key -> rating on alignment in [0, 1], of the pictures that have one.

    Raises:
        InputError: the data set has no such ratings.
    """
    score = arguments.score or next((name for name in _RATINGS if name in dataset.scales), "alignment")
    if score not in dataset.scales:
        raise InputError(
            f"--score {score}: {dataset.name} has {', '.join(dataset.scales) or 'no scores'}. Without ratings, set "
            "the bounds from pictures that match their prompts: grefine calibrate."
        )
    known = zip(dataset.examples, dataset.unit_scores(score), strict=True)
    return {example.key: value for example, value in known if value is not None}


def _with_prompts(dataset: Dataset) -> Dataset:
    from ..datasets import Skipped

    kept = tuple(example for example in dataset.examples if example.prompt)
    without = tuple(Skipped(one.key, one.image, "has no prompt") for one in dataset.examples if not one.prompt)
    if not kept:
        raise InputError(f"{dataset.name}: none of its {len(dataset)} pictures has a prompt.")
    return replace(dataset, examples=kept, skipped=(*dataset.skipped, *without))


def _from_ratings(
    arguments: argparse.Namespace, scored: Sequence[Scored], dataset: Dataset, model: str
) -> tuple[Calibration, Figures]:
    import torch

    from ..training.alignment_bounds import fit_to_ratings, scores_of
    from ..training.correlation import srocc
    from ..training.data import held_back

    ratings = ratings_of(arguments, dataset)
    training, validation = held_back(dataset, arguments.validation_share, arguments.seed)
    test = {example.key for example in dataset.examples if example.split == "test"}
    sides = {
        side: [one for one in scored if one.key in keys]
        for side, keys in (("trained on", training), ("held back", validation), ("test", test))
    }

    def labels(ones: Sequence[Scored]) -> Tensor:
        return torch.tensor([ratings.get(one.key, float("nan")) for one in ones])

    def figure(ones: Sequence[Scored], chosen: Calibration) -> float:
        bounds = chosen.bounds[chosen.scoring]
        return srocc(scores_of(ones, chosen.scoring, bounds, arguments.aggregate), labels(ones))

    ones = sides["trained on"]
    calibration = fit_to_ratings(ones, labels(ones), aggregate=arguments.aggregate, model=model)
    return calibration, _compared("SROCC", sides, calibration, figure)


def _from_truth(
    _: argparse.Namespace, scored: Sequence[Scored], dataset: Dataset, model: str
) -> tuple[Calibration, Figures]:
    from ..training.alignment_bounds import fit_to_truth, unmatched

    truths = _truths(dataset)
    split = {example.key: example.split for example in dataset.examples}
    sides = {side: [one for one in scored if split[one.key] == side] for side in ("validation", "test")}
    calibration = fit_to_truth(sides["validation"], truths, model=model)

    def figure(ones: Sequence[Scored], chosen: Calibration) -> float:
        return unmatched(ones, truths, chosen.scoring, chosen.bounds[chosen.scoring]).f1

    return calibration, _compared("F1 of unmatched phrases", sides, calibration, figure)


def _compared(
    what: str,
    sides: Mapping[str, Sequence[Scored]],
    calibration: Calibration,
    figure: Callable[[Sequence[Scored], Calibration], float],
) -> Figures:
    """A figure of every side, with the default bounds and with those that were set."""
    from grefine_core.alignment.calibration import Calibration as Bounds

    return {
        f"{what}, {side}": {
            "pictures": len(ones),
            "uncalibrated": round(figure(ones, Bounds()), 4),
            "calibrated": round(figure(ones, calibration), 4),
        }
        for side, ones in sides.items()
        if ones
    }


def _truths(dataset: Dataset) -> Mapping[str, Truth]:
    """What is true of every phrase of the miniature pictures: they are drawn from their numbers."""
    from grefine_core.prompt.syntax import parse_prompt

    from ..miniature.generator import make_sample
    from ..miniature.truth import phrase_truth

    found = {}
    for example in dataset.examples:
        sample = make_sample(example.split, int(example.image.stem))  # type: ignore[arg-type]
        found[example.key] = phrase_truth(sample, parse_prompt(example.prompt))
    return found
