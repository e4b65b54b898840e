"""The first command of the README where a ComfyUI is found or given: the miniature workflow, through its queue."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from grefine_core.cli import main
from grefine_core.miniature.world import DEMO_INDEX
from grefine_research.miniature.generator import make_sample

FORCED = ["--method", "top", "--top", "0.2", "--merge", "mean", "--mode", "paper", "--steps", "2", "--no-guard"]
SHOWN = "Quality Report.png"


@pytest.fixture
def _untrained(miniature_folder, monkeypatch):
    monkeypatch.setenv("GREFINE_MINIATURE", str(miniature_folder))


def report_of(out: Path) -> dict:
    return json.loads((out / "Report as JSON.txt").read_text())


@pytest.mark.usefixtures("_untrained")
def test_it_starts_the_host_of_a_folder(host_path, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["demo", "--host", str(host_path), "-o", str(out), *FORCED]) == 0
    printed = capsys.readouterr().out
    assert f"at {host_path}" in printed
    sample = make_sample("test", DEMO_INDEX)
    report = report_of(out)
    assert json.loads((out / f"miniature-{DEMO_INDEX}.refined.json").read_text()) == report
    assert f"Emphasised prompt: {report['emphasized_prompt']}" in printed
    assert report["prompt"] == sample.caption.prompt
    assert {entry["stage"] for entry in report["guard"]} == {1, 2}
    (refined,) = out.glob("refined*.png")
    after = np.asarray(Image.open(refined))
    assert after.shape == sample.image.shape
    assert (after != np.round(sample.image * 255)).any()
    assert {path.name for path in out.iterdir()} >= {
        SHOWN,
        f"miniature-{DEMO_INDEX}.png",
        f"miniature-{DEMO_INDEX}.truth.png",
    }


def test_a_server_that_runs_is_only_sent_the_job(host_server, tmp_path):
    picture = tmp_path / "small.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (70, 101, 3), dtype=np.uint8)).save(picture)
    out = tmp_path / "out"
    arguments = [
        "demo",
        "--host",
        host_server.url,
        "--image",
        str(picture),
        "--prompt",
        "a red cup",
        "-o",
        str(out),
        *FORCED,
    ]
    assert main(arguments) == 0
    assert report_of(out)["prompt"] == "a red cup"
    (refined,) = out.glob("refined*.png")
    assert Image.open(refined).size == (101, 70)


def test_a_server_without_the_pack_is_told_so(start_server, tmp_path, capsys):
    """Somebody's ComfyUI, where this pack is not installed."""
    server = start_server(arguments=("--disable-all-custom-nodes",))
    assert main(["demo", "--host", server.url, "-o", str(tmp_path)]) == 1
    assert "has no node GRefineLoadMiniature" in capsys.readouterr().err


def test_a_folder_that_is_no_comfyui_is_named(tmp_path, capsys):
    assert main(["demo", "--host", str(tmp_path), "-o", str(tmp_path / "out")]) == 1
    assert f"{tmp_path}: no ComfyUI there" in capsys.readouterr().err
