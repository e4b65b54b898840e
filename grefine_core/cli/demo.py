"""``grefine demo``: the whole method on a photograph, on the CPU, with nothing to download."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from . import common, maps, options, queue, refine


def add_command(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("demo", help="run the whole method on a photograph with untrained stand-in models")
    parser.add_argument("--image", metavar="FILE", help="a picture of your own; default: a photograph that comes along")
    parser.add_argument("--prompt", help="what the picture was meant to show")
    parser.add_argument("-o", "--output", default="grefine-output", metavar="FOLDER")
    parser.add_argument(
        "--comfyui",
        metavar="FOLDER",
        help="run the shipped workflow in this ComfyUI, through its queue; else diffusers",
    )
    common.add_measure_options(parser)
    options.add_mask_options(parser)
    options.add_plan_options(parser)
    # Untrained maps are defects nearly everywhere: the mean and the worst share leave only a part to repaint.
    parser.set_defaults(run=run, method="top", top=0.15, merge="mean", mode="paper", steps=8)


def run(arguments: argparse.Namespace) -> int:
    """Run it, write maps, masks, the refined picture, the sheet and the JSON report, and say what they are."""
    from ..demo import NOTICE, PICTURE, PROMPT

    image = Path(arguments.image) if arguments.image else PICTURE
    prompt = arguments.prompt or (PROMPT if not arguments.image else None)
    print(NOTICE)
    if arguments.comfyui:
        from ..demo.through_comfyui import run_in_comfyui

        with queue.node_progress() as progress:
            version, result = run_in_comfyui(Path(arguments.comfyui), image, prompt, Path(arguments.output), progress)
        print(f"Through the queue of ComfyUI {version} at {arguments.comfyui}:")
        queue.print_result(result, Path(arguments.output))
        return 0
    return _with_diffusers(arguments, image, prompt)


def _with_diffusers(arguments: argparse.Namespace, image: Path, prompt: str | None) -> int:
    from ..demo import NOTICE
    from ..pictures import load_picture
    from ..standins import write_quality_model, write_sdxl_inpaint_folder

    picture = load_picture(image)
    with tempfile.TemporaryDirectory(prefix="grefine-demo-") as scratch:
        # Written to files and read back: the loading code is part of what is shown.
        models = write_quality_model(Path(scratch) / "quality")
        arguments.clip, arguments.architecture = str(models / "clip.safetensors"), "auto"
        arguments.embeddings, arguments.calibration = str(models / "pq_embeddings.safetensors"), None
        arguments.resolution, arguments.device = None, "cpu"
        arguments.pipeline = str(write_sdxl_inpaint_folder(Path(scratch) / "sdxl-inpainting"))
        arguments.negative_prompt, arguments.guidance_scale, arguments.offload = "", 4.0, "none"
        model = common.load_model(arguments)
        text = common.prompt_for(picture, prompt) or ""
        folder = Path(arguments.output)
        arguments.prompt = text
        mapped = maps.write_maps(picture, image.stem, model, arguments, folder)
        result = refine.refine_picture(
            picture, text, model, refine.Engines(arguments), folder, f"{image.stem}.refined", arguments, (NOTICE,)
        )
    print(refine.in_words({"image": image, **result}))
    for path in mapped["files"].values():
        print(f"  {path}")
    return 0
