"""From a picture to the restored picture, at one size: encode, start, denoise, decode."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...checks import number, whole_number
from ...errors import GRefineError, InputError
from ...memory import empty_cache, is_out_of_memory
from ...refine.protocols import Progress
from ..diffusers_sd import tiled
from .model import MOST_STEPS, PasdModel, PasdSettings

logger = logging.getLogger(__name__)

__all__ = ["SMALLEST_TILE", "empty_cache", "is_out_of_memory", "smaller_tiles"]


# Pictures to latents and back, in tiles where they are large.


class Autoencoder:
    """The model's VAE with the library's own tiling, switched on only while it is needed.

    Some VAEs overflow in float16. Where that happens the rest of the picture is done by a copy in float32, which ends
    with this object.

    Args:
        model: its VAE is used, in its own type; what comes out is float32.
        tile_above: pictures with more pixels than a square of this side are tiled, others only once they did not fit.
        free_memory: called before it is tried again.
    """

    def __init__(self, model: PasdModel, tile_above: int, free_memory: Callable[[], None]) -> None:
        self.model, self.tile_above, self.free_memory = model, tile_above, free_memory
        self._vae: Any = model.vae

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation ``(B, 4, h, w)`` of the latents of ``pictures`` ``(B, 3, 8h, 8w)`` in [0, 1].

        Both are scaled to what the UNet sees, and where the pictures are.
        """

        def encoded(vae: Any) -> tuple[Tensor, ...]:
            found = vae.encode((pictures * 2.0 - 1.0).to(vae.device, vae.dtype)).latent_dist
            return found.mean, found.std

        found = self._run(encoded, pictures.shape[-2] * pictures.shape[-1])
        mean, deviation = (value.to(pictures.device).float() for value in found)
        return mean * self.model.latent_scaling, deviation * self.model.latent_scaling

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """The pictures ``(B, 3, 8h, 8w)`` in [0, 1] of scaled latents ``(B, 4, h, w)``."""

        def decoded(vae: Any) -> tuple[Tensor, ...]:
            inputs = (latents.float() / self.model.latent_scaling).to(vae.device, vae.dtype)
            return tuple(vae.decode(inputs, return_dict=False)[:1])

        pixels = latents.shape[-2] * latents.shape[-1] * cell_pixels(self.model) ** 2
        picture = self._run(decoded, pixels)[0].to(latents.device).float()
        return (picture / 2.0 + 0.5).clamp(0.0, 1.0)

    def _run(self, work: Callable[[Any], tuple[Tensor, ...]], pixels: int) -> tuple[Tensor, ...]:
        found = self._fitting(work, pixels)
        if self._vae.dtype == torch.float32 or all(bool(value.isfinite().all()) for value in found):
            return found
        logger.warning("PASD's VAE has overflowed in %s; again in float32.", self._vae.dtype)
        del found
        with torch.inference_mode(False):  # what is made inside can be changed nowhere else
            self._vae = copy.deepcopy(self.model.vae).to(torch.float32)
        return self._fitting(work, pixels)

    def _fitting(self, work: Callable[[Any], tuple[Tensor, ...]], pixels: int) -> tuple[Tensor, ...]:
        if pixels <= self.tile_above**2:
            try:
                return work(self._vae)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self.free_memory()  # outside of the handler: the error holds on to tensors
        with tiled(self._vae):
            return work(self._vae)


def cell_pixels(model: PasdModel) -> int:
    """Pixels on a side of one latent cell."""
    config: Any = model.vae.config
    return int(2 ** (len(config.block_out_channels) - 1))


# What a program around the sampling may want to do.


@dataclass(frozen=True)
class Hooks:
    """Functions of the program around; all are optional.

    Attributes:
        check: called before every call of the networks, between tiles, too. What it raises stops the work.
        preview: makes a small picture ``(1, h, w, 3)`` in [0, 1] (or None) for ``progress`` of the clean latent
            ``(1, 4, h, w)`` that is expected after a step, in the UNet's scale.
        free_memory: called after memory ran out, before it is tried with less; as it is, torch's cache is emptied.
    """

    check: Callable[[], None] | None = None
    preview: Callable[[Tensor], Tensor | None] | None = None
    free_memory: Callable[[], None] = empty_cache


# Large latents in overlapping tiles: each is predicted by itself, and the predictions are blended.

#: Variance of the weights around a tile's middle, in units of its side.
_VARIANCE = 0.01

#: ``predict(latents (B, 4, h, w), pictures (B, 3, H, W)) -> (B', 4, h, w)``.
Predict = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Tiling:
    """Which part of a latent is predicted at once.

    Attributes:
        size: side of a tile in latent cells.
        overlap: cells in common with the neighbour, less than ``size``.
    """

    size: int
    overlap: int

    def needed(self, height: int, width: int) -> bool:
        """Whether a latent of this size is tiled: when it has more cells than a tile."""
        return height * width > self.size**2

    def places(self, height: int, width: int) -> tuple[int, list[tuple[int, int]]]:
        """The side of the tiles, and top and left of each, row by row.

        All tiles are squares of the same side, at most the latent's shorter one, and start at multiples of that side
        less the overlap; the last of a row or column is moved back to end with the latent.
        """
        side = min(self.size, height, width)
        step = side - min(self.overlap, side - 1)
        return side, [(top, left) for top in _starts(height, side, step) for left in _starts(width, side, step)]


def tile_weights(height: int, width: int) -> Tensor:
    """Gaussian weights ``(height, width)`` float64 of a tile, highest in its middle.

    The middles are the published ones: (width - 1) / 2 across, height / 2 down.

    Args:
        height: rows of latent cells.
        width: columns of latent cells.

    Source: PASD's published pipeline (yangxy/PASD), as in Mixture of Diffusers (arXiv 2302.02412).
    """
    return torch.outer(_bell(height, height / 2), _bell(width, (width - 1) / 2))


def predict_tiled(predict: Predict, latents: Tensor, pictures: Tensor, tiling: Tiling) -> Tensor:
    """Predict for ``latents`` at once, or tile after tile if they are large; the memory is that of one tile.

    Args:
        predict: gets a part of the latents and the part of the pictures that belongs to it. It may return more rows
            than it was given (both conditions of the guidance).
        latents: ``(B, 4, h, w)``.
        pictures: ``(B, 3, f·h, f·w)``.
        tiling: when and how.

    Returns:
        ``(B', 4, h, w)`` float32.

    Source: PASD's published pipeline (yangxy/PASD): overlapping tiles, averaged by Gaussian weights at every step.
    """
    height, width = latents.shape[-2:]
    if not tiling.needed(height, width):
        return predict(latents, pictures).float()
    factor = pictures.shape[-1] // width
    side, places = tiling.places(height, width)
    weights = tile_weights(side, side).float().to(latents.device)
    total: Tensor | None = None
    weight = torch.zeros(height, width, device=latents.device)
    for top, left in places:
        bottom, right = top + side, left + side
        part = predict(
            latents[..., top:bottom, left:right].contiguous(),
            pictures[..., top * factor : bottom * factor, left * factor : right * factor].contiguous(),
        ).float()
        if total is None:
            total = part.new_zeros(*part.shape[:2], height, width)
        total[..., top:bottom, left:right] += part * weights
        weight[top:bottom, left:right] += weights
    assert total is not None  # a latent that has to be tiled has tiles
    return total / weight


def _starts(length: int, side: int, step: int) -> list[int]:
    starts = list(range(0, length - side, step))
    return [*starts, length - side]


def _bell(length: int, middle: float) -> Tensor:
    away = (torch.arange(length, dtype=torch.float64) - middle) / length
    return torch.exp(-(away**2) / (2.0 * _VARIANCE)) / (2.0 * torch.pi * _VARIANCE) ** 0.5


# The denoising loop: guidance and UniPC's step on whole latents, the networks on tiles of them.


@dataclass(frozen=True)
class Guidance:
    """The text conditions and how much they count.

    Attributes:
        states: what the model's ``encode_prompts`` returned: with guidance the rows of the negative prompts and then
            those of the prompts, without it those of the prompts alone.
        scale: of classifier-free guidance; 1 or less = off.
        conditioning_scale: of the ControlNet's residuals.
    """

    states: Any
    scale: float = 9.0
    conditioning_scale: float = 1.0

    @property
    def on(self) -> bool:
        """Whether both conditions are needed."""
        return self.scale > 1.0


@torch.no_grad()
def denoise(
    model: PasdModel,
    latents: Tensor,
    pictures: Tensor,
    guidance: Guidance,
    scheduler: Any,
    tiling: Tiling,
    *,
    progress: Progress | None = None,
    hooks: Hooks | None = None,
) -> Tensor:
    """Run all steps of ``scheduler``: one call of the networks each (of every tile), with both conditions in it.

    Args:
        model: predicts the noise; gets everything in its own type. All the rest is float32.
        latents: ``(B, 4, h, w)``, the start.
        pictures: ``(B, 3, 8h, 8w)`` in [0, 1], what is restored.
        guidance: ``B`` prompts (and ``B`` negative ones).
        scheduler: a fresh one of ``make_scheduler``.
        tiling: of the networks' calls.
        progress: called after every step.
        hooks: of the program around.

    Returns:
        ``(B, 4, h, w)`` float32, clean.

    Source: PASD (arXiv 2308.14469) and its published pipeline: classifier-free guidance with a negative prompt.
    """
    hooks = hooks or Hooks()
    latents = latents.float()
    pictures = pictures.to(latents.device, model.dtype)
    copies = 2 if guidance.on else 1
    steps = len(scheduler.timesteps)
    for step, timestep in enumerate(scheduler.timesteps):

        def predict(part: Tensor, picture: Tensor, timestep: Tensor = timestep) -> Tensor:
            if hooks.check is not None:
                hooks.check()
            return model.predict(
                torch.cat([part.to(model.dtype)] * copies),
                timestep.to(part.device),
                guidance.states,
                torch.cat([picture] * copies),
                guidance.conditioning_scale,
            )

        noise = predict_tiled(predict, latents, pictures, tiling)
        if guidance.on:
            without, with_prompt = noise.chunk(2)
            noise = without + guidance.scale * (with_prompt - without)
        latents = scheduler.step(noise, timestep, latents, return_dict=False)[0]
        if progress is not None:
            seen = hooks.preview(scheduler.model_outputs[-1][:1]) if hooks.preview is not None else None
            progress(step + 1, steps, seen)
    return latents


# When memory runs out: what to try instead.

#: Tiles are not made smaller than this many latent cells: the networks would see too little of the picture.
SMALLEST_TILE = 32


def smaller_tiles(settings: PasdSettings, height: int, width: int) -> PasdSettings | None:
    """``settings`` with tiles of half the side of what was predicted at once in a latent of this size.

    None if they would be smaller than ``SMALLEST_TILE``.
    """
    tiled = height * width > settings.tile_size**2
    size = (min(settings.tile_size, height, width) if tiled else math.isqrt(height * width)) // 2
    if size < SMALLEST_TILE:
        return None
    return replace(settings, tile_size=size, tile_overlap=min(settings.tile_overlap, size // 2))


# UniPC over the base model's noise levels: PASD's own schedule, and one that starts later for a mild pass.

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

    Source: Zhao et al., UniPC (arXiv 2302.04867), order 2, as in PASD's published pipeline. ``strength`` is ours.
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


# Where sampling starts: the picture's latent under noise.


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

    Source: PASD's published pipeline (yangxy/PASD), ``added_noise_level``.
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
    """The start of a mild pass: noised once, to the first level of ``scheduler`` (made with a strength).

    Args:
        latents: ``(B, 4, h, w)``, scaled.
        noise: standard normal, of the same shape; its first draw is used.
        scheduler: made with a strength.

    Returns:
        ``(B, 4, h, w)``.

    Source: SDEdit (arXiv 2108.01073).
    """
    sigma = scheduler.sigmas[0].to(latents)
    return (latents + sigma * noise.first.to(latents)) / (sigma**2 + 1.0).sqrt()


def _noised(latents: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
    alpha = alpha.to(latents)
    return alpha.sqrt() * latents + (1.0 - alpha).sqrt() * noise.to(latents)


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

    Source: PASD (arXiv 2308.14469), as Stage 2 of G-Refine (arXiv 2404.18343).
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
            f"Out of memory while restoring {pictures.shape[-1]}×{pictures.shape[-2]} pixels with PASD, in tiles of "
            f"{settings.tile_size} latent cells. Load the model in float16, make room on the device, or choose a "
            "smaller process size or factor."
        ) from error
