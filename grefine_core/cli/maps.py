"""``grefine maps``: the maps, the masks and the emphasised prompt of pictures, as files."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from . import common, options


def add_command(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("maps", help="write quality maps, overlays, masks and the emphasised prompt")
    common.add_picture_options(parser)
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where the files go")
    common.add_model_options(parser)
    common.add_measure_options(parser)
    options.add_mask_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write ``NAME.pq.png``, ``NAME.aq.png``, overlays, masks and ``NAME.json`` for every picture."""
    from ..pictures import Picture, find_pictures

    names = common.unique_stems(find_pictures(arguments.images))
    folder = common.output_folder(arguments.output)
    model = common.load_model(arguments)

    def work(picture: Picture) -> dict[str, Any]:
        return write_maps(picture, names[picture.path], model, arguments, folder)

    results, code = common.for_each_picture(arguments.images, "Mapping", work)
    if arguments.json:
        common.print_json(results)
    else:
        for result in results:
            for path in result.get("files", {}).values():
                print(path)
    return code


def write_maps(picture: Any, name: str, model: Any, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Write one picture's files; returns what ``--json`` prints of it."""
    from ..alignment import assess
    from ..emphasis import emphasize
    from ..masks import binarize_map, merge_maps
    from ..pictures import save_picture
    from ..report import overlay

    prompt = common.prompt_for(picture, arguments.prompt)
    found = assess(model, picture.image, prompt, **common.measure_options(arguments))
    chosen = options.mask_options(arguments)
    merged = merge_maps([found.perceptual.defect_map, found.alignment.defect_map], chosen.merge)
    mask = binarize_map(merged, **options.binarize_arguments(chosen))
    emphasized = emphasize(prompt or "", found.alignment.phrases[0])
    grey = {
        "pq": found.perceptual.quality_map,
        "pq-defects": found.perceptual.defect_map,
        "aq-defects": found.alignment.defect_map,
        "mask": mask.denoise,
        "mask-composite": mask.composite,
    }
    files = {}
    for kind, values in grey.items():
        files[kind] = save_picture(values[0].unsqueeze(-1).expand(-1, -1, 3), folder / f"{name}.{kind}.png")
    for kind in ("pq-defects", "aq-defects"):
        picture_with_map = overlay(picture.image, grey[kind])
        files[f"{kind}-overlay"] = save_picture(picture_with_map, folder / f"{name}.{kind}-overlay.png")
    result: dict[str, Any] = {
        "prompt": prompt,
        "emphasized_prompt": emphasized,
        "perceptual": float(found.perceptual.score[0]),
        "alignment": float(found.alignment.score[0]),
        "masked_area": float(mask.area[0]),
        "files": {kind: str(path) for kind, path in files.items()},
    }
    common.write_text(folder / f"{name}.json", json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    result["files"]["json"] = str(folder / f"{name}.json")
    return result
