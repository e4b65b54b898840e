"""What both halves of ``grefine evaluate`` share: which indicators, with which models, and where results go."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grefine_core.cli import common, miniature
from grefine_core.errors import InputError

from . import data_options

if TYPE_CHECKING:
    from grefine_core.clip.quality_model import QualityModel
    from grefine_core.miniature.loading import Choices

    from ..datasets import Dataset
    from ..evaluation.indicators import Context, Spec
    from ..evaluation.scoring import Failure


def add_indicator_options(parser: argparse.ArgumentParser, usual: str) -> None:
    """Which indicators, and their weights."""
    group = parser.add_argument_group("indicators")
    group.add_argument(
        "--indicators",
        nargs="*",
        default=[],
        metavar="NAME",
        help=f"default: {usual}; our own scores, pq and aq, are always measured. 'none': these alone",
    )
    group.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="weights of an indicator, see docs/evaluation.md; repeatable",
    )
    group.add_argument(
        "--download", action="store_true", help="let other packages fetch the weights of their indicators"
    )
    group.add_argument("--resamples", type=int, default=1000, help="of every bootstrap")
    group.add_argument("--bootstrap-seed", type=int, default=20, help="of every bootstrap")


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """Data, models, output."""
    data_options.add_data_options(parser)
    parser.add_argument("--split", choices=("train", "validation", "test"), help="only this split; default: all")
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where everything goes")
    common.add_overwrite_option(parser)
    parser.add_argument("--restart", action="store_true", help="forget what an earlier run has finished")
    parser.add_argument(
        "--database",
        metavar="NAME",
        help="the paper's name of the data set, to stand its figures beside; default: by the data set's own",
    )
    parser.add_argument(
        "--miniature", action="store_true", help="measure and refine with the small models that come along"
    )
    common.add_model_options(parser)
    # What is compared with published figures is measured as published, whatever machine it runs on.
    parser.set_defaults(embeddings=None, calibration=None)
    common.add_measure_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    # Not named: as everywhere, or as decided for the miniature world.
    parser.set_defaults(**dict.fromkeys(miniature.UNNAMED), no_guard=False, seed=0)


def settle(arguments: argparse.Namespace) -> Choices:
    """Give the options that were not named their values."""
    from grefine_core.miniature.loading import Choices, load_choices

    if arguments.miniature and arguments.clip:
        raise InputError("--miniature, --clip: one of both; the miniature models are all that --miniature uses.")
    return miniature.fill_choices(arguments, load_choices() if arguments.miniature else Choices())


def open_everything(arguments: argparse.Namespace, name: str) -> tuple[Dataset, Path]:
    """The data set and the folder of the results, whose names begin with ``name``; what cannot be used is named.

    Raises:
        InputError: nothing of the data set can be used; or files of these names are there without records.
    """
    folder = common.output_folder(arguments.output)
    if not (folder / "records" / name).is_dir():
        endings = (".md", ".csv", ".json", "_scores.csv", "_run.json", "_gains.png", "_srocc.png", "_scatter.png")
        results = [folder / f"{name}{ending}" for ending in endings]
        if not (folder / "records").is_dir():
            results += [folder / "skipped.json", folder / "pictures", folder / "records"]
        common.check_outputs(results, arguments.overwrite)
        (folder / "records" / name).mkdir(parents=True, exist_ok=True)  # from now on the folder is this run's
    dataset = data_options.open_data(arguments, arguments.split)
    data_options.report_skipped(dataset, folder / "skipped.json")
    if not len(dataset):
        raise InputError(f"{dataset.name}: nothing of it can be used.")
    return dataset, folder


def make_context(arguments: argparse.Namespace) -> Context:
    """What indicators are loaded with.

    Raises:
        InputError: weights for an unknown indicator.
    """
    from ..evaluation.indicators import Context, names

    weights = {
        name: Path(file).expanduser() for name, file in data_options.named(arguments.weights, "--weights").items()
    }
    if unknown := [name for name in weights if name not in names()]:
        raise InputError(f"--weights {unknown[0]}: is no indicator; there are {', '.join(names())}.")
    return Context(
        load_quality=lambda: load_quality(arguments),
        assessment=common.measure_options(arguments),
        device=common.pick_device(arguments.device),
        weights=weights,
        download=arguments.download,
    )


def load_quality(arguments: argparse.Namespace) -> QualityModel:
    """The quality model that the options name, or the miniature one."""
    if not arguments.miniature:
        return common.load_model(arguments)
    from grefine_core.miniature.loading import load_miniature_quality_model

    return load_miniature_quality_model(device=common.pick_device(arguments.device))


def chosen_indicators(arguments: argparse.Namespace, usual: Sequence[str]) -> list[Spec]:
    """The indicators that were asked for, our own first."""
    from ..evaluation.indicators import OWN, choose

    asked = [] if arguments.indicators == ["none"] else arguments.indicators
    return choose(asked, OWN if arguments.indicators == ["none"] else usual)


def manifest(
    arguments: argparse.Namespace,
    file: Path,
    dataset: Dataset,
    specs: Sequence[Spec],
    obstacles: Mapping[str, str | None],
    without: Sequence[str] = (),
) -> Path:
    """Write what the run was made with; of ``arguments`` all but functions and those named in ``without``."""
    from ..evaluation.manifest import write_manifest

    hidden = {"run", "base", "assessment", "command", "half", *without}
    configuration = {name: value for name, value in vars(arguments).items() if name not in hidden}
    seeds = {"bootstrap": arguments.bootstrap_seed}
    if "seed" not in without:
        seeds["refinement"] = arguments.seed
    return write_manifest(
        file,
        command=["grefine", *sys.argv[1:]],
        configuration=configuration,
        dataset=dataset,
        specs=specs,
        obstacles=obstacles,
        seeds=seeds,
        device=common.pick_device(arguments.device),
    )


def finish(
    failures: Sequence[Failure], dataset: Dataset, obstacles: Mapping[str, str | None], titles: Mapping[str, str]
) -> int:
    """Name what did not run and what failed, on standard error; returns the exit code: 3 if pictures failed."""
    for name, obstacle in obstacles.items():
        if obstacle is not None:
            print(f"not run: {titles[name]}: {obstacle}", file=sys.stderr)
    for failure in failures[:10]:
        print(f"failed: {failure.key} ({failure.what}): {failure.reason}", file=sys.stderr)
    if len(failures) > 10:
        print(f"failed: {len(failures) - 10} more, listed in the results", file=sys.stderr)
    return 3 if failures or dataset.skipped else 0


def print_result(arguments: argparse.Namespace, content: Any, page: Path, plots: Sequence[Path]) -> None:
    """For programs the results, for people where they are."""
    if arguments.json:
        common.print_json(content)
        return
    print(page)
    for plot in plots:
        print(f"  {plot}")
