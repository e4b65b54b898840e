"""The demonstration through a real ComfyUI: the shipped miniature workflow, through its queue.

A folder's server is started with a scratch folder of its own for inputs, outputs and models, so nothing of the user's
installation is touched; it ends with the demonstration. A server that runs already is only sent the job.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import InputError
from ..host_api import HostApi
from ..host_server import HostServer
from ..queue import QueueProgress, QueueResult, run_workflow
from ..workflow import read_workflow

#: The folder of the pack, of which this library is a part when it is used from a clone or inside ComfyUI.
PACK = Path(__file__).resolve().parents[2]
WORKFLOW = PACK / "workflows" / "api" / "grefine_miniature.json"
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
