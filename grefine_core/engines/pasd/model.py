"""A loaded PASD: what the sampling loop needs to know of it, and nothing of which Stable Diffusion it stands on.

Source: Yang et al., "Pixel-Aware Stable Diffusion for Realistic Image Super-Resolution and Personalized Stylization"
(ECCV 2024, arXiv 2308.14469).

The seam for PASD-SDXL: the loop calls only ``encode_prompts`` and ``predict`` and reads ``latent_scaling``, ``vae`` and
``scheduler_config``. What ``encode_prompts`` returns it passes back to ``predict`` as it is, row by row. A model on
SDXL is a subclass with two tokenizers and text encoders, whose ``encode_prompts`` returns sequences and pooled vectors
together and whose ``predict`` adds size conditions to them (``PasdUNet`` already takes ``added_cond_kwargs``); its
defaults (25 steps, guidance 7, conditioning 0.8, 1280 pixels) belong to the settings of sampling.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ...checks import choice, number, whole_number
from ...errors import InputError
from ..prompts import encode_pieces, split_prompt


@dataclass(frozen=True)
class Variant:
    """Which PASD the weights are of, as their keys say.

    Attributes:
        light: the attention to the condition sits inside the up blocks' text attentions (``pasd_light``) instead of in
            transformers of its own after them (``pasd``).
        rrdb: dense residual blocks come before the condition's encoder.
    """

    light: bool = False
    rrdb: bool = False

    @property
    def name(self) -> str:
        """``pasd``, ``pasd_light``, ``pasd_rrdb`` or ``pasd_light_rrdb``."""
        return "pasd" + ("_light" if self.light else "") + ("_rrdb" if self.rrdb else "")


@dataclass
class PasdModel:
    """The networks of PASD on Stable Diffusion 1.5, loaded once.

    Attributes:
        unet: a ``PasdUNet``.
        controlnet: diffusers' ``ControlNetModel``, with or without the dense residual blocks.
        vae: diffusers' ``AutoencoderKL``.
        text_encoder: transformers' ``CLIPTextModel``.
        tokenizer: transformers' ``CLIPTokenizer``.
        scheduler_config: configuration of the base's scheduler; only what describes the model's own noise matters
            (betas, number of timesteps, offset).
        variant: what the weights turned out to be.
    """

    # Any, because nn.Module does not know the libraries' ``config``.
    unet: Any
    controlnet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: dict[str, Any]
    variant: Variant

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The four networks by name."""
        return {
            "unet": self.unet,
            "controlnet": self.controlnet,
            "vae": self.vae,
            "text_encoder": self.text_encoder,
        }

    @property
    def device(self) -> torch.device:
        """Where the UNet's weights are."""
        return next(self.unet.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the UNet's weights."""
        return next(self.unet.parameters()).dtype

    @property
    def latent_scaling(self) -> float:
        """The VAE's latents times this are what the UNet sees (0.18215)."""
        return float(self.vae.config.scaling_factor)

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return int(self.vae.config.latent_channels)

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> PasdModel:
        """Move all networks; returns the model itself. None leaves device or type as they are."""
        for network in self.networks.values():
            network.to(device=device, dtype=dtype)
        return self

    @torch.no_grad()
    def encode_prompts(self, texts: list[str]) -> Tensor:
        """Return the last hidden states ``(n, 77, d)`` of the texts, on the text encoder's device.

        ComfyUI's prompt weights count; texts over 75 tokens are encoded in pieces, and then all rows are
        ``77 * pieces`` long.
        """
        pieces = [split_prompt(self.tokenizer, text) for text in texts]
        longest = max((len(some) for some in pieces), default=1)
        device = next(self.text_encoder.parameters()).device
        rows = [encode_pieces(self, some + [[]] * (longest - len(some)), device).sequence for some in pieces]
        return torch.cat(rows)

    @torch.no_grad()
    def predict(
        self, latents: Tensor, timestep: int | float | Tensor, states: Any, condition: Tensor, scale: float = 1.0
    ) -> Tensor:
        """Return the noise that the network sees in ``latents``; any height and width, odd ones too.

        Args:
            latents: ``(n, 4, h, w)``, scaled by ``latent_scaling``.
            timestep: the training timestep, one number for all.
            states: what ``encode_prompts`` returned, ``n`` rows.
            condition: ``(n, 3, 8h, 8w)``, the picture to restore, RGB in [0, 1].
            scale: of the ControlNet's residuals. At 0 the attention to the condition sees zeros; the result is still
                not that of plain Stable Diffusion.

        Returns:
            ``(n, 4, h, w)`` in the type and on the device of ``latents``.

        Raises:
            InputError: shapes that do not fit each other.
        """
        self._check(latents, states, condition)
        dtype, device = self.dtype, self.device
        inputs = latents.to(device, dtype)
        states = states.to(device, dtype)
        time = torch.as_tensor(timestep, device=device)
        down, middle = self.controlnet(
            inputs,
            time,
            encoder_hidden_states=states,
            controlnet_cond=condition.to(device, dtype),
            conditioning_scale=scale,
            return_dict=False,
        )
        noise: Tensor = self.unet(inputs, time, states, down, middle)
        return noise.to(latents)

    def _check(self, latents: Tensor, states: Any, condition: Tensor) -> None:
        channels, pixels = self.unet.config.in_channels, 2 ** (len(self.vae.config.block_out_channels) - 1)
        if latents.ndim != 4 or latents.shape[1] != channels:
            raise InputError(f"latents: expected (n, {channels}, h, w), got {tuple(latents.shape)}.")
        n, _, h, w = latents.shape
        width = self.unet.config.cross_attention_dim
        if states.ndim != 3 or states.shape[0] != n or states.shape[2] != width:
            raise InputError(f"states: expected ({n}, tokens, {width}), got {tuple(states.shape)}.")
        if tuple(condition.shape) != (n, 3, pixels * h, pixels * w):
            raise InputError(
                f"condition: expected {(n, 3, pixels * h, pixels * w)} for these latents, got {tuple(condition.shape)}."
            )


# How PASD is run: the published defaults, checked.

Color = Literal["wavelet", "adain", "none"]

MOST_STEPS = 10_000
LARGEST_CFG = 100.0
LARGEST_CONDITIONING = 10.0
LARGEST_FACTOR = 16.0
LARGEST_SIDE = 16_384


@dataclass(frozen=True)
class PasdSettings:
    """How PASD is run. Defaults are those of the published inference.

    Attributes:
        steps: denoiser calls of ``PasdRestorer.upscale`` if it is not told otherwise. As the second half of the method
            a plan gives its own number (10).
        guidance_scale: classifier-free guidance, 0 … 100; 1 or less = off (half the cost). Lower it where tiles show.
        conditioning_scale: how much the ControlNet's residuals count, 0 … 10.
        factor: how much larger ``upscale`` makes a picture, above 0 … 16.
        process_size: pictures whose shorter side has fewer pixels are enlarged to it for the work, and come back at the
            requested size.
        added_noise_level: training timestep of the second noising of the full pass; None leaves it out.
        added_prompt: appended to every prompt.
        negative_prompt: what the picture should not show.
        tile_size: side of a tile in latent cells (8 pixels each). Pictures with more cells than its square are
            predicted tile by tile, so that the networks need the memory of one tile.
        tile_overlap: latent cells that neighbouring tiles have in common; less than ``tile_size``.
        vae_tile_above: pictures with more pixels than a square of this side go through the VAE in tiles (the
            library's own), too.
        color: "wavelet" keeps the low frequencies of the given picture, "adain" only the mean and the standard
            deviation of every channel, "none" neither.
    """

    steps: int = 20
    guidance_scale: float = 9.0
    conditioning_scale: float = 1.0
    factor: float = 1.0
    process_size: int = 768
    added_noise_level: int | None = 900
    added_prompt: str = "clean, high-resolution, 8k"
    negative_prompt: str = "blurry, dotted, noise, raster lines, unclear, lowres, over-smoothed"
    tile_size: int = 320
    tile_overlap: int = 8
    vae_tile_above: int = 1024
    color: Color = "wavelet"

    def __post_init__(self) -> None:
        whole_number(self.steps, "steps", 1, MOST_STEPS)
        number(self.guidance_scale, "guidance_scale", 0.0, LARGEST_CFG)
        number(self.conditioning_scale, "conditioning_scale", 0.0, LARGEST_CONDITIONING)
        check_factor(self.factor)
        whole_number(self.process_size, "process_size", 1, LARGEST_SIDE)
        if self.added_noise_level is not None:
            whole_number(self.added_noise_level, "added_noise_level", 0, 1_000_000)
        whole_number(self.tile_size, "tile_size", 1, LARGEST_SIDE)
        whole_number(self.tile_overlap, "tile_overlap", 0, LARGEST_SIDE)
        if self.tile_overlap >= self.tile_size:
            raise InputError(
                f"tile_overlap: {self.tile_overlap} must be less than tile_size ({self.tile_size}); both are in latent "
                "cells."
            )
        whole_number(self.vae_tile_above, "vae_tile_above", 1, LARGEST_SIDE)
        choice(self.color, "color", get_args(Color))
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("prompt") and not isinstance(value, str):
                raise InputError(f"{field.name}: expected a text, got {type(value).__name__}.")

    def full_prompt(self, prompt: str) -> str:
        """``prompt`` with the added words."""
        return ", ".join(part for part in (prompt.strip().rstrip(",").rstrip(), self.added_prompt.strip()) if part)


def check_factor(value: object) -> float:
    """``value`` if a picture can be enlarged (or reduced) by it.

    Raises:
        InputError: no number above 0 and up to 16.
    """
    factor = number(value, "factor", 0.0, LARGEST_FACTOR)
    if factor <= 0.0:
        raise InputError(f"factor: expected a number above 0 and up to {LARGEST_FACTOR:g}, got {factor:g}.")
    return factor
