"""Fetching on request, from a small server on this machine: whole, resumed, broken, refused."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import save

from grefine_core.errors import Cancelled, InputError, ModelFileError
from grefine_core.models import ModelEntry, download, entry_of, file_sha256

DATA = save({"weight": torch.arange(60000, dtype=torch.float32).reshape(200, 300)})
ENTRY = ModelEntry(
    id="tiny",
    title="Tiny",
    used_for="tests",
    licence="MIT",
    source="nowhere",
    names=("tiny.safetensors",),
    repository="org/repo",
    file="weights.safetensors",
    shapes={"weight": (200, 300)},
)


class Handler(BaseHTTPRequestHandler):
    data = DATA
    ranges = True
    stop_after: int | None = None
    seen: list[str | None]

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Range"))
        if self.path != "/org/repo/resolve/main/weights.safetensors":
            self.send_error(404)
            return
        start = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if wanted and self.ranges:
            start = int(wanted[1])
            if start >= len(self.data):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.data) - start))
        self.end_headers()
        self.wfile.write(self.data[start : self.stop_after])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    """The class of the server's handler; changing its attributes changes what it does."""
    handler = type("OwnHandler", (Handler,), {"seen": []})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{running.server_port}")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    yield handler
    running.shutdown()
    running.server_close()


def names(folder) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_fetching_a_file(server, tmp_path):
    seen = []
    found = download(ENTRY, tmp_path, lambda done, total: seen.append((done, total)))
    assert found.path == tmp_path / "tiny.safetensors"
    assert found.path.read_bytes() == DATA
    assert found.sha256 == file_sha256(found.path)
    assert names(tmp_path) == ["tiny.safetensors"]
    assert seen[-1] == (len(DATA), len(DATA))
    download(ENTRY, tmp_path)
    assert len(server.seen) == 1


def test_an_interrupted_download_is_continued(server, tmp_path):
    server.stop_after = 100_000
    with pytest.raises(ModelFileError, match=r"resolve/main/weights\.safetensors.*again to continue"):
        download(ENTRY, tmp_path)
    assert names(tmp_path) == ["tiny.safetensors.part"]
    server.stop_after = None
    assert download(ENTRY, tmp_path).path.read_bytes() == DATA
    assert server.seen == [None, "bytes=100000-"]
    assert names(tmp_path) == ["tiny.safetensors"]


def test_a_server_that_cannot_continue_starts_again(server, tmp_path):
    (tmp_path / "tiny.safetensors.part").write_bytes(b"x" * 1000)
    server.ranges = False
    assert download(ENTRY, tmp_path).path.read_bytes() == DATA


def test_a_part_that_is_whole_already(server, tmp_path):
    (tmp_path / "tiny.safetensors.part").write_bytes(DATA)
    assert download(ENTRY, tmp_path).path.read_bytes() == DATA


def test_stopping_keeps_what_is_there(server, tmp_path):
    def stop(done: int, total: int | None) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        download(ENTRY, tmp_path, stop)
    assert names(tmp_path) == ["tiny.safetensors.part"]


def test_something_else_than_the_file_is_thrown_away(server, tmp_path):
    server.data = b"<html>log in first</html>"
    with pytest.raises(ModelFileError, match="is not Tiny"):
        download(ENTRY, tmp_path)
    assert names(tmp_path) == []


def test_a_wrong_hash_is_thrown_away(server, tmp_path):
    with pytest.raises(ModelFileError, match="sha256"):
        download(replace(ENTRY, sha256="0" * 64), tmp_path)
    assert names(tmp_path) == []


def test_refusals_name_address_and_target(server, tmp_path, monkeypatch):
    with pytest.raises(ModelFileError, match=r"missing\.safetensors.*404.*tiny\.safetensors"):
        download(replace(ENTRY, file="missing.safetensors"), tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelFileError, match=r"127\.0\.0\.1:9.*tiny\.safetensors"):
        download(ENTRY, tmp_path, timeout=2)


def test_offline_nothing_is_asked(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelFileError, match=r"HF_HUB_OFFLINE.*org/repo.*tiny\.safetensors"):
        download(ENTRY, tmp_path)
    assert server.seen == []


def test_shipped_files_are_not_fetched(tmp_path):
    with pytest.raises(InputError, match="comes with the package"):
        download(entry_of("pq-embeddings"), tmp_path)
