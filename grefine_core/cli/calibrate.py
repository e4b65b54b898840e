"""``grefine calibrate``: bounds and thresholds, from pictures known to be good and to match their prompts, or from the
reference pictures."""

from __future__ import annotations

import argparse
import csv
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..memory import reason_of
from . import common

if TYPE_CHECKING:
    from torch import Tensor

    from ..alignment.calibration import Calibration
    from ..clip.quality_model import QualityModel

logger = logging.getLogger(__name__)


def add_command(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "calibrate",
        help="set the bounds of the scores by good pictures",
        description="Measures good pictures that are known to show what their prompts say, and sets the bounds under "
        "which a phrase counts as missed; from twelve pictures on those of perceptual quality as well. Prompts come "
        "from --prompts, a text file of the same name, or the metadata. Without --images the reference pictures are "
        "measured, as at the first use of weights.",
    )
    parser.add_argument("--images", nargs="+", metavar="PATH", help="folders or files of your own good pictures")
    parser.add_argument(
        "--bad", nargs="+", default=[], metavar="PATH", help="pictures that you find bad, to see whether they are found"
    )
    parser.add_argument("--prompts", metavar="CSV", help="columns 'image' (file name) and 'prompt'")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="default: beside the weights that measure alignment, where every later call finds it",
    )
    common.add_overwrite_option(parser)
    parser.add_argument("--quantile", type=float, default=0.05, help="share of good phrases below the bounds")
    common.add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure and write the calibration file. Pictures without a prompt, or broken ones, are reported and skipped."""
    from ..alignment import calibrate
    from ..alignment.calibration import calibration_path
    from ..clip.loading import alignment_file
    from ..models.finding import find_clip, weight_file
    from ..pictures import find_pictures

    files = find_pictures(arguments.images) if arguments.images else []
    bad = find_pictures(arguments.bad) if arguments.bad else []
    prompts = _read_prompts(Path(arguments.prompts)) if arguments.prompts else {}
    arguments.calibration = None
    weights = alignment_file(arguments.alignment_encoder)
    if weights is None:
        weights = weight_file(arguments.clip) if arguments.clip else find_clip()
    target = Path(arguments.output) if arguments.output else calibration_path(weights)
    common.output_folder(target.parent)
    read = [*files, *bad, *(Path(path) for path in (arguments.prompts, weights) if path)]
    common.check_outputs([target], arguments.overwrite, read)
    model = common.load_model(arguments)
    if not files:
        return _reference(arguments, model, target)
    skipped: list[Path] = []
    at = [files[0]]

    def failed(error: Exception) -> None:
        _skip(at[0], error, skipped)

    samples = _samples(files, prompts, skipped, at)
    calibration = calibrate(model, samples, quantile=arguments.quantile, failed=failed)
    good = [path for path in files if path not in skipped]
    if len(good) >= _ENOUGH:
        calibration = _whole(model, calibration, good, prompts, bad)
    calibration.save(target)
    used, _ = calibration.for_formula("bounded")
    if arguments.json:
        common.print_json({"file": str(target), "pictures": calibration.pictures, "phrases": calibration.phrases,
                           "skipped": [str(path) for path in skipped],
                           "bounds": {name: vars(bound) for name, bound in calibration.bounds.items()},
                           "local": {name: vars(bound) for name, bound in used.items()}})  # fmt: skip
    else:
        for name, bound in used.items():
            print(f"{name}: nouns {bound.noun:.4f}, phrases {bound.phrase:.4f}")
        print(
            f"{target}: from {calibration.phrases} phrases in {calibration.pictures} pictures, {len(skipped)} skipped"
        )
    return 3 if skipped else 0


#: Good pictures from which on bounds of perceptual quality are measured as well.
_ENOUGH = 12


def _reference(arguments: argparse.Namespace, model: QualityModel, target: Path) -> int:
    """Measure the reference pictures."""
    from ..calibration.auto import measure

    with common.encodes("Measuring") as progress:
        made = measure(model, choose=arguments.embeddings == "auto", progress=progress)
    made.save(target)
    if arguments.json:
        common.print_json({"file": str(target), "pictures": made.pictures, "phrases": made.phrases, "skipped": [],
                           "bounds": {name: vars(bound) for name, bound in made.bounds.items()},
                           "notes": list(made.notes)})  # fmt: skip
    else:
        print(f"{target}: from {made.phrases} phrases in {made.pictures} reference pictures")
        for note in made.notes:
            common.say(f"! {note}", sys.stdout)
    return 0


def _whole(
    model: QualityModel, own: Calibration, good: list[Path], prompts: dict[str, str], bad: list[Path]
) -> Calibration:
    """The user's own bounds of phrases, and with them all else that good pictures tell."""
    from ..calibration.auto import measure, without_alignment
    from ..calibration.reference import own_reference
    from ..pictures import load_picture

    def samples() -> Iterator[tuple[Tensor, str | None]]:
        for path in good:
            picture = load_picture(path)
            yield picture.image, common.prompt_for(picture, prompts.get(path.name), needed=False)

    marked = [load_picture(path).image for path in bad]
    with common.encodes("Measuring quality") as progress:
        found = measure(model, own_reference(samples(), model.contrast_vocabulary, marked), progress=progress)
    return replace(without_alignment(found, own), quantile=own.quantile, pictures=own.pictures, phrases=own.phrases)


def _skip(path: Path, error: Exception, skipped: list[Path]) -> None:
    reason = reason_of(error)
    common.say(f"skipped: {reason}" if str(path) in reason else f"skipped: {path}: {reason}", sys.stderr)
    skipped.append(path)


def _samples(
    files: list[Path], prompts: dict[str, str], skipped: list[Path], at: list[Path]
) -> Iterator[tuple[Tensor, str]]:
    """Pictures with their prompts; ``at`` has the file that is under way."""
    from ..pictures import load_picture

    for path in common.progress(files, "Measuring"):
        at[0] = path
        try:
            picture = load_picture(path)
            prompt = common.prompt_for(picture, prompts.get(path.name), option="--prompts")
        except Exception as error:
            _skip(path, error, skipped)
            continue
        yield picture.image, prompt or ""


def _read_prompts(path: Path) -> dict[str, str]:
    from ..tables import read_csv

    try:
        rows = read_csv(path)
    except FileNotFoundError as error:
        raise InputError(f"--prompts {path}: no such file.") from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"--prompts {path}: is no CSV file in UTF-8 ({error}); save it as one.") from error
    if not {"image", "prompt"} <= set(rows[0] if rows else ()):
        raise InputError(
            f"--prompts {path}: needs the columns 'image' and 'prompt', has {list(rows[0]) if rows else 'no rows'}."
        )
    for number, row in enumerate(rows, 1):
        if "None" in row:
            raise InputError(
                f"--prompts {path}: row {number} has more cells than the table has columns; quote texts with commas."
            )
    return {Path(row["image"]).name: row["prompt"] for row in rows}
