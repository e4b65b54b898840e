"""Keys of files, and calibrations that are kept whole or not at all."""

from __future__ import annotations

import os

import pytest

from grefine_core import Calibration
from grefine_core.calibration import store


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "clip.safetensors").write_bytes(os.urandom(200_000))
    return folder / "clip.safetensors"


def test_keys_change_with_the_files_and_the_settings(weights):
    key = store.key_of(weights, (224, 224), "words")
    assert store.key_of(weights, (224, 224), "words") == key
    assert store.key_of(weights, (448, 448), "words") != key
    found = weights.stat()
    content = bytearray(weights.read_bytes())
    content[10] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(found.st_atime_ns, found.st_mtime_ns))
    changed = store.key_of(weights, (224, 224), "words")
    assert changed != key
    os.utime(weights, ns=(found.st_atime_ns, found.st_mtime_ns + 10**9))
    assert store.key_of(weights, (224, 224), "words") != changed


def test_kept_beside_the_weights_and_never_as_a_users_own(weights):
    own = Calibration(pictures=1, key="k" * 32)
    kept = store.keep(own, weights, own.key)
    assert kept is not None
    assert kept.parent == weights.parent / "calibrations"
    assert store.find(weights, own.key) == own
    assert store.find(weights, "another key") is None
    assert not weights.with_name(weights.name + ".calibration.json").exists()
    store.keep(own, weights, own.key)
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_in_the_cache_where_the_folder_cannot_be_written_to(weights, caplog):
    (weights.parent / "calibrations").write_text("in the way")
    own = Calibration(pictures=1, key="k" * 32)
    kept = store.keep(own, weights, own.key)
    assert kept is not None
    assert kept.is_relative_to(os.environ["HOME"])
    assert store.find(weights, own.key) == own
    home = kept.parent
    kept.unlink()
    home.rmdir()
    home.write_text("in the way, too")
    assert store.keep(own, weights, own.key) is None
    assert "cannot be kept" in caplog.text
    assert store.find(weights, own.key) is None


def test_nothing_is_written_into_a_hubs_cache(weights):
    snapshot = weights.parent / "hub" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    file = snapshot / "open_clip_model.safetensors"
    file.write_bytes(b"weights")
    kept = store.keep(Calibration(pictures=1, key="k"), file, "k")
    assert kept is not None
    assert kept.is_relative_to(os.environ["HOME"])
    assert [path.name for path in snapshot.iterdir()] == [file.name]


def test_a_damaged_one_is_measured_anew(weights, caplog):
    own = Calibration(pictures=1, key="k" * 32)
    kept = store.keep(own, weights, own.key)
    assert kept is not None
    kept.write_text(kept.read_text()[:40])
    assert store.find(weights, own.key) is None
    assert "measured anew" in caplog.text
