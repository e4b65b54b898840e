"""Fetching on request, from a small server on this machine: whole, resumed, broken, refused."""

from __future__ import annotations

import hashlib
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from grefine_core.errors import Cancelled, InputError, ModelFileError
from grefine_core.models import download, entry_of, file_sha256

from .hub import DATA, ENTRY


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


def test_the_hash_that_the_hub_announces_is_checked(server, tmp_path):
    server.hub_sha256 = hashlib.sha256(DATA).hexdigest()
    found = download(ENTRY, tmp_path)
    assert (found.hash_known, found.hash_from_hub) == (False, True)
    found.path.unlink()
    damaged = bytearray(DATA)
    damaged[-1] ^= 1  # the same names and shapes: nothing else would notice
    server.data = bytes(damaged)
    with pytest.raises(ModelFileError, match=rf"thrown away.*{server.hub_sha256} is in the hub's metadata"):
        download(ENTRY, tmp_path)
    assert names(tmp_path) == []


def test_an_interrupted_download_is_continued_behind_a_redirection(server, tmp_path):
    server.hub_sha256 = hashlib.sha256(DATA).hexdigest()
    server.stop_after = 100_000
    with pytest.raises(ModelFileError, match="again to continue"):
        download(ENTRY, tmp_path)
    server.stop_after = None
    assert download(ENTRY, tmp_path).hash_from_hub
    assert server.seen == [None, "bytes=100000-"]


def test_a_beginning_of_another_file_is_given_up(server, tmp_path):
    """Continued, it would have the right length and the wrong content."""
    server.hub_sha256 = hashlib.sha256(DATA).hexdigest()
    (tmp_path / "tiny.safetensors.part").write_bytes(DATA[:50_000][::-1])
    assert download(ENTRY, tmp_path).path.read_bytes() == DATA
    assert server.seen == ["bytes=50000-", None]


def test_a_disk_that_is_too_small_is_noticed_before_anything_is_fetched(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ModelFileError, match=r"tiny\.safetensors.*free.*--folder"):
        download(ENTRY, tmp_path)
    assert names(tmp_path) == []


def test_a_disk_that_gets_full_is_named_and_what_came_is_kept(server, tmp_path):
    with pytest.raises(ModelFileError, match=r"cannot be written.*run it again"), limit_of_files(100_000):
        download(ENTRY, tmp_path)
    assert names(tmp_path) == ["tiny.safetensors.part"]
    assert download(ENTRY, tmp_path).path.read_bytes() == DATA


@contextmanager
def limit_of_files(size: int) -> Iterator[None]:
    """No file of this process gets longer than that: the system's own error, as when the disk is full."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
