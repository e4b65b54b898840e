"""The denoising loop: guidance and UniPC's step on whole latents, the networks on tiles of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...refine.protocols import Progress
from .hooks import Hooks
from .model import PasdModel
from .tiles import Tiling, predict_tiled


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
