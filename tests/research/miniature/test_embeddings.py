"""Training of the miniature embeddings: the whole command on a handful of pictures, and again from what it kept."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from grefine_core import load_quality_model
from grefine_core.errors import InputError
from grefine_research.miniature.generator import make_sample
from grefine_research.miniature.sample import FACTORS
from grefine_research.miniature.training import embedding_data
from grefine_research.miniature.training.embeddings import DEFAULTS, main
from grefine_research.training import PromptTuningOptions
from grefine_research.training.settings import parse_settings

from ...tiny_models import write_quality_model


def test_the_command(tmp_path, monkeypatch):
    write_quality_model(tmp_path / "clip")
    arguments = ["--clip", tmp_path / "clip" / "clip.safetensors", "--out", tmp_path / "out", "--work",
                 tmp_path / "work", "--pictures", 12, "--validation", 8, "--map-samples", 2, "--processes", 1, "--set",
                 "epochs=2"]  # fmt: skip
    main([str(argument) for argument in arguments])
    file = tmp_path / "out" / "pq_embeddings.safetensors"
    first = file.read_bytes()
    log = json.loads((tmp_path / "out" / "pq_embeddings.training.json").read_text())
    assert {"technical", "rational", "natural", "PS", "patches PS", "scenes iou"} <= set(log["figures"])
    assert log["seed"] == 0
    assert log["date"]
    assert log["arguments"]["pictures"] == 12
    assert str(tmp_path) not in json.dumps(log)
    model = load_quality_model(weights=tmp_path / "clip" / "clip.safetensors", embeddings=file)
    assert model.perceptual_bounds.score == log["bounds"]["score"]

    def no_drawing(task):
        raise AssertionError("drawn again")

    monkeypatch.setattr(embedding_data, "_draw_part", no_drawing)
    main([str(argument) for argument in arguments])
    assert sorted(file.read_bytes()) == sorted(first)


def test_pictures_and_labels_are_those_of_the_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding_data, "PART", 4)
    drawn = embedding_data.Pictures(tmp_path, "train", 6, processes=1)
    pictures = list(drawn.read([drawn.keys[5], drawn.keys[1]]))
    targets = drawn.targets(overall=False)
    for index, picture in ((5, pictures[0]), (1, pictures[1])):
        sample = make_sample("train", index)
        torch.testing.assert_close(picture, torch.from_numpy(sample.image), atol=1 / 500, rtol=0)
        for name in FACTORS:
            assert targets.factors[name][index] == pytest.approx(1 - sample.severity(name), abs=1e-6)
        assert targets.mos is not None
        assert targets.mos[index] == pytest.approx(1 - sample.severity(), abs=1e-6)
    assert set(targets.factors) == set(FACTORS)
    assert "overall" in drawn.targets(overall=True).factors


def test_no_mask_is_kept_for_training(tmp_path):
    embedding_data.Pictures(tmp_path, "train", 2, processes=1)
    for file in tmp_path.iterdir():
        with np.load(file) as content:
            assert {name: content[name].shape for name in content} == {
                "images": (2, 128, 128, 3),
                "severity": (2, len(FACTORS)),
            }


def test_settings():
    found = parse_settings(["epochs=3", "patch_weight=0.5", "pool=mean"], DEFAULTS)
    assert (found.epochs, found.patch_weight, found.pool) == (3, 0.5, "mean")
    assert found.words == DEFAULTS.words
    for bad in ("sharpness=1", "words=good", "epochs=many", "pool=max"):
        with pytest.raises(InputError, match=bad.split("=")[0]):
            parse_settings([bad], PromptTuningOptions())
