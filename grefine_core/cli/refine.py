"""``grefine refine``: the whole method on picture files, with a diffusers pipeline."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..files import write_text
from ..plain_text import finite
from . import common, engines, miniature, options
from .engines import Engines


def add_command(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("refine", help="refine pictures with a diffusers inpainting pipeline")
    common.add_picture_options(parser)
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where refined pictures and reports go")
    common.add_overwrite_option(parser)
    engines.add_inpainter_options(parser)
    common.add_model_options(parser)
    common.add_measure_options(parser)
    options.add_mask_options(parser)
    options.add_plan_options(parser)
    engines.add_restorer_options(parser)
    parser.add_argument(
        "--second-opinion",
        metavar="FILE",
        help="weights of another CLIP, or 'imagereward': nothing may fall in its eyes, either",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    miniature.add_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write ``NAME.png``, ``NAME.sheet.png`` and ``NAME.json`` for every picture; a copy of its file if it passes.

    With attempts, ``NAME.attempts.png`` shows all of them.
    """
    from ..pictures import Picture, find_pictures

    miniature.settle(arguments)
    engines.check_engine_options(arguments)
    engines.check_pipeline(arguments)
    folder = Path(arguments.output)
    files = find_pictures(arguments.images, folder)
    names = common.output_stems(files, endings)
    targets = [
        target
        for file, name in names.items()
        for ending in endings(file)
        # A picture that passes may stay where it is. Changed, it may not take its own file's place.
        if not ((target := folder / f"{name}{ending}").exists() and ending != ".png" and target.samefile(file))
    ]
    common.check_outputs(targets, arguments.overwrite, files)
    common.output_folder(folder)
    model = miniature.load_quality(arguments)
    second = common.load_second_opinion(arguments)
    load = partial(miniature.load_inpainter, arguments) if arguments.miniature else None
    loaded = Engines.from_options(arguments, load)

    def work(picture: Picture) -> dict[str, Any]:
        prompt = common.prompt_for(picture, arguments.prompt, node=arguments.prompt_from)
        return refine_picture(
            picture, prompt or "", model, loaded, folder, names[picture.path], arguments, second=second
        )

    return common.for_each_picture([str(file) for file in names], "Refining", work, in_words, arguments.json)


def endings(picture: Path) -> tuple[str, ...]:
    """What may be added to a picture's name: that of the changed one or of the copy, the sheets', the report's."""
    return *dict.fromkeys((".png", picture.suffix)), ".sheet.png", ".attempts.png", ".json"


def refine_picture(
    picture: Any,
    prompt: str,
    model: Any,
    loaded: Engines,
    folder: Path,
    name: str,
    arguments: argparse.Namespace,
    notes: tuple[str, ...] = (),
    second: Any = None,
) -> dict[str, Any]:
    """Refine one picture and write its files, with ``notes`` in the report; returns what ``--json`` prints of it."""
    from tqdm import tqdm

    from ..alignment import assess
    from ..perceptual import perceptual_quality
    from ..pictures import MARK, marked, save_picture, save_result
    from ..refine import refine
    from ..report import attempts_sheet, comparison_sheet, report_json
    from ..report.words import shares_of

    chosen = common.measure_options(arguments)
    with tqdm(desc=f"Denoising {name}", unit="step", leave=False, disable=None, file=sys.stderr) as bar:

        def progress(done: int, total: int, preview: object) -> None:  # noqa: ARG001
            bar.total = total
            bar.update(done - bar.n)

        outcome = refine(
            picture.image,
            prompt,
            model,
            loaded.inpainter,
            loaded.restorer,
            options=options.refine_options(arguments),
            seed=arguments.seed,
            progress=progress,
            assess=partial(assess, **chosen),
            second_opinion=second,
        )
    # The guard has encoded this picture already: its factors cost next to nothing.
    after = perceptual_quality(model, outcome.image, chosen["formula"], chosen.get("importance", (1.0, 1.0, 1.0)))
    report = replace(
        outcome.reports[0],
        notes=(*notes, *picture.notes, *outcome.reports[0].notes),
        factors_after={name: float(value[0]) for name, value in after.factors.items()},
        shares_after=shares_of(after),
        worst_region_after=float(after.worst_region[0]),
    )
    described = report_json(report)
    sheet = comparison_sheet(picture.image, outcome.image, [report])
    mark = {MARK: json.dumps(finite(described), ensure_ascii=False)}
    refined = save_result(picture, outcome.image, report.changed, folder / name, mark)
    files = {"refined": str(refined), "sheet": str(save_picture(sheet, folder / f"{name}.sheet.png", marked("sheet")))}
    tried = outcome.attempts[0] if outcome.attempts else ()
    if tried:
        drawn = attempts_sheet(
            [(each.picture, each.entry, each.region if each.stage == 1 else None, each.number) for each in tried]
        )
        path = save_picture(drawn, folder / f"{name}.attempts.png", marked("attempts"))
        files["attempts"] = str(path)
    write_text(folder / f"{name}.json", common.json_text(described) + "\n")
    return {**described, "files": {**files, "json": str(folder / f"{name}.json")}}


def in_words(result: dict[str, Any]) -> str:
    """A refined picture's result for people."""
    before, after = result["before"], result["after"]
    lines = [
        str(result["image"]),
        f"  perceptual {before['perceptual']:.3f} -> {after['perceptual']:.3f},  "
        + (
            f"alignment {before['alignment']:.3f} -> {after['alignment']:.3f}"
            if result["alignment_measured"]
            else "alignment not measured"
        ),
        f"  {result['plan']['reason']}",
    ]
    lines += [
        f"  stage {entry['stage']}: {'kept' if entry['accepted'] else 'refused'} - {entry['reason']}"
        for entry in result["guard"]
    ]
    lines += [] if result["changed"] else ["  unchanged: the picture is as it was"]
    lines += [f"  {note}" for note in result["notes"]]
    lines += [f"  {path}" for path in result["files"].values()]
    return "\n".join(lines)
