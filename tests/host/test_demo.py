"""The first command of the README where a ComfyUI is found: its own server, the shipped workflow, its queue."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from grefine_core.cli import main


def test_the_demo_goes_through_the_queue_and_writes_its_pictures(host_path, tmp_path, capsys):
    picture = tmp_path / "small.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (70, 101, 3), dtype=np.uint8)).save(picture)
    out = tmp_path / "out"
    code = main(["demo", "--comfyui", str(host_path), "--image", str(picture), "--prompt", "a red cup", "-o", str(out)])
    printed = capsys.readouterr().out
    assert code == 0
    assert "UNTRAINED" in printed
    report = json.loads((out / "Report as JSON.txt").read_text())
    assert report["prompt"] == "a red cup"
    assert {entry["stage"] for entry in report["guard"]} == {1, 2}
    (refined,) = out.glob("refined*.png")
    assert Image.open(refined).size == (101, 70)
    shown = {"Perceptual defects.png", "Alignment defects.png", "What will be redrawn.png", "Quality Report.png"}
    assert shown <= {path.name for path in out.iterdir()}


def test_a_folder_that_is_no_comfyui_is_named(tmp_path, capsys):
    assert main(["demo", "--comfyui", str(tmp_path), "-o", str(tmp_path / "out")]) == 1
    assert f"{tmp_path}: no ComfyUI there" in capsys.readouterr().err
