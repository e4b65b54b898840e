"""Noise levels: from the strength's to zero, in exactly the steps asked for."""

from __future__ import annotations

import pytest
import torch

from grefine_core.engines.diffusers_sd import make_schedule
from grefine_core.errors import InputError

ALPHAS = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, dim=0)


@pytest.mark.parametrize("strength", [0.001, 0.05, 0.2, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 10, 30])
def test_one_level_per_step_falling_to_zero(strength, steps):
    schedule = make_schedule(ALPHAS, strength, steps)
    assert schedule.timesteps.shape == (steps,)
    assert schedule.sigmas.shape == (steps + 1,)
    assert (schedule.sigmas.diff() < 0).all()
    assert (schedule.timesteps.diff() < 0).all()
    assert schedule.sigmas[-1] == 0
    assert schedule.timesteps.max() <= 999
    assert schedule.timesteps.min() >= 0


def test_start_depends_on_the_strength_alone():
    starts = [make_schedule(ALPHAS, strength, 4).sigmas[0] for strength in (0.1, 0.3, 0.6, 1.0)]
    assert starts == sorted(starts)
    assert make_schedule(ALPHAS, 0.3, 4).sigmas[0] == make_schedule(ALPHAS, 0.3, 25).sigmas[0]


def test_levels_are_the_models():
    schedule = make_schedule(ALPHAS, 1.0, 1)
    assert schedule.timesteps.tolist() == [999.0]
    assert schedule.sigmas[0] == pytest.approx(14.6146, abs=1e-3)  # Stable Diffusion's largest
    half = make_schedule(ALPHAS, 500 / 999, 1)
    assert half.sigmas[0] == pytest.approx(float(((1 - ALPHAS[500]) / ALPHAS[500]).sqrt()), rel=1e-5)


@pytest.mark.parametrize(("strength", "steps"), [(0.0, 4), (1.1, 4), (-0.1, 4), (float("nan"), 4), (0.5, 0)])
def test_out_of_range(strength, steps):
    with pytest.raises(InputError):
        make_schedule(ALPHAS, strength, steps)
