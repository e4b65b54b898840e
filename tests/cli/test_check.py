"""What `grefine check` says, and `grefine calibrate` without pictures of one's own."""

from __future__ import annotations

import json
import shutil

import pytest

from grefine_core import Calibration
from grefine_core.calibration import auto
from grefine_core.cli import main

from ..calibration.conftest import small_reference  # noqa: F401 - a fixture


@pytest.fixture
def weights(models, tmp_path, monkeypatch, small_reference):  # noqa: F811 - the fixture
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GREFINE_CALIBRATION")
    monkeypatch.setattr(auto, "load_reference", lambda: small_reference)
    folder = shutil.copytree(models / "quality", tmp_path / "quality")
    return ["--clip", str(folder / "clip.safetensors"), "--embeddings", str(folder / "pq_embeddings.safetensors")]


def test_untrained_weights_are_said_to_tell_nothing(weights, capsys):
    assert main(["check", *weights]) == 0
    said = capsys.readouterr().out
    assert "do not belong to these weights" in said
    assert "CANNOT be trusted, opens no gate" in said
    assert "can be trusted\n" not in said
    assert "Anatomy" in said
    assert "--self-supervised" in said

    assert main(["check", *weights, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["embeddings"] == "own"
    assert found["tokens in the embeddings"] == "other"
    assert found["pictures"] == 8
    assert 0.0 <= found["figures"]["perceptual"]["low"] <= found["figures"]["perceptual"]["value"] <= 1.0
    assert any("untrained" in note for note in found["notes"])


def test_words_for_weights_that_nothing_was_learned_for(weights, capsys):
    assert main(["check", *weights[:2], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["embeddings"] == "words"


def test_nothing_measured_is_said(weights, capsys):
    assert main(["check", *weights, "--calibration", "none"]) == 1
    assert "--calibration at auto" in capsys.readouterr().err


def test_calibrate_from_the_reference(weights, tmp_path, capsys):
    target = tmp_path / "bounds.json"
    assert main(["calibrate", *weights, "-o", str(target)]) == 0
    assert "8 reference pictures" in capsys.readouterr().out
    made = Calibration.load(target)
    assert made.pictures == 8
    assert made.perceptual is not None
    assert main(["check", *weights, "--calibration", str(target)]) == 0
    assert "Measured on 8 good pictures" in capsys.readouterr().out
