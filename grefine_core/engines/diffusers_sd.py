"""The denoising loop over the networks of a diffusers Stable Diffusion (XL) pipeline.

diffusers' own pipeline cuts the number of steps by the strength, knows no prompt weights and reads pictures through
Pillow; its networks are what is wanted. Euler's method on noise levels; one call of the network a step (with guidance
both conditions go in one batch).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..memory import OutOfMemory, empty_cache, is_out_of_memory
from ..refine.protocols import Progress
from .prompts import TextCondition, encode_prompts

logger = logging.getLogger(__name__)

# Noise levels: the strength says where denoising starts, the steps in how many calls it gets to zero


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


# The VAE in tiles, for as long as it has to be


@contextmanager
def tiled(vae: Any) -> Iterator[None]:
    """Inside, ``vae`` works in the library's tiles; behind, as it did before: a seed always gives the same picture."""
    before = vae.use_tiling
    vae.enable_tiling()
    try:
        yield
    finally:
        if not before:
            vae.disable_tiling()


class LatentSampler:
    """Redraws pictures with the networks of one loaded pipeline.

    Args:
        pipe: a diffusers Stable Diffusion or SDXL inpainting pipeline; its networks, tokenizers and configuration are
            used, not its ``__call__``. UNets with 9 input channels get mask and masked picture, those with 4 keep the
            rest of the picture by blending latents in every step.
        guidance_scale: classifier-free guidance; 1 or less = off (half the cost).
        negative_prompt: what the picture should not show.
    """

    def __init__(self, pipe: Any, guidance_scale: float = 7.0, negative_prompt: str = "") -> None:
        self.pipe = pipe
        self.guidance_scale = guidance_scale
        self.negative_prompt = negative_prompt

    @property
    def size_multiple(self) -> int:
        """Pixels of one latent pixel."""
        return int(self.pipe.vae_scale_factor)

    @property
    def native_side(self) -> int:
        """Side in pixels of the square that the UNet was trained on."""
        side = self.pipe.unet.config.sample_size
        return int(max(side) if isinstance(side, (tuple, list)) else side) * self.size_multiple

    @property
    def min_side(self) -> int:
        """Half of SDXL's square, all of SD 1.5's; smaller networks have smaller squares."""
        return min(512, self.native_side)

    @torch.no_grad()
    def run(
        self,
        image: Tensor,
        mask: Tensor | None,
        *,
        prompt: str,
        strength: float,
        steps: int,
        seed: int,
        progress: Progress | None,
    ) -> Tensor:
        """Redraw ``image`` ``(1, h, w, 3)`` where ``mask`` ``(1, h, w)`` is set (None: everywhere).

        Exactly ``steps`` network calls go from the noise level of ``strength`` to zero; 1.0 starts from pure noise.
        The noise is drawn on the CPU, so that a seed means the same on every device.

        Raises:
            InputError: strength or steps out of range.
            OutOfMemory: with what to do.
        """
        try:
            return self._run(image, mask, prompt, strength, steps, seed, progress)
        except (RuntimeError, MemoryError) as e:
            if not is_out_of_memory(e):
                raise
            size = f"{image.shape[2]}×{image.shape[1]}"
            raise OutOfMemory(
                f"Out of memory while sampling {size} pixels with the diffusers engine. "
                'Choose smaller crops, or load the pipeline in float16 or with offload="model" (or "sequential").'
            ) from e
        finally:
            self.pipe.maybe_free_model_hooks()

    def _run(
        self,
        image: Tensor,
        mask: Tensor | None,
        prompt: str,
        strength: float,
        steps: int,
        seed: int,
        progress: Progress | None,
    ) -> Tensor:
        device = torch.device(self.pipe._execution_device)
        unet = self.pipe.unet
        schedule = make_schedule(self._alphas(), strength, steps)
        picture = image.to(device, torch.float32).permute(0, 3, 1, 2) * 2.0 - 1.0
        known = self._encode(picture)
        noise = torch.randn(known.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32).to(device)
        full = torch.ones_like(picture[:, :1]) if mask is None else mask.to(device, torch.float32).unsqueeze(1)
        extra, blend = self._masking(picture, full, known)
        positive, negative = encode_prompts(self.pipe, prompt, self.negative_prompt, device)
        guided = self.guidance_scale > 1.0
        context = self._context([negative, positive] if guided else [positive], image.shape[1:3], unet.dtype)

        sigmas = schedule.sigmas.to(device)
        latents = noise * sigmas[0] if strength == 1.0 else known + noise * sigmas[0]
        for step, timestep in enumerate(schedule.timesteps.to(device)):
            sigma = sigmas[step]
            if blend is not None:
                latents = latents * blend + (known + noise * sigma) * (1.0 - blend)
            scaled = latents / (sigma**2 + 1.0).sqrt()
            inputs = scaled if extra is None else torch.cat([scaled, extra], dim=1)
            inputs = torch.cat([inputs] * 2) if guided else inputs
            output = unet(inputs.to(unet.dtype), timestep, return_dict=False, **context)[0].float()
            if guided:
                without, with_prompt = output.chunk(2)
                output = without + self.guidance_scale * (with_prompt - without)
            clean = self._clean(latents, output, sigma)
            if blend is not None:
                clean = clean * blend + known * (1.0 - blend)
            latents = latents + (latents - clean) / sigma * (sigmas[step + 1] - sigma)
            if progress is not None:
                progress(step + 1, steps, None)
        return (self._decode(latents) / 2.0 + 0.5).clamp(0.0, 1.0).permute(0, 2, 3, 1).to(image.device).contiguous()

    def _alphas(self) -> Tensor:
        from diffusers import EulerDiscreteScheduler

        # Whatever scheduler a folder names, its betas are the model's; the loop itself is Euler's.
        alphas: Tensor = EulerDiscreteScheduler.from_config(self.pipe.scheduler.config).alphas_cumprod
        return alphas

    def _masking(self, picture: Tensor, mask: Tensor, known: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Extra input channels of an inpainting UNet, or the latent mask for blending with an ordinary one."""
        small = F.interpolate(mask, size=known.shape[-2:], mode="area")
        if self.pipe.unet.config.in_channels == known.shape[1]:
            return None, None if bool((mask == 1).all()) else small
        # A latent pixel is repainted if any of its pixels is: the seam would otherwise keep a rim of the defect.
        hard = (F.adaptive_max_pool2d(mask, known.shape[-2:]) >= 0.5).float()
        masked = self._encode(picture * (mask < 0.5))
        return torch.cat([hard, masked], dim=1), None

    def _context(self, conditions: list[TextCondition], size: torch.Size, dtype: torch.dtype) -> dict[str, Any]:
        context: dict[str, Any] = {
            "encoder_hidden_states": torch.cat([condition.sequence for condition in conditions]).to(dtype)
        }
        pooled = [condition.pooled for condition in conditions if condition.pooled is not None]
        if self.pipe.unet.config.addition_embed_type == "text_time":
            # Original size, crop corner, target size: "a whole picture of this size".
            ids = [*size, 0, 0, *size]
            context["added_cond_kwargs"] = {
                "text_embeds": torch.cat(pooled).to(dtype),
                "time_ids": torch.tensor([ids] * len(conditions), dtype=dtype, device=pooled[0].device),
            }
        return context

    def _clean(self, latents: Tensor, output: Tensor, sigma: Tensor) -> Tensor:
        """The clean latent that the network's answer stands for."""
        kind = self.pipe.scheduler.config.prediction_type
        if kind == "v_prediction":
            return latents / (sigma**2 + 1.0) - output * sigma / (sigma**2 + 1.0).sqrt()
        if kind == "sample":
            return output
        return latents - sigma * output

    def _encode(self, picture: Tensor) -> Tensor:
        vae = self.pipe.vae
        # The distribution's mean instead of a sample: one source of chance less.
        latents = self._tiled_if_needed(lambda: vae.encode(picture.to(vae.dtype)).latent_dist.mode()).float()
        mean, spread = self._latent_statistics(latents)
        return (latents - mean) * (vae.config.scaling_factor / spread)

    def _decode(self, latents: Tensor) -> Tensor:
        vae = self.pipe.vae
        mean, spread = self._latent_statistics(latents)
        latents = latents * (spread / vae.config.scaling_factor) + mean
        return self._tiled_if_needed(lambda: vae.decode(latents.to(vae.dtype), return_dict=False)[0]).float()

    def _latent_statistics(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        config = self.pipe.vae.config
        mean, spread = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
        if mean is None or spread is None:
            return latents.new_zeros(1), latents.new_ones(1)
        return latents.new_tensor(mean).view(1, -1, 1, 1), latents.new_tensor(spread).view(1, -1, 1, 1)

    def _tiled_if_needed(self, work: Callable[[], Tensor]) -> Tensor:
        """Try once more in tiles when the VAE, the largest part at large sizes, does not fit."""
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if self.pipe.vae.use_tiling or not is_out_of_memory(error):
                raise
            logger.warning("Out of memory in the VAE; trying again in tiles.")
        empty_cache()  # outside of the handler: the error held on to tensors
        with tiled(self.pipe.vae):
            return work()


# The engines of both stages


class _Engine:
    def __init__(self, sampler: LatentSampler) -> None:
        self.sampler = sampler

    @property
    def size_multiple(self) -> int:
        """Both sides of a picture must be multiples of this many pixels."""
        return self.sampler.size_multiple

    @property
    def min_side(self) -> int:
        """Shortest side in pixels that the network can be expected to draw well."""
        return self.sampler.min_side

    @property
    def native_side(self) -> int:
        """Side in pixels of the square that the network was trained on."""
        return self.sampler.native_side


class DiffusersInpainter(_Engine):
    """Stage 1 by a Stable Diffusion (XL) inpainting pipeline; see ``refine.protocols.Inpainter``.

    Make one with ``load_inpaint_pipeline``. ``guidance_scale`` and ``negative_prompt`` of ``sampler`` may be changed
    between calls.
    """

    @property
    def pipe(self) -> Any:
        """The diffusers pipeline whose networks are used."""
        return self.sampler.pipe

    def restorer(self) -> ImageToImageRestorer:
        """A restorer for stage 2 with the same weights, loaded once."""
        return ImageToImageRestorer(self.sampler)

    def inpaint(
        self,
        image: Tensor,
        mask: Tensor,
        *,
        prompt: str,
        strength: float,
        steps: int,
        seed: int,
        index: int = 0,  # noqa: ARG002 - for engines with one conditioning per picture
        progress: Progress | None = None,
    ) -> Tensor:
        """Repaint the masked part of one crop; arguments and result as in ``Inpainter.inpaint``."""
        return self.sampler.run(
            image, mask, prompt=prompt, strength=strength, steps=steps, seed=seed, progress=progress
        )


class ImageToImageRestorer(_Engine):
    """Stage 2 by the whole picture's mild denoising; see ``refine.protocols.Restorer``.

    With an inpainting UNet the mask covers everything and the masked picture is blank: the structure comes from the
    noised latent alone. At the low strengths of stage 2 that is enough, at high ones the picture would be redrawn
    freely. Strength up to about 0.3 is sensible.
    """

    def restore(
        self,
        image: Tensor,
        *,
        prompt: str,
        strength: float,
        steps: int,
        seed: int,
        index: int = 0,  # noqa: ARG002 - for engines with one conditioning per picture
        progress: Progress | None = None,
    ) -> Tensor:
        """Mildly redraw the whole picture; arguments and result as in ``Restorer.restore``."""
        return self.sampler.run(
            image, None, prompt=prompt, strength=strength, steps=steps, seed=seed, progress=progress
        )
