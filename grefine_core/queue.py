"""Sends a workflow to a running ComfyUI, follows its progress, and fetches what it made.

Over the host's public HTTP interface (``/prompt``, ``/queue``, ``/history``, ``/upload/image``, ``/view``,
``/interrupt``). Progress comes over the host's websocket; without one (a proxy may
block it) the history is polled instead.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import Cancelled, GRefineError, InputError
from .host_api import HostApi, HostUnreachableError
from .websocket import WebSocket
from .workflow import Workflow, check_workflow, set_input, set_picture, set_prompt, title_of

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0  # how long to listen before asking the history; progress itself arrives at once
_LOST_AFTER = 5  # that often in a row neither queued nor in the history: the host has forgotten the job


class QueueError(GRefineError):
    """The host refused or failed the workflow. ``node_errors``: (node's title, what it said) of nodes to blame."""

    def __init__(self, message: str, node_errors: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message + "".join(f"\n  {title}: {text}" for title, text in node_errors))
        self.node_errors = node_errors


@dataclass(frozen=True)
class QueueProgress:
    """Where the host is: the node that runs, its own steps if it counts any, and nodes done of all."""

    title: str
    step: int
    steps: int
    nodes_done: int
    nodes: int


@dataclass
class QueueResult:
    """What a workflow made.

    Attributes:
        prompt_id: the host's id of the job.
        images: files that were fetched, in the order of the nodes.
        titles: for each of ``images`` the title of the node that made it.
        texts: what nodes showed as text, by the node's title.
        node_errors: (title, message) of parts of the graph that the host left out because they were not valid.
    """

    prompt_id: str
    images: list[Path] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)
    node_errors: tuple[tuple[str, str], ...] = ()


def run_workflow(
    server_url: str,
    workflow: Workflow,
    *,
    picture: str | Path | None = None,
    prompt: str | None = None,
    overrides: Mapping[tuple[str, str], object] | None = None,
    output: str | Path = ".",
    previews: bool = False,
    progress: Callable[[QueueProgress], None] | None = None,
    timeout: float | None = None,
) -> QueueResult:
    """Runs a workflow (API format, it is not changed) and saves its pictures into the folder ``output``.

    Args:
        server_url: the host's address, ``http://127.0.0.1:8188`` or ``127.0.0.1:8188``.
        picture: a file to upload, for the node titled "Picture" (or the only LoadImage).
        prompt: text for the node titled "Prompt" (or the only multi-line text).
        overrides: (node's title or id, input) -> value.
        previews: also fetch pictures that the host only previews; they get the names of their nodes.
        progress: called for every step; what it raises stops the job on the host and is passed on.
        timeout: seconds until the job is stopped; None waits as long as the host answers.

    Raises:
        InputError: a file or a node that is not there.
        HostUnreachableError: nothing answers at that address.
        QueueError: the host refused the workflow, or a node failed.
        Cancelled: somebody stopped the job on the host.
        KeyboardInterrupt: the user's; the job is taken from the queue or stopped first.
    """
    workflow = check_workflow(workflow)
    for (node, key), value in (overrides or {}).items():
        workflow = set_input(workflow, node, key, value)
    if prompt is not None:
        workflow = set_prompt(workflow, prompt)
    host = HostApi(server_url)
    if picture is not None:
        if not Path(picture).is_file():
            raise InputError(f"picture {picture}: no such file")
        set_picture(workflow, "")  # a workflow without a place for it: say so before anything is uploaded
        workflow = set_picture(workflow, host.upload(Path(picture)))
    client = uuid.uuid4().hex
    socket = _connect(host, client)
    try:
        job = _Job(host, workflow, client, socket, progress)
        try:
            history = job.wait(timeout)
        except BaseException:  # the user's Ctrl-C as well: a job nobody waits for must not keep the machine busy
            host.stop(job.prompt_id)
            raise
    finally:
        if socket is not None:
            socket.close()
    result = QueueResult(job.prompt_id, node_errors=job.node_errors)
    _raise_failure(history, workflow)
    _fetch(host, history, workflow, Path(output), previews, result)
    return result


class _Job:
    """One queued workflow."""

    def __init__(
        self,
        host: HostApi,
        workflow: Workflow,
        client: str,
        socket: WebSocket | None,
        progress: Callable[[QueueProgress], None] | None,
    ) -> None:
        self._host, self._workflow, self._socket, self._progress = host, workflow, socket, progress
        self._done: set[str] = set()
        self._current = ""
        status, answer = host.post("/prompt", {"prompt": workflow, "client_id": client})
        self.node_errors = _node_errors(answer.get("node_errors"), workflow)
        if status != 200 or "prompt_id" not in answer:
            error = answer.get("error") or {}
            reason = (
                error if isinstance(error, str) else f"{error.get('message', '')} {error.get('details', '')}".strip()
            )
            raise QueueError(f"ComfyUI refused the workflow: {reason or f'HTTP {status}'}", self.node_errors)
        self.prompt_id = str(answer["prompt_id"])
        for title, text in self.node_errors:
            logger.warning("left out by ComfyUI: %s: %s", title, text)

    def wait(self, timeout: float | None) -> dict[str, Any]:
        """The job's entry in the history, once it has ended in whatever way."""
        end = None if timeout is None else time.monotonic() + timeout
        missing = 0
        while True:
            if end is not None and time.monotonic() > end:
                raise QueueError(f"the workflow did not end within {timeout:g} s; it was stopped")
            if not self._listen():  # news: more may follow at once
                continue
            entry = self._host.get(f"/history/{self.prompt_id}").get(self.prompt_id)
            if entry is not None:
                return dict(entry)
            missing = 0 if self._host.is_queued(self.prompt_id) else missing + 1
            if missing >= _LOST_AFTER:
                raise QueueError("ComfyUI no longer knows the job: was it restarted, or the queue cleared?")

    def _listen(self) -> bool:
        """Reads one message; true when it is time to look into the history."""
        if self._socket is None:
            time.sleep(POLL_SECONDS / 4)
            return True
        try:
            message = self._socket.receive(POLL_SECONDS)
        except TimeoutError:
            return True
        except OSError:
            message = None
        if message is None:
            logger.info("the websocket closed; going on by asking the history")
            self._socket = None
            return True
        if isinstance(message, bytes):  # a preview picture
            return False
        content = json.loads(message)
        event, data = content.get("type"), content.get("data") or {}
        if data.get("prompt_id") != self.prompt_id:
            return False
        if event == "execution_cached":
            self._done.update(map(str, data.get("nodes", ())))
        elif event == "executing":
            self._next(data.get("node"))
        elif event == "progress":
            self._report(str(data.get("node") or self._current), int(data.get("value", 0)), int(data.get("max", 0)))
        if event in ("execution_success", "execution_error", "execution_interrupted"):
            time.sleep(0.05)  # the history fills a moment after the message
            return True
        return False

    def _next(self, node: str | None) -> None:
        if self._current:
            self._done.add(self._current)
        self._current = str(node or "")
        if self._current:
            self._report(self._current, 0, 0)

    def _report(self, node: str, step: int, steps: int) -> None:
        if self._progress is not None:
            title = title_of(self._workflow, node)
            self._progress(QueueProgress(title, step, steps, len(self._done - {node}), len(self._workflow)))


def _connect(host: HostApi, client: str) -> WebSocket | None:
    try:
        return WebSocket(host.websocket_url(client))
    except OSError as error:
        host.get("/queue")  # raises in plain words when there is no host at all
        logger.info("no websocket (%s); going on by asking the history", error)
        return None


def _node_errors(errors: object, workflow: Workflow) -> tuple[tuple[str, str], ...]:
    """The host's answer to a workflow that is not valid, as (title, words)."""
    found = []
    for node_id, entry in (errors or {}).items() if isinstance(errors, dict) else ():
        for error in entry.get("errors", ()):
            parts = [str(error.get("message", "")).strip(), str(error.get("details", "")).strip()]
            found.append((title_of(workflow, node_id), ": ".join(part for part in parts if part)))
    return tuple(found)


def _raise_failure(history: Mapping[str, Any], workflow: Workflow) -> None:
    status = history.get("status") or {}
    for event, data in status.get("messages") or ():
        if event == "execution_error":
            title = title_of(workflow, data.get("node_id", ""))
            text = f"{data.get('exception_type', '')}: {data.get('exception_message', '')}".strip().strip(":")
            raise QueueError("a node failed in ComfyUI", ((title, text),))
        if event == "execution_interrupted":
            raise Cancelled(f"the workflow was stopped in ComfyUI, at {title_of(workflow, data.get('node_id', ''))}")
    if status.get("status_str") not in (None, "success"):
        raise QueueError(f"the workflow ended with {status['status_str']!r} in ComfyUI; its log says why")


def _fetch(
    host: HostApi, history: Mapping[str, Any], workflow: Workflow, output: Path, previews: bool, result: QueueResult
) -> None:
    outputs = history.get("outputs") or {}
    for node_id in sorted(outputs, key=list(workflow).index if set(outputs) <= set(workflow) else None):
        title = title_of(workflow, node_id)
        shown = outputs[node_id]
        texts = [str(text) for text in shown.get("text") or ()]
        if texts:
            result.texts.setdefault(title, []).extend(texts)
        for entry in shown.get("images") or ():
            if entry.get("type") == "output" or previews:
                # A preview's own name is a random one.
                name = str(entry["filename"])
                if entry.get("type") != "output":
                    name = re.sub(r"[^\w .-]+", "-", title) + Path(name).suffix
                result.images.append(_save(host.view(entry), output, name))
                result.titles.append(title)


def _save(data: bytes, folder: Path, name: str) -> Path:
    """Writes a file; another one of that name is never overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / Path(name).name
    number = 1
    while path.exists() and path.read_bytes() != data:
        number += 1
        path = folder / f"{Path(name).stem}-{number}{Path(name).suffix}"
    path.write_bytes(data)
    return path


__all__ = ["HostUnreachableError", "QueueError", "QueueProgress", "QueueResult", "run_workflow"]
