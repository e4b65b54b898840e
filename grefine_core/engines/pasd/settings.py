"""How PASD is run: the published defaults, checked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from ...checks import choice, number, whole_number
from ...errors import InputError

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
