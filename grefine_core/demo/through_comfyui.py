"""The demonstration through a real ComfyUI: its server, this pack, the shipped workflow, its queue.

The server is started with a scratch folder of its own for inputs, outputs and models, so nothing of the user's
installation is touched; it ends with the demonstration.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..host_server import HostServer
from ..metadata import prompt_from_metadata
from ..pictures import load_picture
from ..queue import QueueProgress, QueueResult, run_workflow
from ..standins import write_quality_model
from ..workflow import Workflow, read_workflow

#: The folder of the pack, of which this library is a part when it is used from a clone or inside ComfyUI.
PACK = Path(__file__).resolve().parents[2]
WORKFLOW = PACK / "workflows" / "api" / "grefine_sdxl_inpainting.json"
#: Nodes that give tiny untrained networks of the host's own classes; the tests use them too.
STANDINS = PACK / "tests" / "host" / "doubles"
#: The shipped workflow's loaders of large models, and what stands in for them.
_LOADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Inpainting model": ("GRefineTinyUNet", {"kind": "sdxl_inpaint"}),
    "Text encoders": ("GRefineTinyTextEncoder", {"kind": "sdxl", "width": "tiny"}),
    "VAE": ("GRefineTinyVAE", {}),
}
#: As the diffusers demonstration: untrained maps are defects everywhere, so the mean and the worst share are taken.
#: Untrained scores rarely rise, but what stage 1 paints is to be seen: its guard has a tolerance, that of stage 2 none.
_SETTINGS: dict[tuple[str, str], object] = {
    ("Load Quality Model", "clip_name"): "clip.safetensors",
    ("Load Quality Model", "embeddings"): "pq_embeddings.safetensors",
    ("Merge Maps", "mode"): "mean",
    ("Binarize Map", "method"): "top",
    ("Binarize Map", "top_share"): 0.15,
    ("Refine Plan", "mode"): "paper",
    ("Refine Plan", "steps"): 8,
    ("Stage-1 Inpaint", "crop_size"): "source",
    ("Stage-1 Inpaint", "min_side"): 256,
    ("No-Harm Guard: stage 1", "tolerance"): 0.05,
    ("No-Harm Guard: stage 2", "tolerance"): 0.0,
}


def run_in_comfyui(
    comfyui: Path, image: Path, prompt: str | None, output: Path, progress: Callable[[QueueProgress], None] | None
) -> tuple[str, QueueResult]:
    """Run the shipped workflow in the ComfyUI at ``comfyui`` and save its pictures into ``output``.

    Returns:
        (the host's version, what came out).

    Raises:
        InputError: no picture, no prompt, or this library is not part of a pack with workflows.
        GRefineError: the server does not start, or the workflow fails; the message says what the host said.
    """
    if not (WORKFLOW.is_file() and STANDINS.is_dir()):
        raise InputError(f"{PACK}: no pack with workflows around the library; run the demo from a clone of the pack.")
    prompt = prompt or prompt_from_metadata(load_picture(image).text)
    if prompt is None:
        raise InputError(f"{image}: no prompt. Give --prompt; the picture's metadata hold none.")
    with tempfile.TemporaryDirectory(prefix="grefine-demo-", ignore_cleanup_errors=True) as scratch:
        base = Path(scratch)
        write_quality_model(base / "models" / "grefine")
        packs = {"g-refine": PACK, "grefine_standins": STANDINS}
        with HostServer(comfyui, base, packs=packs) as server:
            return server.version, run_workflow(
                server.url,
                with_standins(read_workflow(WORKFLOW)),
                picture=image,
                prompt=prompt,
                overrides=_SETTINGS,
                output=output,
                previews=True,
                progress=progress,
            )


def with_standins(workflow: Workflow) -> Workflow:
    """Return a copy whose loaders of large models are replaced by stand-ins.

    Raises:
        InputError: the workflow has no node of a loader's title.
    """
    changed = copy.deepcopy(workflow)
    for title, (kind, inputs) in _LOADERS.items():
        found = [node for node in changed.values() if node.get("_meta", {}).get("title") == title]
        if len(found) != 1:
            raise InputError(f"workflow: {len(found)} nodes are titled {title!r}, expected one.")
        found[0].update(class_type=kind, inputs=dict(inputs))
    return changed
