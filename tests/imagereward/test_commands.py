"""The choice of the encoder on the command line."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from grefine_core.alignment import Bounds, Calibration
from grefine_core.cli import main

from ..tiny_models import write_image_reward, write_quality_model


@pytest.fixture
def arguments(tmp_path):
    clip = write_quality_model(tmp_path / "clip")
    encoder = write_image_reward(tmp_path / "reward") / "ImageReward.safetensors"
    files = ["--clip", str(clip / "clip.safetensors"), "--embeddings", str(clip / "pq_embeddings.safetensors")]
    return [*files, "--alignment-encoder", str(encoder), "--device", "cpu"]


@pytest.fixture
def picture(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.linear_gradient("L").convert("RGB").resize((60, 45)).save(folder / "a.png")
    (folder / "a.txt").write_text("a red cup on an (old table:1.2)")
    return folder / "a.png"


def test_score(picture, arguments, capsys):
    assert main(["score", str(picture), *arguments, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert isinstance(found["reward"], float)
    assert [phrase["text"] for phrase in found["phrases"]] == ["red cup", "old table"]
    assert main(["score", str(picture), *arguments]) == 0
    assert f"reward      {found['reward']:+.3f}" in capsys.readouterr().out
    assert main(["score", str(picture), *arguments[:4], "--json"]) == 0
    (clip,) = json.loads(capsys.readouterr().out)
    assert "reward" not in clip
    assert clip["perceptual"] == found["perceptual"]
    assert clip["alignment"] != found["alignment"]


def test_maps_by_each_way(picture, arguments, tmp_path):
    everything = Bounds(0.001, 1.0)  # every phrase is there, and none as described: marked at its own map
    table = Calibration(bounds={"contrast": everything, "softmax": everything}, pictures=1).save(tmp_path / "all.json")
    shown = set()
    for way in ("gradient", "values", "slices"):
        out = tmp_path / way
        options = ["--alignment-maps", way, "--calibration", str(table), "-o", str(out)]
        assert main(["maps", str(picture), *arguments, *options]) == 0
        shown.add(Image.open(out / "a.aq-defects.png").tobytes())
    assert len(shown) == 3


def test_calibrate_writes_beside_the_encoder(picture, arguments, tmp_path, capsys):
    assert main(["calibrate", "--images", str(picture.parent), *arguments]) == 0
    made = json.loads((tmp_path / "reward" / "ImageReward.safetensors.calibration.json").read_text())
    assert (made["model"], made["pictures"]) == ("ImageReward", 1)
    assert not list((tmp_path / "clip").glob("*.calibration.json"))


def test_a_missing_vocabulary_is_a_message(picture, arguments, tmp_path, capsys, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GREFINE_MODELS", raising=False)
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    (tmp_path / "reward" / "vocab.txt").unlink()
    assert main(["score", str(picture), *arguments]) == 1
    message = capsys.readouterr().err
    assert "bert-base-uncased-vocab.txt" in message
    assert "grefine models download bert-base-uncased-vocab" in message
