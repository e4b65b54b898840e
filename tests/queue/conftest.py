"""A stand-in for ComfyUI's HTTP interface whose answers the tests choose."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from grefine_core import queue


class FakeHost:
    """``history`` is what the queue ends with; ``refusal`` an answer of status 400; ``known`` false forgets the job."""

    def __init__(self) -> None:
        self.history: dict[str, Any] = {"outputs": {}, "status": {"status_str": "success", "messages": []}}
        self.refusal: dict[str, Any] | None = None
        self.polls_until_done = 1
        self.node_errors: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}
        self.posted: list[tuple[str, Any]] = []
        self.prompt: dict[str, Any] = {}
        self.known = True

    def get(self, path: str) -> tuple[int, bytes]:
        if path.startswith("/history/"):
            self.polls_until_done -= 1
            done = self.polls_until_done <= 0 and self.known
            return 200, json.dumps({"job": self.history} if done else {}).encode()
        if path.startswith("/queue"):
            running = [[0, "job"]] if self.known else []
            return 200, json.dumps({"queue_running": running, "queue_pending": []}).encode()
        if path.startswith("/view"):
            name = path.split("filename=")[1].split("&")[0]
            return (200, self.files[name]) if name in self.files else (404, b"")
        return 404, b"not found"

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        if path == "/upload/image":
            self.posted.append((path, body))
            name = body.split(b'filename="')[1].split(b'"')[0].decode()
            return 200, json.dumps({"name": name, "subfolder": "", "type": "input"}).encode()
        data = json.loads(body)
        self.posted.append((path, data))
        if path == "/prompt":
            self.prompt = data["prompt"]
            if self.refusal is not None:
                return 400, json.dumps(self.refusal).encode()
            return 200, json.dumps({"prompt_id": "job", "number": 1, "node_errors": self.node_errors}).encode()
        return 200, b""

    def paths(self) -> list[str]:
        return [path for path, _ in self.posted]


@pytest.fixture
def fake_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    """A running stand-in; its address is ``fake_host.url``."""
    monkeypatch.setattr(queue, "POLL_SECONDS", 0.04)
    fake = FakeHost()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(*fake.get(self.path))

        def do_POST(self) -> None:
            self._answer(*fake.post(self.path, self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    yield fake
    server.shutdown()
    server.server_close()
