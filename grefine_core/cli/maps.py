"""``grefine maps``: the maps, the masks and the emphasised prompt of pictures, as files."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from ..files import write_text
from . import common, miniature, options

KINDS = ("pq", "pq-defects", "aq-defects", "mask", "mask-composite", "pq-defects-overlay", "aq-defects-overlay")
#: What is added to a picture's name.
ENDINGS = (*(f".{kind}.png" for kind in KINDS), ".json")


def add_command(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("maps", help="write quality maps, overlays, masks and the emphasised prompt")
    common.add_picture_options(parser)
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where the files go")
    common.add_overwrite_option(parser)
    common.add_model_options(parser)
    common.add_measure_options(parser)
    options.add_mask_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    miniature.add_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write quality and defect maps, overlays, masks and ``NAME.json`` for every picture."""
    from ..pictures import Picture, find_pictures

    miniature.settle(arguments)
    folder = Path(arguments.output)
    files = find_pictures(arguments.images, folder)
    names = common.output_stems(files, lambda _: ENDINGS)
    targets = [folder / f"{name}{ending}" for name in names.values() for ending in ENDINGS]
    common.check_outputs(targets, arguments.overwrite, files)
    common.output_folder(folder)
    model = miniature.load_quality(arguments)

    def work(picture: Picture) -> dict[str, Any]:
        return write_maps(picture, names[picture.path], model, arguments, folder)

    return common.for_each_picture([str(file) for file in names], "Mapping", work, _in_words, arguments.json)


def _in_words(result: dict[str, Any]) -> str:
    return "\n".join(result["files"].values())


def write_maps(picture: Any, name: str, model: Any, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Write one picture's files; returns what ``--json`` prints of it."""
    from ..alignment import assess
    from ..pictures import marked, save_picture
    from ..refine.pipeline import diagnose
    from ..refine.protocols import RefineOptions
    from ..report import overlay

    prompt = common.prompt_for(picture, arguments.prompt, node=arguments.prompt_from) or ""
    chosen = RefineOptions(masks=options.mask_options(arguments), regions=options.region_options(arguments))
    measured = partial(assess, **common.measure_options(arguments))
    found = diagnose(picture.image, [prompt], model, chosen, None, measured)
    perceptual, alignment = found.assessment.perceptual, found.assessment.alignment
    grey = {
        "pq": perceptual.quality_map,
        "pq-defects": perceptual.defect_map,
        "aq-defects": alignment.defect_map,
        "mask": found.mask.denoise,
        "mask-composite": found.mask.composite,
    }
    shown = {kind: values[0].unsqueeze(-1).expand(-1, -1, 3) for kind, values in grey.items()}
    for kind in ("pq-defects", "aq-defects"):
        shown[f"{kind}-overlay"] = overlay(picture.image, grey[kind])
    files = {kind: save_picture(shown[kind], folder / f"{name}.{kind}.png", marked(kind)) for kind in KINDS}
    result: dict[str, Any] = {
        "image": str(picture.path),
        "prompt": prompt,
        "emphasized_prompt": found.prompts[0],
        "perceptual": float(perceptual.score[0]),
        "worst_region": float(perceptual.worst_region[0]),
        "alignment": float(alignment.score[0]) if alignment.measured[0] else None,
        "masked_area": float(found.mask.area[0]),
        "files": {kind: str(path) for kind, path in files.items()},
    }
    write_text(folder / f"{name}.json", common.json_text(result) + "\n")
    result["files"]["json"] = str(folder / f"{name}.json")
    return result
