"""``grefine demo`` with the library; through a ComfyUI: tests/host/test_demo.py. The models are untrained."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from grefine_core.cli import main
from grefine_core.cli.demo_run import WORKFLOW, node_settings
from grefine_core.comfyui.queue import QueueResult
from grefine_core.comfyui.workflow import read_workflow
from grefine_core.miniature.loading import SHIPPED, load_choices
from grefine_core.miniature.world import DEMO_INDEX
from grefine_research.miniature.generator import make_sample

#: Untrained maps mean nothing: a part is to be repainted whatever they say, and kept.
FORCED = ["--method", "top", "--top", "0.2", "--merge", "mean", "--mode", "paper", "--steps", "2", "--no-guard"]


@pytest.fixture(autouse=True)
def _models(miniature_folder, monkeypatch):
    monkeypatch.setenv("GREFINE_MINIATURE", str(miniature_folder))


def test_it_runs_everything_on_a_sample_and_writes_all_of_it(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["demo", "-o", str(out), *FORCED]) == 0
    printed = capsys.readouterr().out
    name = f"miniature-{DEMO_INDEX}"
    sample = make_sample("test", DEMO_INDEX)
    assert f"Prompt: {sample.caption.prompt}" in printed
    assert "Wrong with it, as it was drawn: " in printed
    maps = ("pq", "pq-defects", "aq-defects", "mask", "mask-composite", "pq-defects-overlay", "aq-defects-overlay")
    for kind in (*maps, "clean", "truth", "refined"):
        assert Image.open(out / f"{name}.{kind}.png").size == (128, 128), kind
        assert f"{name}.{kind}.png" in printed
    before, after = (np.asarray(Image.open(out / f"{name}{kind}.png")) for kind in ("", ".refined"))
    np.testing.assert_array_equal(before, np.round(sample.image * 255).astype(np.uint8))
    assert (before != after).any()
    sheet = Image.open(out / f"{name}.refined.sheet.png")
    assert sheet.size[0] > 128 < sheet.size[1]
    mapped, report = (json.loads((out / f"{name}{kind}.json").read_text()) for kind in ("", ".refined"))
    assert mapped["prompt"] == report["prompt"] == sample.caption.prompt
    assert mapped["emphasized_prompt"] == report["emphasized_prompt"]
    assert report["emphasized_prompt"] in printed
    assert report["changed"] is True


def test_another_sample_by_its_number(tmp_path, capsys):
    clean = next(index for index in range(20) if not make_sample("test", index).defects)
    assert (
        main(["demo", "--index", str(clean), "-o", str(tmp_path), "--perceptual-bar", "0", "--alignment-bar", "0"]) == 0
    )
    assert "Wrong with it, as it was drawn: nothing." in capsys.readouterr().out
    before, after = (Image.open(tmp_path / f"miniature-{clean}{kind}.png") for kind in ("", ".refined"))
    np.testing.assert_array_equal(np.asarray(before), np.asarray(after))
    assert main(["demo", "--index", "-1", "-o", str(tmp_path)]) == 1
    assert "index" in capsys.readouterr().err


def test_ones_own_picture_of_any_size_with_a_plain_word_about_the_models(tmp_path, capsys):
    picture = tmp_path / "mine.jpg"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (41, 70, 3), dtype=np.uint8)).save(picture)
    out = tmp_path / "out"
    assert main(["demo", "--image", str(picture), "--prompt", "a red cup", "-o", str(out), *FORCED]) == 0
    assert "They know nothing else" in (printed := capsys.readouterr().out)
    assert "say nothing about it" in printed
    report = json.loads((out / "mine.refined.json").read_text())
    assert "say nothing about it" in report["notes"][0]
    assert Image.open(out / "mine.refined.png").size == (70, 41)


def test_a_large_picture_is_made_smaller_and_that_is_said(tmp_path, capsys):
    picture = tmp_path / "large.png"
    Image.new("RGB", (900, 300), "white").save(picture)
    bars = ["--perceptual-bar", "0", "--alignment-bar", "0"]
    assert main(["demo", "--image", str(picture), "--prompt", "a red cup", "-o", str(tmp_path), *bars]) == 0
    assert "900x300 to 512x171" in capsys.readouterr().out
    assert Image.open(picture).size == (900, 300), "the user's file is left alone, even in the output folder"
    assert Image.open(tmp_path / "large.copy.png").size == (512, 171)


def test_the_prompt_may_be_in_the_pictures_metadata(tmp_path, capsys):
    assert main(["demo", "-o", str(tmp_path / "a"), *FORCED]) == 0
    again = str(tmp_path / "a" / f"miniature-{DEMO_INDEX}.png")
    assert main(["demo", "--image", again, "-o", str(tmp_path / "b"), *FORCED]) == 0
    names = [tmp_path / folder / f"miniature-{DEMO_INDEX}.refined.png" for folder in "ab"]
    first, second = (np.asarray(Image.open(name), dtype=int) for name in names)
    assert abs(first - second).max() <= 1


def test_a_picture_without_a_prompt_asks_for_it_and_a_sample_takes_none(tmp_path, capsys):
    Image.new("RGB", (32, 32)).save(tmp_path / "mine.png")
    assert main(["demo", "--image", str(tmp_path / "mine.png"), "-o", str(tmp_path / "out")]) == 1
    assert "Give --prompt" in capsys.readouterr().err
    assert main(["demo", "--prompt", "a red cup", "-o", str(tmp_path / "out")]) == 1
    assert "samples have their own prompts" in capsys.readouterr().err


def test_missing_models_are_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GREFINE_MINIATURE", str(tmp_path / "none"))
    assert main(["demo", "-o", str(tmp_path / "out")]) == 1
    assert "clip.json is missing" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["nowhere", "no/such/folder"])
def test_a_host_that_is_neither_folder_nor_address(tmp_path, capsys, host):
    assert main(["demo", "--host", host, "-o", str(tmp_path)]) == 1
    assert "neither the folder of a ComfyUI nor the address" in capsys.readouterr().err


def test_a_host_that_does_not_answer(tmp_path, capsys):
    assert main(["demo", "--host", "http://127.0.0.1:9", "-o", str(tmp_path)]) == 1
    assert "http://127.0.0.1:9" in capsys.readouterr().err


@pytest.fixture
def sent(monkeypatch) -> list[dict]:
    """Settings that would be sent to a ComfyUI."""
    settings: list[dict] = []

    def run(host, image, prompt, output, chosen, progress):
        settings.append(chosen)
        return "nowhere", QueueResult("0")

    monkeypatch.setattr("grefine_core.cli.demo_run.run_in_comfyui", run)
    return settings


def test_every_setting_has_its_place_in_the_workflow(tmp_path, sent):
    """With the command's own defaults the workflow stays as it is; and no setting goes to a node without that input."""
    assert main(["demo", "--host", "x", "-o", str(tmp_path)]) == 0
    nodes = [node for node in read_workflow(WORKFLOW).values() if node["class_type"] in sent[0]]
    assert {node["class_type"] for node in nodes} == set(sent[0])
    # The workflow has the choices of the shipped models, this command those of the models it was given.
    shipped = node_settings(load_choices(SHIPPED))
    for node in nodes:
        for name, value in shipped[node["class_type"]].items():
            assert node["inputs"][name] == value, (node["class_type"], name)
        assert sent[0][node["class_type"]].keys() == shipped[node["class_type"]].keys()


def test_options_reach_the_workflow(tmp_path, sent):
    assert (
        main(
            [
                "demo",
                "--host",
                "x",
                "-o",
                str(tmp_path),
                *FORCED,
                "--seed",
                "7",
                "--formula",
                "released",
                "--region-bar",
                "0.25",
            ]
        )
        == 0
    )
    assert sent[0]["GRefineBinarizeMap"]["top_share"] == 0.2
    assert sent[0]["GRefinePlan"]["steps"] == 2
    assert sent[0]["GRefinePlan"]["region_bar"] == 0.25
    assert sent[0]["GRefineNoHarmGuard"]["tolerance"] == 1.0
    assert sent[0]["GRefineNoHarmGuard"]["formula"] == sent[0]["GRefinePQMap"]["formula"] == "released"
    assert sent[0]["GRefineStage1Inpaint"]["seed"] == sent[0]["GRefineStage2Restore"]["seed"] == 7


def test_the_choices_beside_the_models_are_the_defaults(tmp_path, sent, miniature_folder, monkeypatch, capsys):
    models = shutil.copytree(miniature_folder, tmp_path / "models")
    plan, masks = (
        {"mode": "paper", "steps": 2, "region_bar": 0.375},
        {"merge": "mean", "method": "top", "top": 0.25, "min_area": 0.01},
    )
    chosen = {"options": {"plan": plan, "masks": masks, "guard": False}, "importance": [1.0, 0.5, 0.5], "guidance": 2.0}
    (models / "choices.json").write_text(json.dumps(chosen))
    monkeypatch.setenv("GREFINE_MINIATURE", str(models))
    out = tmp_path / "out"
    assert main(["demo", "--host", "x", "-o", str(out), "--top", "0.1"]) == 0
    assert (
        sent[0]["GRefineBinarizeMap"] | {"top_share": 0.1, "min_area": 0.01, "method": "top"}
        == sent[0]["GRefineBinarizeMap"]
    )
    assert (sent[0]["GRefinePlan"]["steps"], sent[0]["GRefineStage1Inpaint"]["cfg"]) == (2, 2.0)
    assert sent[0]["GRefinePlan"]["region_bar"] == 0.375
    assert sent[0]["GRefineNoHarmGuard"]["importance_rational"] == 0.5
    assert sent[0]["GRefineNoHarmGuard"]["tolerance"] == 1.0
    assert main(["demo", "-o", str(out), "--top", "0.1", "--overwrite"]) == 0
    report = json.loads((out / f"miniature-{DEMO_INDEX}.refined.json").read_text())
    assert "1 steps" in report["plan"]["reason"]
    assert report["changed"] is True
    assert report["masked_area"] < 0.25
