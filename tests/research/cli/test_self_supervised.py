"""``grefine train pq --self-supervised``."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from grefine_core import load_quality_model
from grefine_core.cli import main

from ...tiny_models import write_quality_model


def test_embeddings_from_good_pictures_alone(tmp_path, capsys):
    rng = np.random.default_rng(0)
    good = tmp_path / "good"
    good.mkdir()
    for number in range(5):
        coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        coarse.resize((60, 48), Image.Resampling.BICUBIC).save(good / f"{number}.png")
    models = write_quality_model(tmp_path / "models")
    target = tmp_path / "own.safetensors"
    command = ["train", "pq", "--self-supervised", "--images", str(good), "--clip", str(models / "clip.safetensors")]
    more = ["--copies", "20", "--epochs", "2", "--batch-size", "8", "--device", "cpu", "--work", str(tmp_path / "work")]
    assert main([*command, *more, "-o", str(target), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["pictures"], told["copies"]) == (5, 20)
    assert (tmp_path / "work" / "own.training.json").is_file()
    learned = load_quality_model(weights=models / "clip.safetensors", embeddings=target)
    assert learned.embedding_source == "own"
    assert learned.perceptual_bounds.score["overall"] < 1.0  # measured, not the paper's


def test_ratings_are_asked_for_where_there_are_to_be_some(capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["train", "pq", "--data", str(tmp_path)])
    assert stop.value.code == 2
    assert "--dataset" in capsys.readouterr().err
    assert main(["train", "pq", "--self-supervised", "--dataset", "miniature", "--data", str(tmp_path)]) == 1
    assert "no data set with ratings" in capsys.readouterr().err
