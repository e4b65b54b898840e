"""What both halves of ``grefine train`` share: weights, places, how long and how."""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from grefine_core.cli import common
from grefine_core.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from ..training.launch import Launch


Options = TypeVar("Options")


def add_weights_options(parser: argparse.ArgumentParser) -> None:
    """The CLIP model that is trained for, and where it runs."""
    group = parser.add_argument_group("model")
    group.add_argument("--clip", metavar="FILE", help="CLIP weights; default: found in the model folders")
    group.add_argument("--architecture", default="auto", help="open_clip's name of the model; auto: from its files")
    group.add_argument("--resolution", type=int, metavar="PX", help="encode at this side; default: the model's own")
    group.add_argument("--device", default="auto", help="'auto', 'cpu', 'cuda', 'cuda:1', 'mps'")
    add_speed_options(group)


def add_speed_options(group: argparse._ArgumentGroup) -> None:
    """Mixed precision, and reading ahead."""
    group.add_argument(
        "--precision",
        choices=("float32", "bfloat16", "float16"),
        default="float32",
        help="of matrix products (mixed precision): half of the bits is faster on GPUs",
    )
    group.add_argument("--threads", type=int, default=4, metavar="N", help="that read pictures ahead")


def add_training_options(parser: argparse.ArgumentParser, epochs: str, title: str = "training") -> None:
    """How long, how fast, what is held back, and where things go; ``epochs`` is the help of that option."""
    group = parser.add_argument_group(title)
    group.add_argument("--epochs", type=int, help=epochs)
    group.add_argument("--batch-size", type=int, help="pictures in a step, among which pairs are ranked")
    group.add_argument("--learning-rate", type=float, help="of Adam")
    group.add_argument("--patience", type=int, help="epochs without a better validation before it ends early; 0: never")
    group.add_argument(
        "--validation-share", type=float, help="held back, whole prompts, where the data set has no validation split"
    )
    group.add_argument("--seed", type=int, default=0, help="same seed, same data, same machine: the same figures")
    group.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="any other option of the training, see docs/training.md",
    )
    add_place_options(parser)


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """Where the result and what is kept between runs go."""
    group = parser.add_argument_group("output")
    group.add_argument("-o", "--output", metavar="FILE", help="the result; default: in the first of the model folders")
    group.add_argument(
        "--work", metavar="FOLDER", help="features, checkpoint and log; what is there is used; default: grefine-output/"
    )
    common.add_overwrite_option(group)
    group.add_argument("--json", action="store_true", help="print JSON")


def result_file(arguments: argparse.Namespace, name: str) -> Path:
    """Where the result goes, after seeing that something can be written there."""
    return checked_file(arguments.output, "--output", name)


def checked_file(given: str | None, option: str, name: str) -> Path:
    """The file of an option, ``name`` in the first model folder without it, after making its folder.

    Raises:
        InputError: another ending than that of ``name``, or nothing can be written there.
    """
    from grefine_core.models import model_folders

    target = Path(given).expanduser() if given else model_folders()[0] / name
    if target.suffix.lower() != Path(name).suffix:
        raise InputError(f"{option} {given}: the file has to end with {Path(name).suffix}.")
    common.output_folder(target.parent)
    return target


def work_folder(arguments: argparse.Namespace, half: str) -> Path:
    """The folder of what is kept between runs."""
    return common.output_folder(arguments.work or Path("grefine-output") / f"train-{half}-{arguments.dataset}")


def check_results(results: list[Path], work: Path, overwrite: bool) -> None:
    """See that no result takes the place of a file that another run made, or no run.

    Args:
        results: the files; the log of the first one lies in ``work`` and says what earlier calls of this run wrote.
        work: the folder of what is kept between runs.
        overwrite: whether any file may be replaced.

    Raises:
        InputError: one is there and is not this run's.
    """
    try:
        log = json.loads((work / f"{results[0].stem}.training.json").read_text(encoding="utf-8"))
        own = {log["result"], log.get("fine-tuning", {}).get("file")}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        own = set()
    common.check_outputs([file for file in results if str(file) not in own], overwrite)


def training_options(arguments: argparse.Namespace, options: Options) -> Options:
    """``options``, a data class, changed by what the command line says."""
    from ..training.settings import parse_settings

    names = ("epochs", "batch_size", "learning_rate", "patience", "seed", "precision", "validation_share")
    there = {field.name for field in fields(options)}  # type: ignore[arg-type]
    given = {name: getattr(arguments, name) for name in names if name in there}
    chosen = replace(options, **{name: value for name, value in given.items() if value is not None})  # type: ignore[type-var]
    return parse_settings(arguments.set, chosen)


def load_weights(arguments: argparse.Namespace, launch: Launch) -> tuple[nn.Module, Any]:
    """The CLIP model on this process's device, and its tokenizer."""
    from grefine_core.clip.loading import load_clip, tokenizer_of
    from grefine_core.models.finding import find_clip, weight_file

    file = weight_file(arguments.clip) if arguments.clip else find_clip()
    clip, architecture = load_clip(file, arguments.architecture, launch.device or common.pick_device(arguments.device))
    return clip, tokenizer_of(architecture)


def report_file(target: Path, what: str) -> None:
    """Say where the result is and who finds it there; the last line of the command."""
    from grefine_core.models import model_folders

    place = target.resolve()
    hosts = [Path(host).expanduser().resolve() for host in [os.environ.get("COMFYUI_PATH")] if host]
    folders = {host / "models" / "grefine" for host in hosts}
    folders |= {folder.resolve() for folder in model_folders() if folder.parts[-2:] == ("models", "grefine")}
    inside = next((folder for folder in folders if place.is_relative_to(folder)), None)
    if inside is not None:
        name = place.relative_to(inside).as_posix()
        print(f"{target}: Load Quality Model lists it, under {what}, as {name}")
    else:
        print(
            f"{target}: give it to --{what}; Load Quality Model lists it, under {what}, once it is in ComfyUI's "
            "models/grefine (set COMFYUI_PATH to have it put there)"
        )


def versions() -> dict[str, str]:
    """What the result was made with."""
    import torch

    from grefine_core import __version__

    return {
        "grefine": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "open_clip": version("open_clip_torch"),
    }
