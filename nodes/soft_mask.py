"""Soft denoise masks by differential diffusion (Levin and Fried, arXiv 2306.00950).

The lighter a place of the mask, the later in the schedule it begins to change. The host has a node for it; this is the
same rule as a library function, guarded against schedules of a single noise level. Imports without the host.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor


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
