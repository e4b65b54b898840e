"""``grefine train``: real prompts and ratings with stand-in pictures, from the data set to files that load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from grefine_core import load_quality_model
from grefine_core.alignment.calibration import Calibration
from grefine_core.cli import main
from grefine_core.clip.embeddings import FACTORS, load_text_features
from grefine_core.models.files import read_metadata, read_tensors


@pytest.fixture(scope="module")
def weights(models) -> Path:
    return models / "quality" / "clip.safetensors"


@pytest.fixture
def pq(agiqa, weights, tmp_path):
    """Arguments of a short training of PQ-Map; more may follow."""

    def arguments(name: str, *more: object) -> list[str]:
        fixed = ["train", "pq", "--dataset", "agiqa-3k", "--data", agiqa, "--clip", weights, "--device", "cpu",
                 "--work", tmp_path / f"work-{name}", "-o", tmp_path / "out" / f"{name}.safetensors",
                 "--learning-rate", 0.02]  # fmt: skip
        return [str(one) for one in (*fixed, *more)]

    return arguments


def content(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    return read_tensors(file), read_metadata(file)


def test_pq_learns_opinions(pq, weights, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    assert main(pq("first", "--epochs", 25, "--validation-share", 0.25)) == 0
    lines = capsys.readouterr().out.splitlines()
    file = tmp_path / "out" / "first.safetensors"
    assert lines[-1].startswith(f"{file}: give it to --embeddings; Load Quality Model lists it")
    log = json.loads((tmp_path / "work-first" / "first.training.json").read_text())
    # The worse the rating the darker a stand-in: even a CLIP that was never trained sees that.
    assert log["figures"]["PS"] > 0.4
    assert log["labels"]["mos"] == "perception"
    assert log["data"]["train"] + log["data"]["validation"] == log["data"]["pictures"]
    assert log["options"]["seed"] == 0
    assert set(log["versions"]) == {"grefine", "python", "torch", "open_clip"}
    model = load_quality_model(weights=weights, embeddings=file)
    assert model.perceptual_bounds.score == log["bounds"]["score"]
    assert read_metadata(file)["dataset"] == "AGIQA-3K"


def test_the_result_lies_where_it_is_listed(pq, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("GREFINE_MODELS", raising=False)
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "ComfyUI"))
    arguments = pq("listed", "--epochs", 1, "--limit", 40)
    place = arguments.index("-o")
    assert main([*arguments[:place], *arguments[place + 2 :]]) == 0
    assert (tmp_path / "ComfyUI" / "models" / "grefine" / "pq-agiqa-3k.safetensors").is_file()
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith("Load Quality Model lists it, under embeddings, as pq-agiqa-3k.safetensors")
    # Nothing else is put among the models, where it would be offered as one.
    assert len(list((tmp_path / "ComfyUI" / "models" / "grefine").iterdir())) == 1


def test_broken_pictures_are_reported(pq, agiqa, tmp_path, capsys):
    files = sorted(agiqa.glob("*.jpg"))
    files[0].unlink()
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[: len(whole) * 4 // 5])
    for _ in range(2):  # the second time the features are there already
        assert main(pq("broken", "--epochs", 1, "--json")) == 3
        told = capsys.readouterr()
        assert json.loads(told.out)["data"]["skipped"] == 2
        assert f"skipped: {files[0].name}: no such picture" in told.err
        assert f"skipped: {files[1].name}: cannot be read as a whole" in told.err
    rows = json.loads((tmp_path / "work-broken" / "broken.skipped.json").read_text())
    assert {row["key"] for row in rows} == {files[0].name, files[1].name}


def test_the_text_encoder(pq, weights, tmp_path):
    assert main(pq("text", "--epochs", 1, "--limit", 40, "--train", "text-encoder", "--precision", "bfloat16")) == 0
    file = tmp_path / "out" / "text.safetensors"
    features = load_text_features(file)
    assert features is not None
    model = load_quality_model(weights=weights, embeddings=file)
    assert all(torch.allclose(model.factor_features()[name], features[name], atol=1e-6) for name in FACTORS)


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **more}


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "grefine_core.cli", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment())


@pytest.mark.slow
def test_a_training_that_is_killed_goes_on(pq, tmp_path, alike):
    """The process itself, killed while it trains; what is left are whole files, and the end is the same."""
    options = ("--epochs", 60, "--limit", 90)
    through, killed = pq("through", *options), pq("killed", *options)
    assert start(through).wait() == 0
    work = tmp_path / "work-killed"
    process = start(killed)
    deadline = time.monotonic() + 300
    while not list(work.glob("checkpoint-*.safetensors")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "out" / "killed.safetensors").exists()
    (checkpoint,) = work.glob("checkpoint-*.safetensors")
    state = json.loads(read_metadata(checkpoint)["state"])
    assert 1 <= state["epoch"] < 60
    assert start(killed).wait() == 0
    assert alike(content(tmp_path / "out" / "killed.safetensors"), content(tmp_path / "out" / "through.safetensors"))
    logs = [
        json.loads((tmp_path / f"work-{name}" / f"{name}.training.json").read_text()) for name in ("through", "killed")
    ]
    assert alike(logs[0]["history"], logs[1]["history"])
    assert alike(logs[0]["figures"], logs[1]["figures"])


def test_two_processes_do_the_work_of_one(pq, tmp_path, alike):
    pytest.importorskip("accelerate")
    options = ("--epochs", 2, "--set", "patch_weight=0.5")
    assert start(pq("one", *options)).wait() == 0
    # `accelerate launch` starts several processes on GPUs or through MPI; on processors torchrun does the same.
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "grefine_core.cli", "-v"]
    command = [sys.executable, *launcher, *pq("two", *options)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Process 1 of 2 on cpu" in done.stderr
    assert "Process 2 of 2 on cpu" in done.stderr
    assert alike(content(tmp_path / "out" / "two.safetensors"), content(tmp_path / "out" / "one.safetensors"))


def test_wrong_arguments(pq, tmp_path, capsys):
    assert main(pq("wrong", "--mos", "beauty")) == 1
    assert "no score 'beauty'; it has perception, alignment" in capsys.readouterr().err
    assert main(pq("wrong", "--set", "sharpness=1")) == 1
    assert "'sharpness' is not one of" in capsys.readouterr().err
    assert main(pq("wrong", "-o", tmp_path / "x.json")) == 1
    assert "has to end with .safetensors" in capsys.readouterr().err
    assert main(pq("wrong", "--scale", "mos=5")) == 1
    assert "SCORE=WORST:BEST" in capsys.readouterr().err


def test_the_miniature_preset(weights, tmp_path):
    arguments = ["train", "pq", "--dataset", "miniature", "--data", tmp_path / "data", "--clip", weights, "--limit", 12,
                 "--validation-limit", 8, "--epochs", 1, "--work", tmp_path / "work", "-o", tmp_path / "pq.safetensors",
                 "--json"]  # fmt: skip
    assert main([str(argument) for argument in arguments]) == 0
    log = json.loads((tmp_path / "work" / "pq.training.json").read_text())
    assert log["options"]["patch_target"] == "presence"
    assert {"overall", "technical", "PS", "patches PS"} <= set(log["figures"])
    assert (log["data"]["train"], log["data"]["validation"]) == (12, 8)


@pytest.fixture
def aq(agiqa, weights, tmp_path):
    def arguments(*more: object) -> list[str]:
        fixed = ["train", "aq", "--dataset", "agiqa-3k", "--data", agiqa, "--clip", weights, "--embeddings",
                 weights.with_name("pq_embeddings.safetensors"), "--device", "cpu", "--work", tmp_path / "work",
                 "-o", tmp_path / "bounds.json"]  # fmt: skip
        return [str(one) for one in (*fixed, *more)]

    return arguments


def test_aq_sets_bounds_that_follow_the_opinions(aq, weights, tmp_path, capsys, monkeypatch):
    assert main(aq("--limit", 70)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("SROCC, trained on: ")
    assert lines[-1].startswith(f"{tmp_path / 'bounds.json'}: give it to --calibration")
    made = Calibration.load(tmp_path / "bounds.json")
    assert made.calibrated
    log = json.loads((tmp_path / "work" / "bounds.training.json").read_text())
    figures = log["figures"]
    assert figures["SROCC, trained on"]["pictures"] + figures["SROCC, held back"]["pictures"] == 70
    assert figures["SROCC, trained on"]["calibrated"] >= figures["SROCC, trained on"]["uncalibrated"]
    model = load_quality_model(
        weights=weights, embeddings=weights.with_name("pq_embeddings.safetensors"), calibration=tmp_path / "bounds.json"
    )
    assert model.calibration == made
    # What was measured is not measured again; a part that was cut short is.
    from grefine_research.training import alignment_scores

    (damaged, _) = (tmp_path / "work").glob("scores-*/*.json")
    damaged.write_bytes(damaged.read_bytes()[:500])
    real, seen = alignment_scores.measure_pictures, []
    monkeypatch.setattr(
        alignment_scores, "measure_pictures", lambda *given, **more: seen.append(1) or real(*given, **more)
    )
    before = (tmp_path / "bounds.json").read_bytes()
    assert main(aq("--limit", 70)) == 0
    assert 0 < len(seen) < 2 * 70
    assert (tmp_path / "bounds.json").read_bytes() == before


def test_aq_needs_opinions(aq, agiqa, capsys):
    assert main(aq("--score", "beauty", "--limit", 3)) == 1
    assert "grefine calibrate" in capsys.readouterr().err


def test_aq_on_the_miniature_world(tmp_path, capsys):
    """The shipped CLIP: bounds from validation scenes find more of what is missing there, and on test scenes."""
    from grefine_core.miniature.loading import FILES, SHIPPED

    clip = SHIPPED / FILES["clip"]
    arguments = ["train", "aq", "--dataset", "miniature", "--data", tmp_path / "data", "--clip", clip, "--embeddings",
                 SHIPPED / FILES["embeddings"], "--limit", 80, "--validation-limit", 60, "--work", tmp_path / "work",
                 "--device", "cpu", "-o", tmp_path / "bounds.json", "--json"]  # fmt: skip
    assert main([str(argument) for argument in arguments]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    for split, pictures in (("validation", 80), ("test", 60)):
        row = figures[f"F1 of unmatched phrases, {split}"]
        assert row["pictures"] == pictures
        assert row["calibrated"] > row["uncalibrated"], figures


@pytest.mark.slow
def test_fine_tuning_of_image_reward(agiqa, weights, tmp_path, capsys, monkeypatch):
    """One process, then two: the same figures; the result loads, with bounds of its own beside it."""
    from ...tiny_models import write_image_reward

    reward = write_image_reward(tmp_path / "reward") / "ImageReward.safetensors"
    files = sorted(agiqa.glob("*.jpg"))
    whole = files[0].read_bytes()
    files[0].write_bytes(whole[: len(whole) * 4 // 5])

    def arguments(name: str) -> list[str]:
        fixed = ["train", "aq", "--dataset", "agiqa-3k", "--data", agiqa, "--limit", 40, "--clip", weights,
                 "--embeddings", weights.with_name("pq_embeddings.safetensors"), "--device", "cpu",
                 "--alignment-encoder", reward, "--fine-tune", "--epochs", 2, "--batch-size", 10, "--learning-rate",
                 0.001, "--validation-share", 0.3, "--work", tmp_path / f"work-{name}", "--encoder-output",
                 tmp_path / "reward" / f"{name}.safetensors"]  # fmt: skip
        return [str(one) for one in fixed]

    assert main(arguments("one")) == 3
    told = capsys.readouterr()
    assert f"skipped: {files[0].name}" in told.err
    tuned = tmp_path / "reward" / "one.safetensors"
    assert f"{tuned}: best epoch" in told.out
    bounds = tmp_path / "reward" / "one.safetensors.calibration.json"
    assert told.out.splitlines()[-1].startswith(str(bounds))
    model = load_quality_model(
        weights=weights, embeddings=weights.with_name("pq_embeddings.safetensors"), alignment_encoder=tuned
    )
    assert model.calibration == Calibration.load(bounds)
    assert model.calibration.model == "one"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "grefine_core.cli"]
    done = subprocess.run(
        [sys.executable, *launcher, *arguments("two")], env=environment(), capture_output=True, text=True, check=False
    )
    assert (tmp_path / "reward" / "two.safetensors").is_file(), done.stderr[-2000:]
    files = [tmp_path / f"work-{name}" / f"{name}.safetensors.calibration.training.json" for name in ("one", "two")]
    logs = [json.loads(file.read_text())["fine-tuning"] for file in files]
    for one, two in zip(*(log["history"] for log in logs), strict=True):
        assert one["monitor"] == pytest.approx(two["monitor"], abs=1e-3)
        assert one["loss"] == (None if two["loss"] is None else pytest.approx(two["loss"], abs=1e-4))
    first, second = (read_tensors(tmp_path / "reward" / f"{name}.safetensors") for name in ("one", "two"))
    # Biases of keys have no gradient but rounding errors, which Adam takes for as good as any other.
    for name in (name for name in first if name.endswith("weight")):
        torch.testing.assert_close(first[name], second[name], atol=5e-4, rtol=0)
    assert main([*arguments("clip")[:-2], "--alignment-encoder", "clip"]) == 1
    assert "ImageReward's encoder" in capsys.readouterr().err
