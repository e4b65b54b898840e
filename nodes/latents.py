"""Pixels and masks as a model's latents and back, whatever the VAE: any number of channels, any factor, image or video.

Imports without the host: a VAE is asked, never assumed.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..grefine_core.errors import InputError

#: What stands for "hidden" in the picture that inpainting models get beside the mask, as they were trained.
NEUTRAL = 0.5


def size_multiple(vae: Any) -> int:
    """How many pixels one latent cell covers: sides that are no multiple of it would be cropped by the VAE in silence.

    What the network asks for beside it: ``families.size_multiple``.

    Raises:
        InputError: the VAE does not say (an audio VAE, or none at all).
    """
    ask = getattr(vae, "spacial_compression_encode", None)  # the host's spelling
    ratio = ask() if callable(ask) else getattr(vae, "downscale_ratio", None)
    if isinstance(ratio, tuple | list):
        ratio = ratio[-1]  # (frames, height, width) of video types; the first may be a function
    if not isinstance(ratio, int | float) or ratio < 1 or ratio != int(ratio) or getattr(vae, "latent_dim", 2) == 1:
        raise InputError("vae: this is no VAE for pictures. Connect the VAE that belongs to the model.")
    return int(ratio)


def encode(vae: Any, image: Tensor) -> Tensor:
    """Latents of `(1, H, W, 3)` in [0, 1]: `(1, C, h, w)`, or `(1, C, 1, h, w)` for video-type VAEs.

    H and W are multiples of `size_multiple`. The host retries tiled when memory is short.

    Raises:
        InputError: latents that are no single picture.
    """
    latent = vae.encode(image[..., :3])
    if not isinstance(latent, Tensor) or latent.ndim not in (4, 5) or latent.shape[0] != 1:
        raise InputError("vae: does not give latents of a picture. Connect the VAE that belongs to the model.")
    if latent.ndim == 5 and latent.shape[2] != 1:
        raise InputError(f"vae: makes {latent.shape[2]} frames of one picture; such video models cannot be used here.")
    return latent


def decode(vae: Any, latent: Tensor) -> Tensor:
    """Pixels `(1, H, W, 3)` of one latent; video-type VAEs give a film of one frame."""
    pixels: Tensor = vae.decode(latent)
    if pixels.ndim == 5:
        pixels = pixels.reshape(-1, *pixels.shape[2:])
    return pixels[:1, ..., :3].float().clamp(0.0, 1.0)


def check_channels(latent: Tensor, model: Any) -> None:
    """See that the VAE's latents are what the model denoises.

    Raises:
        InputError: another number of channels; both are named.
    """
    expected = getattr(model.get_model_object("latent_format"), "latent_channels", None)
    if expected is not None and latent.shape[1] != expected:
        raise InputError(
            f"vae: gives latents of {latent.shape[1]} channels, but the model denoises {expected}. Connect the VAE "
            "that belongs to the model."
        )


def mask_cells(mask: Tensor, latent: Tensor) -> Tensor:
    """The mask `(1, H, W)` in latent cells, `(1, 1, h, w)`: every cell that the mask touches is sampled anew.

    The host would interpolate, which leaves cells at the edge half old and half new.
    """
    return F.adaptive_max_pool2d(mask.unsqueeze(1), latent.shape[-2:])


def noise_mask(cells: Tensor, latent: Tensor) -> Tensor:
    """`cells` with as many dimensions as `latent`, as the host's samplers take them."""
    return cells.unsqueeze(2) if latent.ndim == 5 else cells


def is_soft(cells: Tensor) -> bool:
    """Whether there is anything between 0 and 1."""
    return bool(((cells > 0.0) & (cells < 1.0)).any())


def hard(mask: Tensor) -> Tensor:
    """A binary version of a soft mask for what knows only yes and no: from a half on, or all of a faint mask."""
    binary = mask >= 0.5
    return (binary if bool(binary.any()) else mask > 0.0).to(mask.dtype)


def hide(image: Tensor, mask: Tensor) -> Tensor:
    """`image` `(1, H, W, 3)` with neutral grey where `mask` `(1, H, W)` is 1, as inpainting models were trained."""
    return torch.where(mask.unsqueeze(-1) > 0.5, torch.full_like(image, NEUTRAL), image)


def spread(cells: Tensor, size: tuple[int, int]) -> Tensor:
    """`cells` `(1, 1, h, w)` as pixels `(1, 1, *size)`, every cell a flat block."""
    return F.interpolate(cells, size=size, mode="nearest")


# Soft masks, by differential diffusion (Levin and Fried, arXiv 2306.00950)


def with_soft_mask(model: Any) -> Any:
    """A clone of the host's MODEL that reads denoise masks gradually; the model itself if the user has set a rule."""
    if "denoise_mask_function" in model.model_options:
        return model
    clone = model.clone()
    clone.set_model_denoise_mask_function(gradual_mask)
    return clone


def gradual_mask(sigma: Tensor, denoise_mask: Tensor, extra_options: dict[str, Any]) -> Tensor:
    """The binary mask for the noise level `sigma`: what is at least as strong as the share of the way still to go.

    Called by the host at every step with `extra_options` holding its model wrapper and the `sigmas` of the schedule.
    """
    sampling = extra_options["model"].inner_model.model_sampling
    levels = extra_options["sigmas"]
    last = levels[-1].clamp(min=float(sampling.sigma_min))
    start, end = float(sampling.timestep(levels[0])), float(sampling.timestep(last))
    now = float(sampling.timestep(sigma.flatten()[0]))
    to_go = (now - end) / (start - end) if start > end else 0.0
    # A hair below: the strongest places take part from the first step on, whatever the rounding.
    return ((denoise_mask >= min(to_go, 1.0) - 1e-6) & (denoise_mask > 0.0)).to(denoise_mask.dtype)
