"""Whatever a server sends, a file gets its name only when it is the file; and nothing goes on for ever."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from grefine_core.errors import ModelFileError
from grefine_core.models import download

from .hub import DATA, ENTRY

SIZE = len(DATA)
KNOWN = replace(ENTRY, size=SIZE)
OLD = DATA[:5000] + bytes(len(DATA) - 5000)


@pytest.fixture
def answer(server, monkeypatch):
    """A server that does what the function given to it says; the headers of all requests so far."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        does = staticmethod(lambda handler, start: None)

        def do_GET(self):
            seen.append(self.headers)
            given = self.headers.get("Range")
            with contextlib.suppress(OSError):  # the other side may have had enough
                self.does(self, int(given[6:-1]) if given else 0)
            self.close_connection = True

        def log_message(self, *args):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{running.server_port}")

    def use(does):
        Handler.does = staticmethod(does)
        return seen

    yield use
    running.shutdown()
    running.server_close()


def send(handler, body: bytes, code: int = 200, **headers) -> None:
    handler.send_response(code)
    for name, value in {"Content_Length": len(body), **headers}.items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(body)


def names(folder) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def rest(handler, start, **headers):
    place = {"Content_Range": f"bytes {start}-{SIZE - 1}/{SIZE}"} if start else {}
    send(handler, DATA[start:], 206 if start else 200, **place, **headers)


@pytest.mark.parametrize("said", ["bytes 4-{end}/{size}", "bytes {next}-{end}/{size}", "bytes */{size}", "nonsense"])
def test_another_part_than_was_asked_for_is_not_appended(answer, tmp_path, said):
    def other(handler, start):
        if not start:
            return send(handler, DATA)
        text = said.format(end=SIZE - 1, size=SIZE, next=start + 1)
        return send(handler, DATA[start:][::-1], 206, Content_Range=text)

    seen = answer(other)
    (tmp_path / "tiny.safetensors.part").write_bytes(DATA[:100_000])
    assert download(KNOWN, tmp_path).path.read_bytes() == DATA
    assert len(seen) == 2


@pytest.mark.parametrize("marks", [{"ETag": '"new"'}, {"Last_Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}])
def test_an_older_beginning_and_a_newer_end_are_not_put_together(answer, tmp_path, marks):
    answer(lambda handler, start: rest(handler, start, **marks))
    (tmp_path / "tiny.safetensors.part").write_bytes(OLD[:100_000])
    assert download(KNOWN, tmp_path).path.read_bytes() == DATA
    assert names(tmp_path) == ["tiny.safetensors"]


def test_the_rest_of_the_same_version_is_appended(answer, tmp_path):
    def broken(handler, start):
        handler.send_response(200)
        handler.send_header("Content-Length", str(SIZE))
        handler.send_header("ETag", '"same"')
        handler.end_headers()
        handler.wfile.write(DATA[:100_000])

    answer(broken)
    with pytest.raises(ModelFileError, match="again to continue"):
        download(KNOWN, tmp_path)
    seen = answer(lambda handler, start: rest(handler, start, ETag='"same"'))
    assert download(KNOWN, tmp_path).path.read_bytes() == DATA
    assert [headers.get("Range") for headers in seen] == [None, "bytes=100000-"]
    assert names(tmp_path) == ["tiny.safetensors"]


def test_an_answer_without_an_end_is_ended(answer, tmp_path):
    def endless(handler, start):
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(1 << 16))

    answer(endless)
    most = []
    with pytest.raises(ModelFileError, match=r"is not Tiny.*more than"):
        download(KNOWN, tmp_path, lambda done, total: most.append(done))
    assert max(most) <= 2 * SIZE
    assert names(tmp_path) == []


def test_far_more_than_the_file_has_is_refused_before_it_is_fetched(answer, tmp_path):
    answer(lambda handler, start: send(handler, DATA, Content_Length=10 * SIZE))
    with pytest.raises(ModelFileError, match="far more than Tiny has"):
        download(KNOWN, tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1e3", "²".encode().decode("latin-1"), ""])
def test_lengths_that_are_none_say_nothing(answer, tmp_path, length):
    answer(lambda handler, start: send(handler, DATA, Content_Length=length))
    assert download(KNOWN, tmp_path).path.read_bytes() == DATA


@pytest.mark.parametrize("place", ["http://[::1", "http://a..b/", "file:///etc/passwd", "ftp://127.0.0.1/x", "/round"])
def test_where_it_cannot_be_sent_on_to(answer, tmp_path, place):
    answer(lambda handler, start: send(handler, b"", 302, Location=place))
    with pytest.raises(ModelFileError, match=r"127\.0\.0\.1.*tiny\.safetensors"):
        download(KNOWN, tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (401, "gated.*log in"),
        (403, "gated.*log in"),
        (404, "no such file"),
        (429, "too many requests; try again in 30 seconds"),
        (500, "in trouble"),
        (503, "in trouble"),
    ],
)
def test_refusals_say_what_to_do_and_keep_what_is_there(answer, tmp_path, code, advice):
    answer(lambda handler, start: send(handler, b"no", code, Retry_After=30))
    part = tmp_path / "tiny.safetensors.part"
    part.write_bytes(DATA[:1000])
    with pytest.raises(ModelFileError, match=rf"{code}.*{advice}.*[Nn]othing was saved as .*tiny\.safetensors"):
        download(KNOWN, tmp_path)
    assert part.read_bytes() == DATA[:1000]


def test_a_web_page_is_no_file(answer, tmp_path):
    answer(lambda handler, start: send(handler, b"<html>log in</html>", Content_Type="text/html; charset=utf-8"))
    with pytest.raises(ModelFileError, match="a web page instead of the file"):
        download(KNOWN, tmp_path)
    assert names(tmp_path) == []


def test_two_at_once_fetch_it_once(answer, tmp_path):
    both = threading.Event()

    def slow(handler, start):
        handler.send_response(200)
        handler.send_header("Content-Length", str(SIZE))
        handler.send_header("X-Linked-Etag", f'"{hashlib.sha256(DATA).hexdigest()}"')
        handler.end_headers()
        handler.wfile.write(DATA[:100_000])
        handler.wfile.flush()
        both.wait(30)
        handler.wfile.write(DATA[100_000:])

    seen, found, waiting = answer(slow), [], threading.Event()
    first = threading.Thread(target=lambda: found.append(download(KNOWN, tmp_path)))
    first.start()
    part = tmp_path / "tiny.safetensors.part"
    end = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size == 100_000) and time.monotonic() < end:
        time.sleep(0.01)
    second = threading.Thread(target=lambda: found.append(download(KNOWN, tmp_path, lambda done, total: waiting.set())))
    second.start()
    assert waiting.wait(30)
    both.set()
    first.join(30)
    second.join(30)
    assert len(found) == 2
    assert len(seen) == 1
    assert (tmp_path / "tiny.safetensors").read_bytes() == DATA
    assert names(tmp_path) == ["tiny.safetensors"]


def test_a_file_that_comes_there_in_the_meantime_stays(answer, tmp_path):
    answer(lambda handler, start: send(handler, DATA))
    own = tmp_path / "tiny.safetensors"
    with pytest.raises(ModelFileError, match=r"tiny\.safetensors"):
        download(KNOWN, tmp_path, lambda done, total: own.write_bytes(b"the user's"))
    assert own.read_bytes() == b"the user's"
    assert names(tmp_path) == ["tiny.safetensors"]


def test_what_is_not_finished_has_no_ending_that_is_loaded(answer, tmp_path):
    answer(lambda handler, start: send(handler, DATA))
    during = []
    download(KNOWN, tmp_path, lambda done, total: during.extend(names(tmp_path)))
    assert set(during) == {"tiny.safetensors.part"}


def test_the_token_goes_to_the_hub_alone(answer, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    def store(handler, start):
        if handler.path.startswith("/org/"):
            return send(handler, b"", 302, Location=f"http://localhost:{handler.server.server_port}/store")
        return send(handler, DATA)

    seen = answer(store)
    download(KNOWN, tmp_path)
    assert [headers.get("Authorization") for headers in seen] == ["Bearer hf_secret", None]


@pytest.mark.parametrize("kind", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_this_machine_needs_no_proxy(answer, tmp_path, monkeypatch, kind):
    monkeypatch.setenv(kind, "http://127.0.0.1:9")
    answer(lambda handler, start: send(handler, DATA))
    assert download(KNOWN, tmp_path).path.read_bytes() == DATA


def test_other_machines_are_asked_through_the_proxy(answer, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", os.environ["HF_ENDPOINT"])
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    seen = answer(lambda handler, start: send(handler, DATA))
    assert download(KNOWN, tmp_path).path.read_bytes() == DATA
    assert seen[0]["Host"] == "hub.invalid"
    assert seen[0]["Authorization"] is None
