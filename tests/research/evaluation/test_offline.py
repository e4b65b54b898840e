"""Nothing is fetched behind the user's back."""

from __future__ import annotations

import socket
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from grefine_research.evaluation.offline import FetchRefusedError, no_downloads


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"here")

        def log_message(self, *args):
            pass

    running = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}/"
    running.shutdown()
    running.server_close()
    thread.join()


def test_other_machines_are_out_of_reach_inside_alone(server):
    with no_downloads():
        with pytest.raises(FetchRefusedError, match=r"weights\.example"):
            urllib.request.urlopen("http://weights.example/model.pth")
        with pytest.raises(FetchRefusedError, match=r"192\.0\.2\.1"):
            socket.create_connection(("192.0.2.1", 80), timeout=1)
        with pytest.raises(FetchRefusedError):
            socket.getaddrinfo("weights.example", 80)
        with no_downloads(allowed=True), pytest.raises(FetchRefusedError):
            socket.getaddrinfo("weights.example", 80)  # an inner permission does not lift an outer refusal
    with no_downloads(allowed=True):
        assert urllib.request.urlopen(server).read() == b"here"
    assert urllib.request.urlopen(server).read() == b"here"


def test_this_machine_itself_can_be_reached(server):
    port = int(server.rsplit(":", 1)[1].strip("/"))
    with no_downloads():
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_other_threads_are_left_alone(server):
    answers = []
    with no_downloads():
        thread = threading.Thread(target=lambda: answers.append(urllib.request.urlopen(server).read()))
        thread.start()
        thread.join()
    assert answers == [b"here"]
