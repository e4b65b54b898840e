"""A stand-in for ComfyUI's HTTP interface whose answers the tests choose."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

import pytest
from aiohttp import web

from grefine_core.comfyui import queue


class FakeHost:
    """``history`` is what the queue ends with; ``refusal`` an answer of status 400; ``known`` false forgets the job.

    ``answers`` (status and content by path) take the place of its own, ``waits`` are paths without an answer,
    ``cuts`` those at which the connection breaks off, and ``says`` goes over the websocket, which is there only then.
    """

    def __init__(self) -> None:
        self.history: dict[str, Any] = {"outputs": {}, "status": {"status_str": "success", "messages": []}}
        self.refusal: dict[str, Any] | None = None
        self.polls_until_done = 1
        self.node_errors: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}
        self.posted: list[tuple[str, Any]] = []
        self.prompt: dict[str, Any] = {}
        self.known = True
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.waits: set[str] = set()
        self.cuts: set[str] = set()
        self.says: list[str | bytes] = []
        self.headers: Mapping[str, str] = {}
        self.url = ""

    def get(self, path: str) -> tuple[int, bytes]:
        if path.startswith("/history/"):
            self.polls_until_done -= 1
            done = self.polls_until_done <= 0 and self.known
            return 200, json.dumps({"job": self.history} if done else {}).encode()
        if path.startswith("/queue"):
            running = [[0, "job"]] if self.known else []
            return 200, json.dumps({"queue_running": running, "queue_pending": []}).encode()
        if path.startswith("/view"):
            name = unquote_plus(path.split("filename=")[1].split("&")[0])
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

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self.headers, path = request.headers, request.raw_path
        if path.startswith("/ws") and self.says:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            while self.paths().count("/prompt") < 1:
                await asyncio.sleep(0.005)
            for message in self.says:
                await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_str(message))
            await socket.close()
            return socket
        if path in self.waits:
            await asyncio.sleep(60)
        if path in self.cuts and request.transport is not None:
            request.transport.abort()
        body = await request.read()
        status, content = self.get(path) if request.method == "GET" else self.post(path, body)
        status, content = self.answers.get(path, (status, content))
        return web.Response(status=status, body=content)


@pytest.fixture
def fake_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    """A running stand-in; its address is ``fake_host.url``."""
    monkeypatch.setattr(queue, "POLL_SECONDS", 0.04)
    fake, loop, up = FakeHost(), asyncio.new_event_loop(), threading.Event()

    async def start() -> None:
        runner = web.ServerRunner(web.Server(fake.serve))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        fake.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"

    def work() -> None:
        loop.run_until_complete(start())
        loop.call_soon(up.set)  # not earlier: a stop that comes before the loop runs for good would be lost
        loop.run_forever()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    up.wait()
    yield fake
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
