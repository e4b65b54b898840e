"""UniPC over the base model's noise levels: PASD's own schedule, and one that starts later for a mild pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...checks import number, whole_number
from ...errors import InputError
from .settings import MOST_STEPS

#: What a base's scheduler configuration says of the model itself; all else in it belongs to another sampler.
_NOISE = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type")


def make_scheduler(config: dict[str, Any], steps: int, strength: float | None = None) -> Any:
    """Return diffusers' UniPC (order 2, bh2), ready for exactly ``steps`` network calls.

    Without ``strength`` the timesteps are the published ones, spread evenly from the last training timestep down. With
    it they are spread evenly from ``strength`` times that one: as many calls on a shorter way. They are fractions then
    (noise levels in between are interpolated), so that no strength is too small for the steps.

    Args:
        config: of the base's scheduler; betas, number of timesteps and kind of prediction are read.
        steps: network calls, at least 1; without ``strength`` fewer than there are training timesteps.
        strength: (0, 1], or None.

    Raises:
        InputError: steps or strength out of range.
    """
    from diffusers import UniPCMultistepScheduler

    known = {name: config[name] for name in _NOISE if config.get(name) is not None}
    scheduler: Any = UniPCMultistepScheduler(solver_order=2, solver_type="bh2", timestep_spacing="linspace", **known)
    last = len(scheduler.alphas_cumprod) - 1
    count = whole_number(steps, "steps", 1, last if strength is None else MOST_STEPS)
    scheduler.set_timesteps(count)
    if strength is not None:
        start = check_strength(strength) * last
        timesteps = torch.linspace(start, 0.0, count + 1, dtype=torch.float64)[:-1]
        scheduler.sigmas = torch.cat([_levels(scheduler.alphas_cumprod, timesteps), torch.zeros(1)])
        scheduler.timesteps = timesteps.float()
    # By its place in the list, not by looking a timestep up in it.
    scheduler.set_begin_index(0)
    return scheduler


def check_strength(value: object) -> float:
    """``value`` if denoising can start there.

    Raises:
        InputError: no number above 0 and up to 1.
    """
    strength = number(value, "strength", 0.0, 1.0)
    if strength <= 0.0:
        raise InputError("strength: expected a number above 0 and up to 1, got 0; at 0 there is nothing to be done.")
    return strength


def _levels(alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """Noise in units of the clean latent at fractional timesteps, ``(n,)`` float32."""
    alphas = alphas_cumprod.double()
    levels = ((1.0 - alphas) / alphas).sqrt()
    below = timesteps.floor().long().clamp(max=len(levels) - 2)
    share = timesteps - below
    # Between two training levels the logarithm is interpolated: the levels grow exponentially. Below the second there
    # is none to go by, and the way to zero has to be a way to no noise at all.
    between = torch.exp(levels[below].log() * (1.0 - share) + levels[below + 1].log() * share)
    return torch.where(timesteps < 1.0, levels[1] * timesteps, between).float()
