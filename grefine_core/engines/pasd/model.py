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

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

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
