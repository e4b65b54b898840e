"""One run of the host's samplers: exactly so many model calls, each reported, each a chance to cancel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch
from torch import Tensor

from ..grefine_core.refine.protocols import Progress
from . import inputs
from .host import check_interrupted, explained
from .schedule import SamplingPlan, check_sampler, plan_sampling

LARGEST_CFG = 100.0


@dataclass(frozen=True)
class SamplerSettings:
    """How the host samples. cfg 1 halves the work: the host then skips the negative prompt."""

    cfg: float
    sampler_name: str
    scheduler: str


def sampler_settings(cfg: object, sampler_name: object, scheduler: object) -> SamplerSettings:
    """The three inputs of that name, checked.

    Raises:
        InputError: cfg out of range, an unknown sampler or scheduler, or a sampler that keeps to no number of calls.
    """
    return SamplerSettings(
        cfg=inputs.number(cfg, "cfg", 0.0, LARGEST_CFG),
        sampler_name=check_sampler(sampler_name),
        scheduler=inputs.choice(scheduler, "scheduler", comfy.samplers.KSampler.SCHEDULERS),
    )


@dataclass(frozen=True)
class HostModels:
    """What denoises: the host's MODEL and VAE with one picture's conditioning (lists of [tensor, options])."""

    model: Any
    positive: Any
    negative: Any
    vae: Any


def sample(
    models: HostModels,
    settings: SamplerSettings,
    latent: Tensor,
    noise_mask: Tensor | None,
    *,
    strength: float,
    steps: int,
    seed: int,
    progress: Progress | None = None,
    hint: str = "",
) -> Tensor:
    """Denoise `latent` with exactly `steps` model calls from the noise level of `strength`; a latent like it.

    noise_mask: in latent cells, 1 = change; None = all. hint: advice for the message if memory runs out.

    Raises:
        InputError: a sampler that cannot keep to a number of calls, or an unknown one.
        OOM_EXCEPTION: the host's, with the size that did not fit; the host frees everything on it.
    """
    model = models.model
    plan = plan_sampling(model, settings.sampler_name, settings.scheduler, steps, strength)
    noise = comfy.sample.prepare_noise(latent, seed)
    with explained(f"sampling {latent.shape[-1]}×{latent.shape[-2]} latent cells", hint):
        return comfy.sample.sample_custom(
            model,
            noise,
            settings.cfg,
            _sampler(plan, _Report(model, plan.calls, progress)),
            plan.sigmas,
            models.positive,
            models.negative,
            latent,
            noise_mask=noise_mask,
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=min(seed, 2**64 - 2),  # some samplers add one
        )


def latent_previews(device: torch.device, latent_format: Any) -> Callable[[Tensor], Tensor | None]:
    """What makes small pictures `(1, h, w, 3)` of latents in the UNet's scale; None for all if the user wants none."""
    previewer = latent_preview.get_previewer(device, latent_format)

    def preview(denoised: Tensor) -> Tensor | None:
        if previewer is None:
            return None
        import numpy as np

        picture = previewer.decode_latent_to_preview(denoised)
        return torch.from_numpy(np.asarray(picture.convert("RGB"), dtype=np.float32) / 255.0).unsqueeze(0)

    return preview


class _Report:
    """Called after every model call: progress, preview, and before each the user's cancel."""

    def __init__(self, model: Any, total: int, progress: Progress | None) -> None:
        self._total, self._progress, self._done = total, progress, 0
        self._preview = latent_previews(model.load_device, model.model.latent_format)

    def __call__(self, denoised: Tensor) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total, self._preview(denoised))


class _Watched:
    """The host's denoiser with a report on every call; everything else is passed through to it."""

    def __init__(self, denoiser: Any, report: _Report) -> None:
        self._denoiser, self._report = denoiser, report

    def __getattr__(self, name: str) -> Any:
        return getattr(self._denoiser, name)

    def __call__(self, x: Tensor, sigma: Tensor, **options: Any) -> Tensor:
        check_interrupted()
        denoised = self._denoiser(x, sigma, **options)
        self._report(denoised)
        return denoised


def _sampler(plan: SamplingPlan, report: _Report) -> Any:
    """The plan as one sampler object of the host."""

    def run(
        denoiser: Any,
        x: Tensor,
        sigmas: Tensor,
        extra_args: dict[str, Any] | None = None,
        callback: Any = None,
        disable: Any = None,
        **_: Any,
    ) -> Tensor:
        watched = _Watched(denoiser, report)
        for part, levels in plan.segments():
            # The "cfg++" samplers write into extra_args; the levels are the plan's, moved to where the host wants them.
            x = part.sampler_function(
                watched,
                x,
                levels.to(sigmas),
                extra_args=dict(extra_args or {}),
                callback=callback,
                disable=disable,
                **part.extra_options,
            )
        return x

    return comfy.samplers.KSAMPLER(run, {}, plan.sampler.inpaint_options)
