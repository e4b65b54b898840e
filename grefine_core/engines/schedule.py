"""Noise levels. The strength says where denoising starts, the steps say in how many calls it gets to zero."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError


@dataclass(frozen=True)
class Schedule:
    """One noise level per denoiser call.

    Attributes:
        timesteps: ``(steps,)`` float, falling, what the network is told.
        sigmas: ``(steps + 1,)`` float, falling, noise in units of the latent's own scale; the last is 0.
    """

    timesteps: Tensor
    sigmas: Tensor


def make_schedule(alphas_cumprod: Tensor, strength: float, steps: int) -> Schedule:
    """Spread exactly ``steps`` calls evenly over the timesteps from the noise level of ``strength`` down to zero.

    diffusers' own ``strength`` drops calls instead (``int(steps * strength)``), and at small strengths all of them.

    Args:
        alphas_cumprod: ``(T,)``, the model's training schedule.
        strength: (0, 1]; 1 starts at the last training timestep.
        steps: number of denoiser calls, at least 1.

    Raises:
        InputError: strength or steps out of range.
    """
    if not 0.0 < strength <= 1.0:
        raise InputError(f"strength: expected a value above 0 and up to 1, got {strength!r}.")
    if steps < 1:
        raise InputError(f"steps: expected at least 1, got {steps!r}.")
    alphas = alphas_cumprod.cpu().double()  # in this order: not every device knows float64
    levels = ((1 - alphas) / alphas).sqrt()
    last = len(levels) - 1
    start = max(strength * last, 1.0)
    timesteps = torch.linspace(start, 0.0, steps + 1, dtype=torch.float64)[:-1]
    below = timesteps.floor().long()
    above = (below + 1).clamp(max=last)
    share = timesteps - below
    # Between two training levels the logarithm is interpolated: the levels grow exponentially.
    sigmas = torch.exp(levels[below].log() * (1 - share) + levels[above].log() * share)
    return Schedule(timesteps.float(), torch.cat([sigmas, sigmas.new_zeros(1)]).float())
