"""Pictures to latents and back, in tiles where they are large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...memory import is_out_of_memory
from ..tiling import tiled
from .model import PasdModel


class Autoencoder:
    """The model's VAE with the library's own tiling, switched on only while it is needed.

    Args:
        model: its VAE is used, in its own type; what comes out is float32.
        tile_above: pictures with more pixels than a square of this side are tiled, others only once they did not fit.
        free_memory: called before it is tried again.
    """

    def __init__(self, model: PasdModel, tile_above: int, free_memory: Callable[[], None]) -> None:
        self.model, self.tile_above, self.free_memory = model, tile_above, free_memory

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation ``(B, 4, h, w)`` of the latents of ``pictures`` ``(B, 3, 8h, 8w)`` in [0, 1].

        Both are scaled to what the UNet sees, and where the pictures are.
        """
        vae: Any = self.model.vae
        inputs = (pictures * 2.0 - 1.0).to(vae.device, vae.dtype)
        found = self._run(lambda: vae.encode(inputs).latent_dist, pictures.shape[-2] * pictures.shape[-1])
        mean, deviation = (value.to(pictures.device).float() for value in (found.mean, found.std))
        return mean * self.model.latent_scaling, deviation * self.model.latent_scaling

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """The pictures ``(B, 3, 8h, 8w)`` in [0, 1] of scaled latents ``(B, 4, h, w)``."""
        vae: Any = self.model.vae
        inputs = (latents.float() / self.model.latent_scaling).to(vae.device, vae.dtype)
        pixels = latents.shape[-2] * latents.shape[-1] * cell_pixels(self.model) ** 2
        decoded = self._run(lambda: vae.decode(inputs, return_dict=False)[0], pixels)
        decoded = decoded.to(latents.device).float()
        return (decoded / 2.0 + 0.5).clamp(0.0, 1.0)

    def _run(self, work: Callable[[], Any], pixels: int) -> Any:
        if pixels <= self.tile_above**2:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self.free_memory()  # outside of the handler: the error holds on to tensors
        with tiled(self.model.vae):
            return work()


def cell_pixels(model: PasdModel) -> int:
    """Pixels on a side of one latent cell."""
    config: Any = model.vae.config
    return int(2 ** (len(config.block_out_channels) - 1))
