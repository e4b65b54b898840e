"""Sends a workflow to a running ComfyUI, follows its progress, and fetches what it made.

Over the host's public HTTP interface (``/prompt``, ``/queue``, ``/history``, ``/upload/image``, ``/view``,
``/interrupt``). Progress comes over the host's websocket; without one (a proxy may
block it) the history is polled instead.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from ..errors import Cancelled, GRefineError, InputError
from . import answers
from .answers import Receiver, harmless_name
from .host_api import HostApi, HostUnreachableError, Messages
from .workflow import Workflow, check_workflow, set_input, set_picture, set_prompt, title_of

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0  # how long to listen before asking the history; progress itself arrives at once
_LOST_AFTER = 5  # that often in a row neither queued nor in the history: the host has forgotten the job
_RECONNECTS = 3
_GONE_AFTER = 3  # so many files in a row without an answer: the host is not asked for more


class QueueError(GRefineError):
    """The host refused or failed the workflow, or its results did not all arrive.

    Attributes:
        node_errors: (node's title, what it said) of nodes to blame.
        result: what did arrive, where the workflow ran at all.
    """

    def __init__(
        self, message: str, node_errors: tuple[tuple[str, str], ...] = (), result: QueueResult | None = None
    ) -> None:
        super().__init__(message + "".join(f"\n  {title}: {text}" for title, text in node_errors))
        self.node_errors, self.result = node_errors, result


class QueueCancelled(QueueError, Cancelled):  # noqa: N818 - as Cancelled
    """Somebody stopped the job on the host."""


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
        lines: what this pack's nodes say on themselves (scores, phrases, decisions), by the node's title.
        node_errors: (title, message) of parts of the graph that the host left out because they were not valid.
        missing: (title, reason) of outputs that are not there: those left out, and those that gave nothing.
    """

    prompt_id: str
    images: list[Path] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)
    node_errors: tuple[tuple[str, str], ...] = ()
    missing: list[tuple[str, str]] = field(default_factory=list)
    lines: dict[str, list[str]] = field(default_factory=dict)

    def check_complete(self) -> None:
        """Raise QueueError if an output is missing, or if there is none at all; it says which, and has this result."""
        if self.missing:
            raise QueueError("ComfyUI did not make all of the workflow's results", tuple(self.missing), self)
        if not self.images and not self.texts:
            raise QueueError(
                "the workflow gave no picture and no text; previews are fetched only if asked for", (), self
            )


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
    overwrite: bool = False,
) -> QueueResult:
    """Runs a workflow (API format, it is not changed) and saves its pictures into the folder ``output``.

    ComfyUI leaves out parts of a workflow that are not valid and runs the others: see ``QueueResult.missing``, or call
    ``check_complete``.

    Args:
        server_url: the host's address, ``http://127.0.0.1:8188`` or ``127.0.0.1:8188``.
        picture: a file to upload, for the node titled "Picture" (or the only LoadImage).
        prompt: text for the node titled "Prompt" (or the only multi-line text).
        overrides: (node's title or id, input) -> value.
        previews: also fetch pictures that the host only previews; they get the names of their nodes.
        progress: called for every step; what it raises stops the job on the host and is passed on.
        timeout: seconds until the job is stopped, or fetching it is given up; None waits as long as the host answers.
        overwrite: replace files of the same names in ``output``, but never ``picture``; else results get another name,
            with a number.

    Raises:
        InputError: a file or a node that is not there.
        HostUnreachableError: nothing answers at that address.
        QueueError: the host refused the workflow, a node failed, or results could not be fetched; what did arrive is
            kept, and is the error's ``result``.
        QueueCancelled: somebody stopped the job on the host.
        KeyboardInterrupt: the user's; the job is taken from the queue or stopped first.
    """
    if timeout is not None and not timeout > 0:
        raise InputError(f"timeout: expected seconds above 0, got {timeout!r}")
    workflow = check_workflow(workflow)
    for (node, key), value in (overrides or {}).items():
        workflow = set_input(workflow, node, key, value)
    if prompt is not None:
        workflow = set_prompt(workflow, prompt)
    with HostApi(server_url) as host:
        host.deadline = None if timeout is None else time.monotonic() + timeout
        if picture is not None:
            if not Path(picture).is_file():
                raise InputError(f"picture {picture}: no such file")
            set_picture(workflow, "")  # a workflow without a place for it: say so before anything is uploaded
            workflow = set_picture(workflow, host.upload(Path(picture)))
        job = _Job(host, workflow, progress)
        try:
            history = job.wait(timeout)
        except BaseException:  # the user's Ctrl-C as well: a job nobody waits for must not keep the machine busy
            host.stop(job.prompt_id)
            raise
        nodes = answers.shown(history, workflow)
        result = QueueResult(job.prompt_id, node_errors=job.node_errors, missing=list(job.left_out))
        receiver = Receiver(Path(output), overwrite, () if picture is None else (picture,))
        lost = _fetch(host, nodes, previews, receiver, result)
    _raise_failure(history, workflow, result, lost)
    told = {title for title, _ in result.missing}
    result.missing += [
        (title, "gave nothing, though ComfyUI reports success")
        for title in answers.silent(nodes, workflow, previews)
        if title not in told
    ]
    return result


class _Job:
    """One queued workflow."""

    def __init__(self, host: HostApi, workflow: Workflow, progress: Callable[[QueueProgress], None] | None) -> None:
        self._host, self._workflow, self._progress = host, workflow, progress
        self._client = uuid.uuid4().hex
        self._reconnects = _RECONNECTS
        self._messages = self._connect()
        self._done: set[str] = set()
        self._current = ""
        status, answer = host.post("/prompt", {"prompt": workflow, "client_id": self._client})
        errors = list(answers.node_errors(answer.get("node_errors"), workflow))
        self.node_errors = tuple((title, text) for title, text, _ in errors)
        prompt_id = answer.get("prompt_id")
        if status != 200 or not isinstance(prompt_id, str) or not prompt_id.isprintable() or not prompt_id:
            reason = answers.refusal(answer) or f"HTTP {status}"
            raise QueueError(f"ComfyUI refused the workflow: {reason}", self.node_errors)
        self.prompt_id = prompt_id
        self.left_out = tuple(
            (output, f"left out by ComfyUI, as {title} is not valid: {text}")
            for title, text, outputs in errors
            for output in outputs or (title,)
        )
        for title, text in self.node_errors:
            logger.warning("left out by ComfyUI: %s: %s", title, text)

    def wait(self, timeout: float | None) -> Mapping[str, Any]:
        """The job's entry in the history, once it has ended in whatever way."""
        end = self._host.deadline
        asked, missing = time.monotonic(), 0
        while True:
            if end is not None and time.monotonic() > end:
                raise QueueError(f"the workflow did not end within {timeout:g} s; it was stopped")
            # News: more may follow at once. But a server that talks all the time is asked as well.
            if not self._listen() and time.monotonic() < asked + 5 * POLL_SECONDS:
                continue
            asked = time.monotonic()
            entry = self._host.get(f"/history/{quote(self.prompt_id, safe='')}").get(self.prompt_id)
            if entry is not None:
                if not isinstance(entry, dict):
                    raise QueueError(f"ComfyUI's history of the job is not understood: {answers.words(entry)}")
                return entry
            missing = 0 if self._host.is_queued(self.prompt_id) else missing + 1
            if missing >= _LOST_AFTER:
                raise QueueError("ComfyUI no longer knows the job: was it restarted, or the queue cleared?")

    def _connect(self) -> Messages | None:
        try:
            return self._host.listen(self._client)
        except HostUnreachableError as error:
            self._host.get("/queue")  # raises in plain words when there is no host at all
            logger.info("%s; going on by asking the history", error)
            return None

    def _listen(self) -> bool:
        """Reads one message; true when it is time to look into the history."""
        if self._messages is None:
            time.sleep(POLL_SECONDS / 4)
            return True
        try:
            message = self._messages.receive(POLL_SECONDS)
        except TimeoutError:
            return True
        except HostUnreachableError as error:
            logger.info("%s", error)
            message = None
        if message is None:
            self._messages.close()
            self._reconnects -= 1
            logger.info("the websocket closed; going on by asking the history")
            self._messages = self._connect() if self._reconnects > 0 else None
            return True
        return isinstance(message, str) and self._read(message)

    def _read(self, message: str) -> bool:
        """Takes in what the host says; true if it says that the job has ended."""
        try:
            content = answers.mapping(json.loads(message))
        except (ValueError, RecursionError):
            logger.info("the websocket says what is no JSON; it is left aside")
            return False
        event, data = content.get("type"), answers.mapping(content.get("data"))
        if data.get("prompt_id") != self.prompt_id:
            return False
        if event == "execution_cached":
            self._done.update(map(str, answers.listed(data.get("nodes"))))
        elif event == "executing":
            self._next(data.get("node"))
        elif event == "progress":
            steps = (answers.whole(data.get(key)) for key in ("value", "max"))
            self._report(str(data.get("node") or self._current), *steps)
        if event in ("execution_success", "execution_error", "execution_interrupted"):
            time.sleep(0.05)  # the history fills a moment after the message
            return True
        return False

    def _next(self, node: object) -> None:
        if self._current:
            self._done.add(self._current)
        self._current = str(node or "")
        if self._current:
            self._report(self._current, 0, 0)

    def _report(self, node: str, step: int, steps: int) -> None:
        if self._progress is not None:
            title = title_of(self._workflow, node)
            self._progress(QueueProgress(title, step, steps, len(self._done - {node}), len(self._workflow)))


def _fetch(
    host: HostApi, nodes: list[answers.Shown], previews: bool, receiver: Receiver, result: QueueResult
) -> list[tuple[str, str]]:
    """Saves all files of a job; returns (title, reason) of those that did not come, which is no reason to stop."""
    lost, unanswered = [], 0
    for node in nodes:
        if node.texts:
            result.texts.setdefault(node.title, []).extend(node.texts)
        if node.lines:
            result.lines.setdefault(node.title, []).extend(node.lines)
        for file in node.files:
            if file.get("type") != "output" and not previews:
                continue
            name = file.get("filename", "")
            if file.get("type") != "output":  # a preview's own name is a random one
                name = answers.titled_name(node.title, PurePosixPath(name).suffix)
            try:
                name = harmless_name(name)
                if unanswered >= _GONE_AFTER:
                    raise HostUnreachableError("not asked for any more, as ComfyUI does not answer")
                result.images.append(receiver.save(name, host.view(file)))
                result.titles.append(node.title)
                unanswered = 0
            except GRefineError as error:
                unanswered += isinstance(error, HostUnreachableError)
                lost.append((node.title, f"{answers.words(name)}: {error}"))
    return lost


def _raise_failure(
    history: Mapping[str, Any], workflow: Workflow, result: QueueResult, lost: list[tuple[str, str]]
) -> None:
    blamed = (*result.missing, *lost)
    failed, stopped = answers.failed(history, workflow), answers.interrupted(history, workflow)
    if failed is not None:
        raise QueueError("a node failed in ComfyUI", (failed, *blamed), result)
    if stopped is not None:
        raise QueueCancelled(f"the workflow was stopped in ComfyUI, at {stopped}", blamed, result)
    status = answers.status(history)
    if status != "success":
        raise QueueError(f"the workflow ended with {status!r} in ComfyUI; its log says why", blamed, result)
    if lost:
        raise QueueError("not all results could be fetched from ComfyUI", blamed, result)


__all__ = ["HostUnreachableError", "QueueCancelled", "QueueError", "QueueProgress", "QueueResult", "run_workflow"]
