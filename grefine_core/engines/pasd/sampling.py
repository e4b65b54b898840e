"""From a picture to the restored picture, at one size: encode, start, denoise, decode."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

from ...errors import GRefineError
from ...refine.protocols import Progress
from .autoencoder import Autoencoder
from .denoise import Guidance, denoise
from .hooks import Hooks
from .memory import is_out_of_memory, smaller_tiles
from .model import PasdModel
from .schedule import make_scheduler
from .settings import PasdSettings
from .start import Noise, full_start, mild_start
from .tiles import Tiling

logger = logging.getLogger(__name__)


@torch.no_grad()
def sample(
    model: PasdModel,
    pictures: Tensor,
    states: Any,
    noise: Noise,
    settings: PasdSettings,
    *,
    steps: int,
    strength: float | None = None,
    progress: Progress | None = None,
    hooks: Hooks | None = None,
) -> Tensor:
    """Restore ``pictures`` ``(B, 3, 8h, 8w)`` in [0, 1] with exactly ``steps`` denoiser calls.

    Args:
        model: the networks.
        pictures: start and condition in one.
        states: text conditions as ``Guidance`` wants them.
        noise: for latents ``(B, 4, h, w)``.
        settings: guidance, scales, noise level, tiles.
        steps: denoiser calls.
        strength: below 1, for a mild pass from the mean of the VAE's distribution; None for the published pass from a
            sample of it.
        progress: called after every step. After a shortage of memory it counts from 1 again.
        hooks: of the program around.

    Returns:
        ``(B, 3, 8h, 8w)`` float32 in [0, 1], on the model's device.

    Raises:
        InputError: steps, strength or noise level out of range.
        GRefineError: out of memory even in small tiles, with what to do.
    """
    hooks = hooks or Hooks()
    scheduler = make_scheduler(model.scheduler_config, steps, strength)
    try:
        autoencoder = Autoencoder(model, settings.vae_tile_above, hooks.free_memory)
        pictures = pictures.to(model.device, torch.float32)
        mean, deviation = autoencoder.encode(pictures)
        if strength is None:
            latents = mean + deviation * noise.posterior.to(mean)
            latents = full_start(latents, noise, scheduler, settings.added_noise_level)
        else:
            latents = mild_start(mean, noise, scheduler)
        guidance = Guidance(states, settings.guidance_scale, settings.conditioning_scale)
        while True:
            try:
                tiling = Tiling(settings.tile_size, settings.tile_overlap)
                latents = denoise(model, latents, pictures, guidance, scheduler, tiling, progress=progress, hooks=hooks)
                break
            except (RuntimeError, MemoryError) as error:
                smaller = smaller_tiles(settings, latents.shape[-2], latents.shape[-1])
                if smaller is None or not is_out_of_memory(error):
                    raise
                logger.warning("Out of memory; again in tiles of %d latent cells.", smaller.tile_size)
            # Outside of the handler: the error holds on to tensors. From the start, so that the result is that of these
            # tiles and not a mixture; a shortage shows at the first step.
            settings, scheduler = smaller, make_scheduler(model.scheduler_config, steps, strength)
            hooks.free_memory()
        return autoencoder.decode(latents)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise GRefineError(
            f"Out of memory while restoring {pictures.shape[-1]}x{pictures.shape[-2]} pixels with PASD, in tiles of "
            f"{settings.tile_size} latent cells. Load the model in float16, make room on the device, or choose a "
            "smaller process size or factor."
        ) from error
