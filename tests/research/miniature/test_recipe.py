"""The whole recipe: its stages in order, finished ones left alone, results gathered; bounds from validation scenes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from grefine_core.alignment.calibration import Calibration
from grefine_core.miniature.loading import load_miniature_quality_model
from grefine_research.miniature.training import __main__ as recipe
from grefine_research.miniature.training import calibration
from grefine_research.miniature.worlds import SECOND, WORLDS

from ...tiny_models.miniature import write_miniature_models


@pytest.mark.parametrize("start", [None, Path("given")])
@pytest.mark.parametrize("world", WORLDS.values(), ids=list(WORLDS))
def test_every_stage_reads_what_it_waits_for(tmp_path, start, world):
    given = {str(Path("given") / name) for name in ("clip.safetensors", "vae.safetensors", "unet.safetensors")}
    made: dict[str, set[str]] = {}
    for stage in recipe.stages(tmp_path, "cpu", world, start):
        assert set(stage.after) <= made.keys()
        there = given.union(*(made[name] for name in stage.after)) if start else set().union(*made.values())
        read = [argument for argument in stage.arguments if argument.endswith(".safetensors")]
        assert set(read) <= there
        made[stage.module] = {str(file) for file in (*stage.makes, *stage.ships)}
        assert any(world.name in argument for argument in stage.arguments)
    assert ("training.guide" in made) == (start is None)


def test_stages_side_by_side_wait_for_each_other(tmp_path, monkeypatch):
    ended, lock = [], threading.Lock()

    def stage(command):
        module = command[2].split("miniature.")[1]
        made = next(each for each in recipe.stages(tmp_path, "cpu", SECOND, tmp_path) if each.module == module)
        with lock:
            assert set(made.after) <= set(ended)
            for file in (*made.makes, *made.ships):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(module)
            ended.append(module)
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(recipe.subprocess, "run", stage)
    recipe.run(tmp_path, "cpu", SECOND, tmp_path, together=3)
    assert len(ended) == 6
    assert (tmp_path / "weights" / "text_encoder.safetensors").is_file()


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


def test_bounds_come_from_validation_scenes(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "_CLEAN", 32)
    write_miniature_models(tmp_path)
    made = calibration.calibrate(tmp_path, pictures=16)
    assert made.calibrated
    assert Calibration.load(tmp_path / "clip.safetensors.calibration.json") == made
    assert (tmp_path / "clip.banks.json").is_file()
    with_its_bounds = load_miniature_quality_model(folder=tmp_path)
    assert made.perceptual_bar == pytest.approx(calibration.clean_bar(with_its_bounds), abs=0.011)
