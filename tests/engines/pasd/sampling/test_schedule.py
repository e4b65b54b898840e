"""Noise levels, the start latent, and that all steps together lead from noise to the picture."""

from __future__ import annotations

import pytest
import torch

from grefine_core.engines.pasd.sampling import draw_noise, full_start, make_scheduler, mild_start
from grefine_core.errors import InputError

#: Stable Diffusion 1.5's, with what belongs to another sampler.
CONFIG = {
    "_class_name": "PNDMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "trained_betas": None,
}


@pytest.fixture
def clean():
    return torch.randn(2, 4, 9, 7, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def noise(clean):
    return draw_noise(clean.shape[1:], [3, 4])


def test_published_timesteps():
    assert make_scheduler(CONFIG, 4).timesteps.tolist() == [999, 749, 500, 250]
    assert make_scheduler(CONFIG, 20).timesteps[:3].tolist() == [999, 949, 899]
    assert make_scheduler(CONFIG, 999).timesteps.tolist() == list(range(999, 0, -1))


@pytest.mark.parametrize("strength", [1e-6, 0.001, 0.01, 0.05, 0.2, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 50])
def test_strength_keeps_the_number_of_calls(strength, steps):
    scheduler = make_scheduler(CONFIG, steps, strength)
    assert len(scheduler.timesteps) == steps
    assert float(scheduler.timesteps[0]) == pytest.approx(strength * 999, rel=1e-5)
    assert (scheduler.sigmas.diff() < 0).all()
    assert scheduler.sigmas[-1] == 0


def test_levels_in_between():
    full, mild = make_scheduler(CONFIG, 999), make_scheduler(CONFIG, 1, 1.0)
    assert float(mild.sigmas[0]) == pytest.approx(float(full.sigmas[0]), rel=1e-6)
    at_500, at_501 = full.sigmas[499], full.sigmas[498]
    between = make_scheduler(CONFIG, 1, 500.5 / 999).sigmas[0]
    assert at_500 < between < at_501
    starts = [float(make_scheduler(CONFIG, 1, k / 400).sigmas[0]) for k in range(1, 401)]
    assert starts == sorted(set(starts))
    assert float(make_scheduler(CONFIG, 1, 1e-6).sigmas[0]) < 1e-4


@pytest.mark.parametrize("strength", [None, 1e-4, 0.004, 0.2, 0.7, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 5, 20])
def test_a_perfect_prediction_leads_to_the_clean_latent(clean, noise, strength, steps):
    scheduler = make_scheduler(CONFIG, steps, strength)
    latents = full_start(clean, noise, scheduler, None) if strength is None else mild_start(clean, noise, scheduler)
    for step, timestep in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[step]
        alpha = 1 / (sigma**2 + 1).sqrt()
        prediction = (latents - alpha * clean) / (alpha * sigma)
        latents = scheduler.step(prediction, timestep, latents, return_dict=False)[0]
    torch.testing.assert_close(latents, clean, atol=1e-3, rtol=0)


def test_kinds_of_prediction():
    assert make_scheduler({**CONFIG, "prediction_type": "v_prediction"}, 2).config.prediction_type == "v_prediction"
    assert make_scheduler(CONFIG, 2).config.prediction_type == "epsilon"


def test_both_noises_of_the_full_start(clean, noise):
    scheduler = make_scheduler(CONFIG, 20)
    alphas = scheduler.alphas_cumprod
    first, added = alphas[999], alphas[900]
    assert float(added.sqrt()) == pytest.approx(0.119, abs=1e-3)
    once = first.sqrt() * clean + (1 - first).sqrt() * noise.first
    torch.testing.assert_close(full_start(clean, noise, scheduler, None), once)
    twice = added.sqrt() * once + (1 - added).sqrt() * noise.added
    torch.testing.assert_close(full_start(clean, noise, scheduler, 900), twice)


def test_the_mild_start_keeps_the_variance(clean, noise):
    scheduler = make_scheduler(CONFIG, 10, 0.3)
    start = mild_start(clean, noise, scheduler)
    sigma = scheduler.sigmas[0]
    torch.testing.assert_close(start * (1 + sigma**2).sqrt() - sigma * noise.first, clean, atol=1e-5, rtol=1e-5)


def test_noise_belongs_to_the_picture():
    both = draw_noise((4, 5, 6), [10, 11])
    alone = draw_noise((4, 5, 6), [11])
    for name in ("posterior", "first", "added"):
        assert torch.equal(getattr(both, name)[1:], getattr(alone, name))
    assert not torch.equal(both.first[0], both.first[1])
    assert not torch.equal(both.first, both.added)
    assert not torch.equal(both.first, both.posterior)


@pytest.mark.parametrize(
    ("steps", "strength", "name"),
    [(0, None, "steps"), (1000, None, "steps"), (1.5, 0.5, "steps"), (4, 0.0, "strength"), (4, 1.1, "strength")],
)
def test_refused(steps, strength, name):
    with pytest.raises(InputError, match=f"^{name}"):
        make_scheduler(CONFIG, steps, strength)


def test_refused_noise_level(clean, noise):
    with pytest.raises(InputError, match="added_noise_level"):
        full_start(clean, noise, make_scheduler(CONFIG, 4), 1000)
