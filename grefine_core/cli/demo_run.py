"""The demonstration: the whole method on a picture of the miniature world, with the small models trained on it.

The picture, and its way through a ComfyUI; without one, the command line runs the library itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..comfyui.host_api import HostApi
from ..comfyui.host_server import HostServer
from ..comfyui.queue import QueueProgress, QueueResult, run_workflow
from ..comfyui.workflow import read_workflow
from ..errors import InputError
from ..miniature.loading import GUIDANCE, Choices
from ..miniature.networks import FACTOR, LATENT_SIDE
from ..miniature.world import DEMO_INDEX
from ..pictures import Picture, load_picture, marked, save_picture
from ..regions import RegionOptions
from .common import prompt_for
from .research import research

if TYPE_CHECKING:
    from .research import research


#: Longest side of a picture of the user's; larger ones are made smaller. The models were trained on 128 pixels.
LARGEST_SIDE = 512

FOREIGN = (
    "Unless this picture is one of that world, its scores, maps and repairs say nothing about it: they only show that "
    "the method runs here. Pictures like it need the large models (`grefine refine`, or the other workflows)."
)


# The picture that the demonstration works on: a sample of the miniature world, or the user's own.

#: Called with the picture's path and the files that are about to be written; what it raises stops that.
Before = Callable[[Path, Sequence[Path]], None]


@dataclass(frozen=True)
class Subject:
    """A picture, and what is known of it.

    Attributes:
        path: what the library reads, and what ComfyUI is sent.
        prompt: what the picture was meant to show.
        remarks: lines for people: what is wrong with it, or what to keep in mind.
        notes: those of them that belong into the report.
        files: other pictures of it that were written, by what they are.
    """

    path: Path
    prompt: str
    remarks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    files: tuple[tuple[str, Path], ...] = ()


def sample_subject(folder: Path, index: int = DEMO_INDEX, before: Before | None = None) -> Subject:
    """Write a sample of the test split, the same picture without its defects, and the true mask of these.

    Raises:
        InputError: a negative index.
    """
    drawing = research("miniature.sample", f"--index {index}")
    sample = research("miniature.generator", f"--index {index}").make_sample("test", index)
    path = folder / f"miniature-{index}.png"
    files = {what: folder / f"{path.stem}.{what}.png" for what in ("clean", "truth")}
    if before is not None:
        before(path, [path, *files.values()])
    drawing.write_sample(sample, path)
    save_picture(drawing.as_tensor(sample.clean), files["clean"])
    save_picture(drawing.true_mask(sample), files["truth"], marked("truth"))
    return Subject(path, sample.caption.prompt, (drawing.in_words(sample),), files=tuple(files.items()))


def own_subject(
    folder: Path, image: Path, prompt: str | None, before: Before | None = None, node: str | None = None
) -> Subject:
    """Take the user's picture with its prompt: the given one, that of the text file of its name, or of its metadata
    (of ``node`` in its graph). Of a large one a smaller copy is written, with the prompt in its metadata.

    Raises:
        InputError: no readable picture, or no prompt.
    """
    picture = load_picture(image)
    prompt = prompt_for(picture, prompt, node=node) or ""
    height, width = picture.pixels.shape[:2]
    if max(height, width) <= LARGEST_SIDE:
        if before is not None:
            before(image, [])
        return Subject(image, prompt, (FOREIGN,), (FOREIGN,))
    path = folder / f"{image.stem}.png"
    if path.resolve() == image.resolve():
        path = folder / f"{image.stem}.copy.png"
    if before is not None:
        before(path, [path])
    pixels, alpha = _smaller(picture)
    save_picture(pixels, path, {"parameters": prompt}, alpha, picture.info.get("icc_profile"))
    smaller = f"Made smaller for the demonstration: {width}x{height} to {pixels.shape[2]}x{pixels.shape[1]}."
    notes = (smaller, *picture.notes, FOREIGN)
    return Subject(path, prompt, notes, notes)


def _smaller(picture: Picture) -> tuple[Tensor, Tensor | None]:
    """The picture with ``LARGEST_SIDE`` as its longer side, ``(1, h, w, 3)`` over white, and its alpha ``(h, w)``."""
    import numpy as np
    from PIL import Image

    def resized(values: Any) -> Any:
        whole = Image.fromarray((values * 255.0).round().to(torch.uint8).numpy())
        whole.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
        return np.array(whole)

    image = torch.from_numpy(resized(picture.image[0]).astype(np.float32) / 255.0).unsqueeze(0)
    alpha = None if picture.alpha is None else torch.from_numpy(resized(picture.alpha / 255.0))
    return image, alpha


# The choices of the miniature world as inputs of the nodes in the workflow ``grefine_1_start_here``.

#: By kind of node its inputs, by name.
Settings = dict[str, dict[str, object]]


def node_settings(choices: Choices, seed: int = 0, include_style: bool = False) -> Settings:
    """Inputs with constant values, for every node of a kind; what the nodes have no input for stays as they are."""
    options = choices.options
    masks, plan, emphasis, crop = options.masks, options.plan, options.emphasis, options.crop
    regions = options.regions or RegionOptions()
    factors = zip(("technical", "rational", "natural"), choices.importance, strict=True)
    perceptual: dict[str, object] = {
        "formula": choices.calibration,
        **{f"importance_{factor}": value for factor, value in factors},
    }
    alignment: dict[str, object] = {
        "scoring": choices.scoring or "auto",
        "aggregate": choices.aggregate,
        "include_style": include_style,
    }
    side = FACTOR * LATENT_SIDE
    return {
        "GRefinePQMap": perceptual,
        "GRefineAQMap": {**alignment, "formula": choices.calibration},
        "GRefineBinarizeMap": {
            "method": masks.method,
            "threshold": masks.threshold,
            "top_share": masks.top,
            "floor": masks.floor,
            "min_area": masks.min_area,
            "grow": masks.grow,
            "feather": masks.feather,
            "fill_holes": masks.fill_holes,
            "most_phrases": regions.phrases,
            "max_area": regions.max_area,
            "calibrated": regions.calibrated,
            "whole_picture": regions.whole,
        },
        "GRefinePromptEmphasis": {
            "minimum": emphasis.minimum,
            "maximum": emphasis.maximum,
            "style": emphasis.style,
        },
        "GRefinePlan": {
            "mode": plan.mode,
            "steps": plan.steps,
            "stage1_min": plan.stage1_min,
            "stage1_max": plan.stage1_max,
            "stage2_strength": plan.stage2_strength,
            "perceptual_bar": plan.perceptual_bar,
            "alignment_bar": plan.alignment_bar,
            "region_bar": plan.region_bar,
            "own_phrases": options.own_phrases,
            "calibrated": regions.calibrated,
        },
        "GRefineStage1Inpaint": {
            "seed": seed,
            "cfg": GUIDANCE if choices.guidance is None else choices.guidance,
            "crop_size": crop.crop_size,
            "min_side": side,
            "native_side": side,
            "context": crop.context,
            "color_match": options.stage1_keep_color,
            "attempts": options.attempts,
        },
        "GRefineStage2Restore": {
            "seed": seed,
            "keep_color": options.stage2_keep_color,
            "attempts": options.attempts,
        },
        # By the scores, with a tolerance of 1, nothing is ever refused.
        "GRefineNoHarmGuard": {
            **perceptual,
            **alignment,
            "tolerance": options.tolerance if options.guard else 1.0,
            "rule": options.rule if options.guard else "scores",
            "attempts": options.attempts,
        },
        "GRefineQualityReport": {**perceptual, **alignment},
    }


# The demonstration through a real ComfyUI: the shipped miniature workflow, through its queue.

#: The folder of the pack, of which this library is a part when it is used from a clone or inside ComfyUI.
PACK = Path(__file__).resolve().parents[2]
WORKFLOW = PACK / "workflows" / "api" / "grefine_1_start_here.json"
LOADER = "GRefineLoadMiniature"


def run_in_comfyui(
    host: str,
    image: Path,
    prompt: str,
    output: Path,
    settings: Mapping[str, Mapping[str, object]],
    progress: Callable[[QueueProgress], None] | None,
) -> tuple[str, QueueResult]:
    """Run the miniature workflow in a ComfyUI and save its pictures into ``output``.

    Args:
        host: the folder of a ComfyUI, which is started for it, or the address of one that runs.
        image: the picture.
        prompt: what it was meant to show.
        output: folder for the results.
        settings: kind of node -> its inputs with other values than the workflow's, for every node of that kind.
        progress: called for every step.

    Returns:
        (the ComfyUI in words, what came out).

    Raises:
        InputError: neither a folder of a ComfyUI nor an address, no pack with workflows around this library, or a
            server without the pack.
        GRefineError: the server does not start or answer, or the workflow fails; the message says what the host said.
    """
    if not WORKFLOW.is_file():
        raise InputError(f"{PACK}: no pack with workflows around the library; run the demo from a clone of the pack.")
    workflow = read_workflow(WORKFLOW)
    overrides = {
        (node_id, name): value
        for node_id, node in workflow.items()
        for name, value in settings.get(node["class_type"], {}).items()
    }

    def run(url: str) -> QueueResult:
        result = run_workflow(
            url,
            workflow,
            picture=image,
            prompt=prompt,
            overrides=overrides,
            output=output,
            previews=True,
            progress=progress,
        )
        result.check_complete()
        return result

    folder = _folder(host)
    if folder is None:
        return f"ComfyUI at {_running(host)}", run(host)
    with (
        tempfile.TemporaryDirectory(prefix="grefine-demo-", ignore_cleanup_errors=True) as scratch,
        HostServer(folder, Path(scratch), packs={"g-refine": PACK}) as server,
    ):
        return f"ComfyUI {server.version} at {folder}", run(server.url)


def _folder(host: str) -> Path | None:
    """The folder of that name; None if there is none."""
    try:
        folder = Path(host).expanduser().resolve()
        return folder if folder.exists() else None
    except (OSError, ValueError, RuntimeError):  # an address, which need not be possible as the name of a folder
        return None


def _running(address: str) -> str:
    """The address for people of a running server, after seeing that it has the pack's nodes."""
    if not (address.lower().startswith(("http://", "https://")) or ":" in address):
        raise InputError(
            f"--host {address}: neither the folder of a ComfyUI nor the address of one that runs, such as "
            "http://127.0.0.1:8188."
        )
    with HostApi(address) as api:
        if LOADER not in api.get(f"/object_info/{LOADER}"):
            raise InputError(f"--host {api.url}: this ComfyUI has no node {LOADER}; install this G-Refine there.")
        return api.url
