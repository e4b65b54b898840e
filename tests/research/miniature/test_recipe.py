"""The whole recipe: its stages in order, finished ones left alone, results gathered; bounds from validation scenes."""

from __future__ import annotations

import pytest

from grefine_core.alignment.calibration import Calibration
from grefine_research.miniature.training import __main__ as recipe
from grefine_research.miniature.training.calibration import calibrate

from ...tiny_models.miniature import write_miniature_models


def test_every_stage_reads_what_earlier_ones_make(tmp_path):
    made = set()
    for stage in recipe.stages(tmp_path, "cpu"):
        read = [argument for argument in stage.arguments if argument.endswith(".safetensors")]
        assert all(argument in made for argument in read)
        made |= {str(file) for file in (*stage.makes, *stage.ships)}


def test_finished_stages_are_left_alone_and_gathered(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(recipe.subprocess, "run", lambda command: ran.append(command[2]))
    for stage in recipe.stages(tmp_path, "cpu"):
        for file in (*stage.makes, *stage.ships):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(file.name)
    weights = recipe.run(tmp_path, "cpu")
    assert ran == []
    assert {"clip.safetensors", "clip.log.jsonl", "vae.safetensors", "unet.safetensors"} <= {
        file.name for file in weights.iterdir()
    }


def test_a_failed_stage_stops_the_recipe(tmp_path, monkeypatch):
    class Failed:
        returncode = 3

    monkeypatch.setattr(recipe.subprocess, "run", lambda command: Failed())
    with pytest.raises(SystemExit, match=r"training\.guide"):
        recipe.run(tmp_path, "cpu")
    assert not (tmp_path / "clip" / "done").exists()


def test_bounds_come_from_validation_scenes(tmp_path):
    write_miniature_models(tmp_path)
    made = calibrate(tmp_path, pictures=16)
    assert made.calibrated
    assert Calibration.load(tmp_path / "clip.safetensors.calibration.json") == made
    assert (tmp_path / "clip.banks.json").is_file()
