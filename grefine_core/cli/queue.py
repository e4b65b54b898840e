"""``grefine queue``: a workflow through a running ComfyUI."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Cancelled, InputError
from . import common

if TYPE_CHECKING:
    from ..comfyui.queue import QueueProgress, QueueResult


def add_command(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "queue",
        help="run a workflow in a running ComfyUI and fetch the result",
        description="The workflow is in API format (ComfyUI: File, Export (API)), as those in workflows/api/ are. "
        "The picture goes to the node titled 'Picture' or the only Load Image, the prompt to the node titled 'Prompt'.",
    )
    parser.add_argument("workflow", help="file in API format")
    parser.add_argument("--server", default="http://127.0.0.1:8188", help="ComfyUI's address")
    parser.add_argument("--image", metavar="FILE", help="picture to upload")
    parser.add_argument("--prompt", help="what the picture was meant to show")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NODE.INPUT=VALUE",
        help="change an input; NODE is a title or an id, VALUE is JSON or plain text",
    )
    parser.add_argument("-o", "--output", default="grefine-output", metavar="FOLDER")
    parser.add_argument("--previews", action="store_true", help="fetch pictures that are only previewed, too")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="stop the job after that long; default: never")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files of the same names; else results get a number"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Send it, show the host's progress, and save pictures and texts; 3 if some of the results are missing."""
    from ..comfyui.queue import QueueError, QueueResult, run_workflow
    from ..comfyui.workflow import read_workflow

    workflow = read_workflow(arguments.workflow)
    folder = common.output_folder(arguments.output)
    failure: QueueError | None = None
    try:
        with node_progress() as progress:
            result = run_workflow(
                arguments.server,
                workflow,
                picture=arguments.image,
                prompt=arguments.prompt,
                overrides=dict(parse_override(text) for text in arguments.set),
                output=folder,
                previews=arguments.previews,
                progress=progress,
                timeout=arguments.timeout,
                overwrite=arguments.overwrite,
            )
            result.check_complete()
    except QueueError as error:
        failure, result = error, error.result or QueueResult("")
    if arguments.json:
        missing = () if failure is None else failure.node_errors
        common.print_json(
            {
                "prompt_id": result.prompt_id,
                "images": [str(path) for path in result.images],
                "titles": result.titles,
                "texts": result.texts,
                "lines": result.lines,
                "missing": [{"node": title, "error": text} for title, text in missing],
                "error": None if failure is None else str(failure),
            }
        )
    else:
        print_result(result, folder, overwrite=arguments.overwrite)
    if failure is None:
        return 0
    print(f"grefine queue: {failure}", file=sys.stderr)
    if isinstance(failure, Cancelled):
        return 130
    return 3 if result.images or result.texts else 1


@contextmanager
def node_progress() -> Iterator[Callable[[QueueProgress], None]]:
    """A progress bar over a workflow's nodes, with the steps of the one that runs; lines where nobody sees a bar."""
    from tqdm import tqdm

    if not sys.stderr.isatty():
        yield _Lines()
        return
    with tqdm(desc="Queued", unit="node", file=sys.stderr) as bar:

        def progress(now: QueueProgress) -> None:
            bar.total = now.nodes
            bar.set_description(f"{now.title} {now.step}/{now.steps}" if now.steps else now.title)
            bar.update(now.nodes_done - bar.n)

        yield progress


class _Lines:
    """Progress for a pipe or a log: a line for every node, and for every quarter of its steps."""

    def __init__(self) -> None:
        self._told: tuple[str, int, int] | None = None

    def __call__(self, now: QueueProgress) -> None:
        quarter = 4 * now.step // now.steps if now.steps else 0
        mark = (now.title, now.nodes_done, quarter)
        if mark != self._told:
            self._told = mark
            steps = f", step {now.step} of {now.steps}" if now.step and now.steps > 1 else ""
            print(f"{now.nodes_done}/{now.nodes} {now.title}{steps}", file=sys.stderr, flush=True)


#: A text of one line that is no longer than this is printed as well: a score, say.
_SHORT = 120


def print_result(result: QueueResult, folder: Path, overwrite: bool = False) -> None:
    """Say what the pack's nodes found and where the pictures lie, and write what nodes showed as text beside them."""
    from ..comfyui.answers import Receiver, titled_name
    from ..plain_text import printable

    receiver = Receiver(folder, overwrite)
    for title, lines in result.lines.items():
        for line in lines:
            print(f"{title}: {line}")
    for title, path in zip(result.titles, result.images, strict=True):
        print(f"{title}: {path}")
    for title, texts in result.texts.items():
        for number, text in enumerate(texts):
            name = titled_name(title, f"-{number + 1}.txt" if number else ".txt")
            path = receiver.save(name, printable(text).encode())
            short = len(text) <= _SHORT and len(text.splitlines()) == 1
            print(f"{title}: {text} ({path})" if short else f"{title}: {path}")


def parse_override(text: str) -> tuple[tuple[str, str], object]:
    """Read ``NODE.INPUT=VALUE``.

    Raises:
        InputError: not of that form.
    """
    target, equals, value = text.partition("=")
    node, dot, key = target.rpartition(".")
    if not (equals and dot and node and key):
        raise InputError(f"--set {text!r}: expected NODE.INPUT=VALUE, as in 'Refine Plan.steps=10'.")
    try:
        return (node, key), json.loads(value)
    except (ValueError, RecursionError):
        return (node, key), value
