"""``grefine demo``: the whole method on a picture of the miniature world, on the CPU, with nothing to download."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import write_text
from ..miniature.world import DEMO_INDEX, EXAMPLE
from ..report.words import in_short
from . import common, maps, miniature, options, queue, refine
from .engines import Engines
from .research import installed

if TYPE_CHECKING:
    from .demo_run import Settings, Subject


def add_command(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "demo",
        help="run the whole method on a small drawn picture, with the small models that come along",
        description="Takes a drawn picture with known defects, finds and repairs them in a minute or so, and "
        "writes maps, masks, the refined picture, a comparison sheet and JSON. Nothing is downloaded.",
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--index",
        type=int,
        default=DEMO_INDEX,
        metavar="N",
        help=f"which sample of the test pictures, from 0 on; default: {DEMO_INDEX}. Every fourth or so has no defect",
    )
    chosen.add_argument("--image", metavar="FILE", help="a picture of your own; the small models know only theirs")
    parser.add_argument(
        "--prompt",
        help="what your own picture was meant to show; default: from the text file of its name (picture.txt), or its "
        "metadata",
    )
    common.add_prompt_from_option(parser)
    parser.add_argument("-o", "--output", default="grefine-output", metavar="FOLDER")
    common.add_overwrite_option(parser)
    parser.add_argument(
        "--host",
        metavar="FOLDER_OR_URL",
        help="run the shipped workflow grefine_1_start_here through the queue of this ComfyUI: a folder, which is "
        "started for it, or the address of one that runs",
    )
    common.add_measure_options(parser)
    options.add_mask_options(parser)
    options.add_plan_options(parser)
    # Not named: as decided for this world, which is read from its files only when the command runs.
    parser.set_defaults(run=run, **dict.fromkeys(miniature.UNNAMED))


def run(arguments: argparse.Namespace) -> int:
    """Run it, write all files, and say what they are."""
    from ..errors import InputError
    from ..miniature.loading import load_choices
    from .demo_run import node_settings, own_subject, sample_subject

    for option, value in (("--prompt", arguments.prompt), ("--prompt-from", arguments.prompt_from)):
        if value is not None and not arguments.image:
            raise InputError(f"{option}: belongs to a picture of your own (--image); samples have their own prompts.")
    if not arguments.image and arguments.index == DEMO_INDEX and not installed():
        arguments.image = str(EXAMPLE)  # samples cannot be drawn; this one is shipped as a file
    folder = common.output_folder(arguments.output)
    choices = miniature.fill_choices(arguments, load_choices())
    read = [Path(arguments.image)] if arguments.image else []

    def before(picture: Path, written: Sequence[Path]) -> None:
        endings = [*maps.ENDINGS, *(f".refined{ending}" for ending in refine.endings(picture))]
        own = [f"{picture.stem}{ending}" for ending in (endings if not arguments.host else [".refined.json"])]
        common.check_outputs([*written, *(folder / name for name in own)], arguments.overwrite, read)

    if arguments.image:
        subject = own_subject(folder, read[0], arguments.prompt, before, arguments.prompt_from)
    else:
        subject = sample_subject(folder, arguments.index, before)
    print(miniature.MODELS)
    print(f"Picture: {subject.path}\nPrompt: {subject.prompt}")
    for remark in subject.remarks:
        print(remark)
    for what, path in subject.files:
        print(f"  {what}: {path}")
    if not arguments.host:
        return _with_library(arguments, subject, folder)
    settings = node_settings(choices, arguments.seed, arguments.include_style)
    return _in_comfyui(arguments.host, subject, folder, settings)


def _with_library(arguments: argparse.Namespace, subject: Subject, folder: Path) -> int:
    from ..miniature.loading import load_miniature_inpainter, load_miniature_quality_model
    from ..pictures import load_picture

    picture = load_picture(subject.path)
    name = subject.path.stem
    model = load_miniature_quality_model()
    arguments.prompt, arguments.prompt_from = subject.prompt, None
    mapped = maps.write_maps(picture, name, model, arguments, folder)
    engines = Engines(partial(load_miniature_inpainter, "cpu"))
    result = refine.refine_picture(
        picture, subject.prompt, model, engines, folder, f"{name}.refined", arguments, subject.notes
    )
    print(f"Emphasised prompt: {mapped['emphasized_prompt']}")
    print(refine.in_words({"image": subject.path, **result}))
    for path in mapped["files"].values():
        print(f"  {path}")
    print(in_short(result))
    return 0


def _in_comfyui(host: str, subject: Subject, folder: Path, settings: Settings) -> int:
    from .demo_run import run_in_comfyui

    with queue.node_progress() as progress:
        name, result = run_in_comfyui(host, subject.path, subject.prompt, folder, settings, progress)
    print(f"Through the queue of {name}:")
    queue.print_result(result, folder)
    for report in result.texts.get("Report as JSON", []):
        print(f"Emphasised prompt: {json.loads(report)['emphasized_prompt']}")
        write_text(folder / f"{subject.path.stem}.refined.json", report + "\n")
        print(in_short(json.loads(report)))
    return 0
