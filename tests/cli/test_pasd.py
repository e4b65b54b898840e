"""``grefine refine --restorer pasd``."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
from PIL import Image

from grefine_core.cli import main
from grefine_core.cli.engines import Engines, add_restorer_options, option_values
from grefine_core.engines.pasd import entry
from grefine_core.engines.pasd.model import PasdModel, PasdSettings

from ..tiny_models.pasd import write_pasd, write_sd15


@pytest.fixture(scope="module")
def pasd(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("pasd")
    write_pasd(folder / "models")
    return ["--pasd", str(folder / "models" / "pasd"), "--pasd-base", str(write_sd15(folder / "base"))]


@pytest.fixture
def refine(pictures, models, clip, tmp_path, capsys):
    """Refine one picture, whatever it measures, and return (what ``--json`` prints, the picture's bytes)."""

    def run(*more: str) -> tuple[dict, np.ndarray]:
        out = tmp_path / "refined"
        arguments = ["refine", str(pictures / "a.png"), "--prompt", "a red cup", "-o", str(out), *clip]
        arguments += ["--pipeline", str(models / "pipeline"), "--device", "cpu", "--steps", "2", "--mode", "paper"]
        assert main([*arguments, "--no-guard", "--threshold", "1", "--overwrite", "--json", *more]) == 0
        return json.loads(capsys.readouterr().out)[0], np.asarray(Image.open(out / "a.png"))

    return run


SMALL = ("--restorer", "pasd", "--pasd-process-size", "64")


def test_the_second_stage_is_pasd(refine, pasd, monkeypatch):
    calls = []
    predict = PasdModel.predict

    def counted(self, latents, timestep, *more):
        calls.append((tuple(latents.shape), float(timestep)))
        return predict(self, latents, timestep, *more)

    monkeypatch.setattr(PasdModel, "predict", counted)
    result, restored = refine(*SMALL, *pasd)
    assert restored.shape == (48, 64, 3)
    assert result["changed"]
    # One of the two steps is the second stage's; 48 × 64 pixels become 64 × 85, and those whole cells.
    assert calls == [((2, 4, 8, 11), pytest.approx(0.2 * 999, abs=1))]
    _, other = refine()
    assert (restored != other).any()


def test_every_option_reaches_the_settings():
    parser = argparse.ArgumentParser()
    add_restorer_options(parser)

    def settings(*words: str) -> PasdSettings:
        return entry.settings(**option_values(entry.PASD, parser.parse_args(words)))

    assert settings() == PasdSettings()
    options = {
        "guidance_scale": 5.0,
        "conditioning_scale": 0.5,
        "process_size": 512,
        "tile_size": 64,
        "color": "adain",
        "added_prompt": "",
        "negative_prompt": "red",
    }
    words = [word for name, value in options.items() for word in (f"--pasd-{name.replace('_', '-')}", str(value))]
    assert settings(*words) == PasdSettings(**options)
    assert settings("--pasd-added-noise-level", "-1").added_noise_level is None
    assert settings("--pasd-added-noise-level", "300").added_noise_level == 300


def test_offloaded_it_gives_the_same(refine, pasd, monkeypatch):
    moved = []
    to = PasdModel.to

    def watched(self, device=None, dtype=None):
        moved.append(str(device))
        return to(self, device, dtype)

    monkeypatch.setattr(PasdModel, "to", watched)
    guidance = ("--pasd-guidance-scale", "1.5", "--pasd-precision", "bf16")
    _, reference = refine(*SMALL, *pasd, *guidance)
    assert moved == []
    _, same = refine(*SMALL, *pasd, *guidance, "--offload", "model")
    assert abs(reference.astype(int) - same).max() <= 1
    assert moved == ["cpu", "cpu"]  # onto the device, which is the CPU here, and away


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--restorer", "pasd"], "--pasd: --restorer pasd needs"),
        (["--restorer", "pasd", "--pasd", "x"], "--pasd-base: --restorer pasd needs"),
        (["--pasd", "x"], "--pasd: is PASD's; add --restorer pasd"),
        (["--pasd-tile-size", "64"], "--pasd-tile-size: is PASD's"),
        (["--restorer", "pasd", "--pasd", "x", "--pasd-base", "y", "--pasd-tile-size", "0"], "tile_size"),
    ],
)
def test_mistakes_show_before_any_work(pictures, tmp_path, capsys, monkeypatch, more, message):
    monkeypatch.setattr("grefine_core.cli.common.load_model", lambda _: pytest.fail("a model was loaded"))
    arguments = ["refine", str(pictures / "a.png"), "--prompt", "a cat", "-o", str(tmp_path / "o"), "--pipeline", "p"]
    assert main([*arguments, *more]) == 1
    assert message in capsys.readouterr().err


def test_each_engine_is_read_once_and_only_if_it_is_needed():
    loads = []

    class Pipeline:
        def restorer(self):
            return "its own"

    def load():
        loads.append("pipeline")
        return Pipeline()

    engines = Engines(load, lambda: loads.append("pasd") or "pasd")
    assert engines.restorer() == engines.restorer() == "pasd"
    assert loads == ["pasd"]
    assert Engines(load).restorer() == "its own"
    assert loads == ["pasd", "pipeline"]
