"""A test's view of a running ComfyUI: queue a graph, wait, look at pictures, texts and which nodes ran."""

from __future__ import annotations

import contextlib
import io
import json
import time
import urllib.parse
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from grefine_core.comfyui.host_api import HostApi

END_EVENTS = ("execution_success", "execution_error", "execution_interrupted")


class PromptRejectedError(Exception):
    """The host refused a graph before running it; ``node_errors`` and ``error`` are its answer."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.error, self.node_errors = answer.get("error", {}), answer.get("node_errors", {})
        super().__init__(json.dumps(answer, indent=1)[:4000])


@dataclass
class Run:
    """What became of a graph.

    ``status`` is "success", "error" or "interrupted"; ``executed`` the ids of the nodes that the host began to run, in
    order, each once; ``cached`` those whose results it had already; ``outputs`` what nodes showed (``ui``), by node id;
    ``error`` the host's execution_error message; ``messages`` every websocket message (event, data, when) of this run.
    """

    prompt_id: str
    status: str
    outputs: dict[str, dict[str, Any]]
    executed: list[str]
    cached: list[str]
    error: dict[str, Any] | None
    messages: list[tuple[str, dict[str, Any], float]] = field(default_factory=list)
    client: HostClient | None = None

    def images(self, node: str, key: str = "images") -> list[np.ndarray]:
        """The pictures that a node saved or previewed: uint8 (H, W, 3 or 4)."""
        assert self.client is not None
        return [self.client.view(entry) for entry in self.outputs.get(node, {}).get(key, [])]

    def texts(self, node: str, key: str = "text") -> list[str]:
        """What a node showed as text (PreviewAny and the like)."""
        return [str(entry) for entry in self.outputs.get(node, {}).get(key, [])]

    @property
    def error_text(self) -> str:
        if not self.error:
            return ""
        return (
            f"{self.error.get('node_type')}: {self.error.get('exception_type')}: {self.error.get('exception_message')}"
        )

    def ok(self) -> Run:
        """This run, if it succeeded; else the test fails with the host's own words."""
        trace = "".join((self.error or {}).get("traceback", []))
        assert self.status == "success", f"{self.status}: {self.error_text}\n{trace}"
        return self


class HostClient:
    """Talks to the server at ``url`` under a client id of its own; ``close`` ends the websocket."""

    def __init__(self, url: str, input_dir: Path) -> None:
        self.url, self.input_dir = url, input_dir
        self.client_id = uuid.uuid4().hex
        self.api = HostApi(url)
        self.socket = self.api.listen(self.client_id)
        self._messages: dict[str, list[tuple[str, dict[str, Any], float]]] = {}

    def close(self) -> None:
        self.api.close()

    def get(self, path: str) -> Any:
        return self.api.get(path)

    def post(self, path: str, data: dict[str, Any]) -> Any:
        return self.api.post(path, data)[1]

    def object_info(self, node: str | None = None) -> dict[str, Any]:
        return self.get(f"/object_info/{urllib.parse.quote(node)}" if node else "/object_info")

    def put_image(self, image: np.ndarray, name: str) -> str:
        """Writes (H, W), (H, W, 3) or (H, W, 4), uint8 or float in [0, 1], as a PNG for LoadImage; returns its name."""
        if image.dtype != np.uint8:
            image = np.clip(np.rint(np.asarray(image, np.float64) * 255), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(self.input_dir / name)
        return name

    def start(self, graph: dict[str, Any]) -> str:
        """Queues ``graph`` (API format) and returns the prompt's id. Raises PromptRejectedError."""
        status, answer = self.api.post("/prompt", {"prompt": graph, "client_id": self.client_id})
        if status != 200:
            raise PromptRejectedError(answer)
        return str(answer["prompt_id"])

    def wait(self, prompt_id: str, timeout: float = 300.0) -> Run:
        """Waits until that prompt has ended, however it ended."""
        self.wait_for(prompt_id, lambda event, data: event in END_EVENTS, timeout)
        messages = self._messages.pop(prompt_id)
        end = next(event for event, _, _ in reversed(messages) if event in END_EVENTS)
        history = self._history(prompt_id)
        executed = [data["node"] for event, data, _ in messages if event == "executing" and data.get("node")]
        return Run(
            prompt_id=prompt_id,
            status=end.removeprefix("execution_"),
            outputs=history.get("outputs", {}),
            executed=list(dict.fromkeys(executed)),
            cached=[node for event, data, _ in messages if event == "execution_cached" for node in data["nodes"]],
            error=next((data for event, data, _ in messages if event == "execution_error"), None),
            messages=messages,
            client=self,
        )

    def wait_for(self, prompt_id: str, wanted: Any, timeout: float = 300.0) -> dict[str, Any]:
        """Reads messages until ``wanted(event, data)`` is true for one of that prompt; returns its data."""
        end = time.monotonic() + timeout
        for event, data, _ in self._messages.setdefault(prompt_id, []):
            if wanted(event, data):
                return data
        while time.monotonic() < end:
            try:
                message = self.socket.receive(timeout=max(0.05, end - time.monotonic()))
            except TimeoutError:
                break
            if message is None:
                raise ConnectionError("the host closed the connection: did it die?")
            if isinstance(message, bytes):
                continue  # a preview picture
            content = json.loads(message)
            event, data = content.get("type", ""), content.get("data") or {}
            if not isinstance(data, dict) or "prompt_id" not in data:
                continue
            self._messages.setdefault(data["prompt_id"], []).append((event, data, time.monotonic()))
            if data["prompt_id"] == prompt_id and wanted(event, data):
                return data
        raise TimeoutError(f"prompt {prompt_id}: not seen within {timeout:.0f} s")

    def run(self, graph: dict[str, Any], timeout: float = 300.0) -> Run:
        """Queues a graph and waits for its end."""
        return self.wait(self.start(graph), timeout)

    def interrupt(self) -> None:
        self.post("/interrupt", {})

    def free(self) -> None:
        """Empties the host's caches of results and models.

        The host does so after the next graph it runs, or when it happens to be idle; hence a small graph of its own.
        """
        self.post("/free", {"unload_models": True, "free_memory": True})
        empty = {"width": 8, "height": 8, "batch_size": 1, "color": uuid.uuid4().int % 0xFFFFFF}
        self.run(
            {
                "1": {"class_type": "EmptyImage", "inputs": empty},
                "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
            }
        ).ok()

    def view(self, entry: dict[str, Any]) -> np.ndarray:
        """A picture of the host's as uint8 (H, W, C); ``entry`` as in a node's ``ui`` images."""
        return np.asarray(Image.open(io.BytesIO(self.api.view(entry))))

    def _history(self, prompt_id: str) -> dict[str, Any]:
        """The history fills a moment after the last message."""
        for _ in range(200):
            with contextlib.suppress(KeyError):
                return self.get(f"/history/{prompt_id}")[prompt_id]
            time.sleep(0.05)
        raise TimeoutError(f"prompt {prompt_id} ended but never came to the history")
