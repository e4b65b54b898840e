"""The whole sampling loop against the numbers of the authors' own code."""

from __future__ import annotations

import pytest
import torch

from grefine_core.engines.pasd.model import PasdSettings
from grefine_core.engines.pasd.sampling import (
    Autoencoder,
    Guidance,
    Noise,
    Tiling,
    denoise,
    full_start,
    make_scheduler,
    sample,
    tile_weights,
)
from grefine_core.memory import empty_cache
from grefine_core.refine.color import adain_color, wavelet_color


@pytest.fixture
def case(golden_run):
    """Picture, text states and noise."""
    picture = golden_run["image_uint8"].permute(2, 0, 1).unsqueeze(0) / 255.0
    states = torch.cat([golden_run["negative_prompt_embeds"], golden_run["prompt_embeds"]])
    return picture, states, Noise(*(golden_run[f"noise.{number}"] for number in range(3)))


def start_of(model, case, noise_level):
    picture, _, noise = case
    scheduler = make_scheduler(model.scheduler_config, 4)
    mean, deviation = Autoencoder(model, 1024, empty_cache).encode(picture)
    return scheduler, full_start(mean + deviation * noise.posterior, noise, scheduler, noise_level)


def test_start_latent(model, case, golden_run):
    scheduler, start = start_of(model, case, 900)
    assert scheduler.timesteps.tolist() == golden_run["timesteps"].tolist()
    torch.testing.assert_close(start, golden_run["latents_init"], atol=1e-4, rtol=0)
    assert not torch.allclose(start_of(model, case, None)[1], golden_run["latents_init"], atol=0.1)


def test_every_step(model, case, golden_run, monkeypatch):
    picture, states, _ = case
    scheduler, start = start_of(model, case, 900)
    predictions, latents = [], []
    step = scheduler.step

    def record(prediction, *arguments, **options):
        result = step(prediction, *arguments, **options)
        predictions.append(prediction)
        latents.append(result[0])
        return result

    monkeypatch.setattr(scheduler, "step", record)
    denoise(model, start, picture, Guidance(states, 9.0, 1.0), scheduler, Tiling(320, 8))
    assert len(predictions) == 4
    for number in range(4):
        torch.testing.assert_close(
            predictions[number], golden_run[f"step{number}.noise_pred_cfg"], atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(latents[number], golden_run[f"step{number}.latents_after"], atol=1e-3, rtol=1e-4)


def test_picture(model, case, golden_run):
    picture, states, noise = case
    out = sample(model, picture, states, noise, PasdSettings(), steps=4)
    torch.testing.assert_close(out.permute(0, 2, 3, 1), golden_run["image_out"], atol=1e-3, rtol=0)


def test_colors(golden_tools):
    content, style = (golden_tools[f"a/{name}"].permute(0, 2, 3, 1) for name in ("content", "style"))
    for keep, name in ((wavelet_color, "wavelet"), (adain_color, "adain")):
        wanted = golden_tools[f"a/{name}"].permute(0, 2, 3, 1)
        torch.testing.assert_close(keep(content, style), wanted, atol=1e-5, rtol=0)


def test_weights_of_a_tile(golden_tools):
    torch.testing.assert_close(tile_weights(12, 12), golden_tools["gauss12"], atol=1e-12, rtol=1e-12)
