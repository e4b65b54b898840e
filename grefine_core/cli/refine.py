"""``grefine refine``: the whole method on picture files, with a diffusers pipeline."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from . import common, options, pasd_options


def add_command(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("refine", help="refine pictures with a diffusers inpainting pipeline")
    common.add_picture_options(parser)
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where refined pictures and reports go")
    common.add_overwrite_option(parser)
    parser.add_argument(
        "--pipeline",
        required=True,
        metavar="PATH",
        help="SDXL inpainting: a diffusers folder or a single checkpoint file",
    )
    parser.add_argument("--negative-prompt", default="", help="what the pictures should not show")
    parser.add_argument("--guidance-scale", type=float, default=7.0, help="how strictly the prompt is followed")
    parser.add_argument("--offload", choices=("none", "model", "sequential"), default="none", help="save GPU memory")
    common.add_model_options(parser)
    common.add_measure_options(parser)
    options.add_mask_options(parser)
    options.add_plan_options(parser)
    pasd_options.add_restorer_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write ``NAME.png``, ``NAME.sheet.png`` and ``NAME.json`` for every picture; a copy of its file if it passes."""
    from ..pictures import Picture, find_pictures

    pasd_options.check_restorer_options(arguments)
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
    model = common.load_model(arguments)
    restorer = partial(pasd_options.load_restorer, arguments) if arguments.restorer == "pasd" else None
    engines = Engines(partial(load_pipeline, arguments), restorer)

    def work(picture: Picture) -> dict[str, Any]:
        prompt = common.prompt_for(picture, arguments.prompt)
        return refine_picture(picture, prompt or "", model, engines, folder, names[picture.path], arguments)

    return common.for_each_picture([str(file) for file in names], "Refining", work, in_words, arguments.json)


def endings(picture: Path) -> tuple[str, ...]:
    """What may be added to a picture's name: that of the changed one or of the copy, the sheet's, the report's."""
    return *dict.fromkeys((".png", picture.suffix)), ".sheet.png", ".json"


class Engines:
    """The two stages' engines, read from disk only when a picture needs them.

    ``load`` gives the inpainter, ``load_restorer`` the restorer; without it the restorer is made of the inpainter.
    """

    def __init__(self, load: Callable[[], Any], load_restorer: Callable[[], Any] | None = None) -> None:
        self._load = lru_cache(maxsize=1)(load)
        self._load_restorer = lru_cache(maxsize=1)(load_restorer or self._of_the_inpainter)

    def inpainter(self) -> Any:
        """The engine of stage 1."""
        return self._load()

    def restorer(self) -> Any:
        """The engine of stage 2."""
        return self._load_restorer()

    def _of_the_inpainter(self) -> Any:
        return self._load().restorer()


def load_pipeline(arguments: argparse.Namespace) -> Any:
    """The inpainting pipeline that the options name, without progress bars of its own."""
    from ..engines.loading import need_diffusers

    need_diffusers("An inpainting pipeline")
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    from ..engines import load_inpaint_pipeline

    # A dozen bars for the parts of one pipeline would bury our own.
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    return load_inpaint_pipeline(
        arguments.pipeline,
        device=common.pick_device(arguments.device),
        offload=arguments.offload,
        guidance_scale=arguments.guidance_scale,
        negative_prompt=arguments.negative_prompt,
    )


def refine_picture(
    picture: Any,
    prompt: str,
    model: Any,
    engines: Engines,
    folder: Path,
    name: str,
    arguments: argparse.Namespace,
    notes: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Refine one picture and write its files, with ``notes`` in the report; returns what ``--json`` prints of it."""
    from tqdm import tqdm

    from ..alignment import assess
    from ..perceptual import perceptual_quality
    from ..pictures import MARK, marked, save_picture, save_result
    from ..refine import refine
    from ..report import comparison_sheet, report_json

    chosen = common.measure_options(arguments)
    with tqdm(desc=f"Denoising {name}", unit="step", leave=False, disable=None, file=sys.stderr) as bar:

        def progress(done: int, total: int, preview: object) -> None:  # noqa: ARG001
            bar.total = total
            bar.update(done - bar.n)

        outcome = refine(
            picture.image,
            prompt,
            model,
            engines.inpainter,
            engines.restorer,
            options=options.refine_options(arguments),
            seed=arguments.seed,
            progress=progress,
            assess=partial(assess, **chosen),
        )
    # The guard has encoded this picture already: its factors cost next to nothing.
    after = perceptual_quality(model, outcome.image, chosen["calibration"], chosen.get("importance", (1.0, 1.0, 1.0)))
    report = replace(
        outcome.reports[0],
        notes=(*notes, *picture.notes, *outcome.reports[0].notes),
        factors_after={name: float(value[0]) for name, value in after.factors.items()},
        worst_region_after=float(after.worst_region[0]),
    )
    described = report_json(report)
    sheet = comparison_sheet(picture.image, outcome.image, [report])
    mark = {MARK: json.dumps(described, ensure_ascii=False)}
    refined = save_result(picture, outcome.image, report.changed, folder / name, mark)
    files = {"refined": str(refined), "sheet": str(save_picture(sheet, folder / f"{name}.sheet.png", marked("sheet")))}
    common.write_text(folder / f"{name}.json", common.json_text(described) + "\n")
    return {**described, "files": {**files, "json": str(folder / f"{name}.json")}}


def in_words(result: dict[str, Any]) -> str:
    """A refined picture's result for people."""
    before, after = result["before"], result["after"]
    lines = [
        str(result["image"]),
        f"  perceptual {before['perceptual']:.3f} -> {after['perceptual']:.3f},  "
        f"alignment {before['alignment']:.3f} -> {after['alignment']:.3f}",
        f"  {result['plan']['reason']}",
    ]
    lines += [
        f"  stage {entry['stage']}: {'kept' if entry['accepted'] else 'refused'} - {entry['reason']}"
        for entry in result["guard"]
    ]
    lines += [f"  {note}" for note in result["notes"]]
    lines += [f"  {path}" for path in result["files"].values()]
    return "\n".join(lines)
