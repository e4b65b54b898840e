"""The reader of the host's messages against a real server, and against what is none."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from aiohttp import web

from grefine_core.comfyui.host_api import HostApi, WebSocketError


@pytest.fixture
def serve():
    """``serve(talk) -> HostApi`` of a server that runs ``await talk(socket)`` for each connection."""
    loops, apis = [], []

    def start(talk) -> HostApi:
        ready: list[int] = []
        loop = asyncio.new_event_loop()

        async def handle(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await talk(socket)
            return socket

        async def run() -> None:
            app = web.Application()
            app.router.add_get("/ws", handle)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            ready.append(site._server.sockets[0].getsockname()[1])

        def work() -> None:
            loop.run_until_complete(run())
            loop.run_forever()

        threading.Thread(target=work, daemon=True).start()
        loops.append(loop)
        while not ready:
            time.sleep(0.005)
        apis.append(HostApi(f"http://127.0.0.1:{ready[0]}"))
        return apis[-1]

    yield start
    for api in apis:
        api.close()
    for loop in loops:
        loop.call_soon_threadsafe(loop.stop)


def test_texts_and_bytes_of_every_length_arrive_whole_and_in_order(serve):
    texts = ["", "é", "a" * 125, "b" * 126, "c" * 65535, "d" * (5 << 20)]

    async def talk(socket):
        for text in texts:
            await socket.send_str(text)
        await socket.send_bytes(b"\x00\x01")
        await socket.close()

    with serve(talk).listen("x") as ws:
        assert [ws.receive(5) for _ in texts] == texts
        assert ws.receive(5) == b"\x00\x01"
        assert ws.receive(5) is None


def test_a_timeout_loses_nothing(serve):
    go = threading.Event()

    async def talk(socket):
        while not go.is_set():
            await asyncio.sleep(0.01)
        await socket.send_str("late")

    with serve(talk).listen("x") as ws:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                ws.receive(0.02)
        go.set()
        assert ws.receive(5) == "late"


def test_what_is_no_websocket_is_an_error(serve):
    async def talk(socket):
        await socket.close()

    with (
        HostApi(f"{serve(talk).url}/nothing") as api,
        pytest.raises(WebSocketError, match="does not offer a websocket"),
    ):
        api.listen("x")
    with HostApi("127.0.0.1:9") as api, pytest.raises(WebSocketError, match="cannot be reached"):
        api.listen("x")


def test_a_caller_with_a_loop_of_its_own_is_served(serve):
    """As in a notebook."""

    async def talk(socket):
        await socket.send_str("here")

    async def caller() -> str | bytes | None:
        with serve(talk).listen("x") as ws:
            return ws.receive(5)

    assert asyncio.run(caller()) == "here"


def test_closing_twice_does_no_harm(serve):
    async def talk(socket):
        await socket.receive()

    api = serve(talk)
    ws = api.listen("x")
    ws.close()
    ws.close()
    api.close()
    api.close()
