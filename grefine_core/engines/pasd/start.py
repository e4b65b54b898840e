"""Where sampling starts: the picture's latent under noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError


@dataclass(frozen=True)
class Noise:
    """All the noise of one run, each ``(B, 4, h, w)`` float32.

    Attributes:
        posterior: of the sample from the VAE's distribution.
        first: at the first timestep.
        added: at the added noise level.
    """

    posterior: Tensor
    first: Tensor
    added: Tensor


def draw_noise(shape: Sequence[int], seeds: Sequence[int]) -> Noise:
    """Draw the noise of ``len(seeds)`` latents of ``shape`` (channels, h, w).

    On the CPU, so that a seed means the same on every device, and with a generator for each picture, so that a
    picture's noise does not depend on what else is in its batch.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def draw() -> Tensor:
        return torch.stack([torch.randn(tuple(shape), generator=each) for each in generators])

    return Noise(posterior=draw(), first=draw(), added=draw())


def full_start(latents: Tensor, noise: Noise, scheduler: Any, added_noise_level: int | None) -> Tensor:
    """The published start: noised to the first timestep, and then once more at ``added_noise_level``.

    Both from the cumulative alphas themselves: diffusers' ``add_noise`` takes a timestep that is not in the schedule
    for the last one in it.

    Args:
        latents: ``(B, 4, h, w)`` float32, a sample from the VAE, scaled.
        noise: of the same size.
        scheduler: from ``make_scheduler`` without a strength.
        added_noise_level: a training timestep, or None for no second noising.

    Raises:
        InputError: a noise level that the model does not have.
    """
    alphas = scheduler.alphas_cumprod
    start = _noised(latents, noise.first, alphas[int(scheduler.timesteps[0])])
    if added_noise_level is None:
        return start
    if added_noise_level >= len(alphas):
        raise InputError(
            f"added_noise_level: {added_noise_level} is above the model's last timestep {len(alphas) - 1}."
        )
    return _noised(start, noise.added, alphas[added_noise_level])


def mild_start(latents: Tensor, noise: Noise, scheduler: Any) -> Tensor:
    """The start of a mild pass: noised once, to the first level of ``scheduler`` (made with a strength)."""
    sigma = scheduler.sigmas[0].to(latents)
    return (latents + sigma * noise.first.to(latents)) / (sigma**2 + 1.0).sqrt()


def _noised(latents: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
    alpha = alpha.to(latents)
    return alpha.sqrt() * latents + (1.0 - alpha).sqrt() * noise.to(latents)
