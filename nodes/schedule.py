"""Noise schedules for the host's samplers in which a stage's steps are executed denoiser calls, whatever the strength.

Three things of the host stand in the way of that, and are dealt with here:

* `denoise` picks the tail of a schedule of `int(steps / denoise)` steps: at small strengths that is a schedule of
  thousands, at large ones the start is rounded up to pure noise, and some schedulers (beta, ddim_uniform) then give
  another number of steps. Here the schedule of exactly the wanted length is squeezed into the part of the noise levels
  below the strength.
* Some samplers call the model twice or three times a step (heun, dpm_2, dpmpp_sde, seeds_3 …). How often is measured
  by a dry run on a tensor of four numbers, not looked up, so that it holds for samplers that other packs add, too.
  They get fewer steps; what is left over (heun makes odd numbers of calls) is spent on Euler steps at the start.
* dpm_adaptive decides by itself how long it takes: it is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import comfy.samplers
import torch
from torch import Tensor

from ..grefine_core.errors import InputError
from . import inputs

logger = logging.getLogger(__name__)

#: Takes as many calls as it likes.
ADAPTIVE = ("dpm_adaptive",)
#: Steps of the schedule that stands for a scheduler's whole curve of noise levels.
_CURVE_STEPS = 250
#: A schedule starts at the top if its first level is within this share of the curve.
_TOP = 0.02
#: A sampler that leaves more than this share of the noise after its last step did not finish.
_LEFT_OVER = 0.25


@dataclass(frozen=True)
class SamplingPlan:
    """What is to be run: `sigmas` `(n + 1,)`, falling to 0; Euler for the first `lead` intervals, then `sampler`.

    `sampler` and `lead_sampler` are objects of the host (`comfy.samplers.KSAMPLER`). Together exactly `calls` calls.
    """

    sampler: Any
    sigmas: Tensor
    calls: int
    lead: int = 0
    lead_sampler: Any = None

    def segments(self) -> list[tuple[Any, Tensor]]:
        """Samplers with the noise levels that each of them walks down; copies, because some write into theirs."""
        if self.lead == 0:
            return [(self.sampler, self.sigmas.clone())]
        return [
            (self.lead_sampler, self.sigmas[: self.lead + 1].clone()),
            (self.sampler, self.sigmas[self.lead :].clone()),
        ]


def check_sampler(name: object) -> str:
    """`name` if it is one of the host's samplers that keep to a number of calls.

    Raises:
        InputError: an unknown sampler, or an adaptive one.
    """
    known = inputs.choice(name, "sampler_name", comfy.samplers.KSampler.SAMPLERS)
    if known in ADAPTIVE:
        raise InputError(
            f"sampler_name: {known!r} decides by itself how many steps it takes, so the planned number cannot be kept. "
            "Choose another sampler."
        )
    return known


def plan_sampling(model: Any, sampler_name: str, scheduler: str, steps: int, strength: float) -> SamplingPlan:
    """Plan exactly `steps` denoiser calls from the noise level of `strength` down to zero.

    model: the host's MODEL. strength: (0, 1], the share of the scheduler's curve of noise levels, as the host's
    `denoise` means it; 1 gives the host's own schedule.

    Raises:
        InputError: an unknown sampler or scheduler, or an adaptive one.
    """
    check_sampler(sampler_name)
    inputs.choice(scheduler, "scheduler", comfy.samplers.KSampler.SCHEDULERS)
    sampling = model.get_model_object("model_sampling")
    curve = _curve(model, sampler_name, scheduler)

    def schedule(intervals: int) -> Tensor:
        return noise_levels(model, sampler_name, scheduler, intervals, strength, curve)

    sampler = comfy.samplers.sampler_object(sampler_name)

    def calls(intervals: int) -> int:
        return count_calls(sampler, schedule(intervals), model, sampling).calls

    main = _most_intervals(calls, steps)
    run = count_calls(sampler, schedule(main), model, sampling)
    lead = steps - run.calls
    if not run.finished or lead < 0:
        logger.warning("%s cannot finish within %d denoiser calls; Euler is used instead.", sampler_name, steps)
        sampler, main, lead = comfy.samplers.sampler_object("euler"), steps, 0
    lead_name = "euler_cfg_pp" if sampler_name.endswith("_cfg_pp") else "euler"
    return SamplingPlan(
        sampler=sampler,
        sigmas=schedule(lead + main),
        calls=steps,
        lead=lead,
        lead_sampler=comfy.samplers.sampler_object(lead_name) if lead else None,
    )


def noise_levels(
    model: Any, sampler_name: str, scheduler: str, intervals: int, strength: float, curve: Tensor | None = None
) -> Tensor:
    """Exactly `intervals + 1` noise levels, strictly falling from that of `strength` to 0, in the scheduler's manner.

    At strength 1 they are the host's. Below, every level moves to the same relative place within the last `strength`
    of the scheduler's curve: for evenly spaced schedulers that is the tail of a longer schedule, as the host takes it.
    Where the host's own does not start at the top (ddim_uniform with few steps) or has another length, it is mended.
    """
    curve = _curve(model, sampler_name, scheduler) if curve is None else curve
    levels = _host_schedule(model, sampler_name, scheduler, intervals)
    usable = len(levels) == intervals + 1 and bool((levels[:-1] > levels[1:]).all()) and float(levels[-1]) == 0.0
    places = _places(curve, levels[:-1]) if usable else torch.arange(intervals, dtype=torch.float64) / intervals
    missed = float(places[0])
    if strength >= 1.0 and usable and missed < _TOP:
        return levels
    # A single level at the very bottom says nothing about the spacing.
    places = (places - missed) / (1.0 - missed) if missed < 1.0 else torch.zeros_like(places)
    smallest = 2.0 / len(curve)  # below that there is no level left to fall to
    places = 1.0 - max(strength, smallest) * (1.0 - places)
    return torch.cat([_levels(curve, places), torch.zeros(1)])


@dataclass(frozen=True)
class DryRun:
    """How often a sampler calls the model, and whether it arrives at what the model predicts."""

    calls: int
    finished: bool


def count_calls(sampler: Any, sigmas: Tensor, model: Any, sampling: Any) -> DryRun:
    """Run `sampler` over `sigmas` with a stand-in for the model, on four numbers, and count the calls."""
    calls = 0

    def denoiser(x: Tensor, sigma: Tensor, model_options: dict[str, Any] | None = None, **_: Any) -> Tensor:
        nonlocal calls
        calls += 1
        black = torch.zeros_like(x)
        for function in (model_options or {}).get("sampler_post_cfg_function", []):
            # The "cfg++" samplers learn the unconditional prediction through this hook.
            arguments = {"denoised": black, "cond_denoised": black, "uncond_denoised": black, "input": x}
            function({**arguments, "sigma": sigma, "cond_scale": 1.0, "model_options": model_options})
        return black

    stand_in = _StandIn(denoiser, model, sampling)
    start = torch.ones(1, 1, 2, 2) * float(sigmas[0])
    with torch.random.fork_rng(devices=[]):
        end = sampler.sampler_function(
            stand_in,
            start.clone(),
            sigmas.clone(),
            extra_args={"seed": 0, "model_options": {}, "denoise_mask": None},
            callback=None,
            disable=True,
            **sampler.extra_options,
        )
    left = float(end.abs().max() / start.abs().max())
    return DryRun(calls, left <= _LEFT_OVER)


class _StandIn:
    """Looks to a sampler like the host's model wrappers."""

    def __init__(self, denoiser: Callable[..., Tensor], model: Any, sampling: Any) -> None:
        self._denoiser = denoiser
        self.inner_model = SimpleNamespace(
            inner_model=SimpleNamespace(model_sampling=sampling), model_patcher=model, model_options={}
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._denoiser(*args, **kwargs)


def _most_intervals(calls: Callable[[int], int], budget: int) -> int:
    """The largest number of intervals, at least 1, that needs no more than `budget` calls."""
    if calls(budget) <= budget:
        return budget
    low, high = 1, budget
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if calls(middle) <= budget else (low, middle)
    return low


def _host_schedule(model: Any, sampler_name: str, scheduler: str, steps: int) -> Tensor:
    sampler = comfy.samplers.KSampler(
        model, steps=steps, device=torch.device("cpu"), sampler=sampler_name, scheduler=scheduler, denoise=None
    )
    return sampler.sigmas.float().cpu()


def _curve(model: Any, sampler_name: str, scheduler: str) -> Tensor:
    """All noise levels of a scheduler, finely: falling, above 0, float64."""
    return _positive(_host_schedule(model, sampler_name, scheduler, _CURVE_STEPS))


def _positive(levels: Tensor) -> Tensor:
    """Those of `levels` that are above 0 and below all before them, as float64."""
    kept: list[float] = []
    for level in levels.double().tolist():
        if level > 0.0 and (not kept or level < kept[-1]):
            kept.append(level)
    return torch.tensor(kept, dtype=torch.float64)


def _places(curve: Tensor, levels: Tensor) -> Tensor:
    """Where on the falling `curve` the `levels` lie: 0 its first, 1 its last. Logarithms are interpolated."""
    rising = curve.log().flip(0)
    wanted = levels.double().log().clamp(rising[0], rising[-1])
    above = torch.searchsorted(rising, wanted).clamp(1, len(rising) - 1)
    share = (wanted - rising[above - 1]) / (rising[above] - rising[above - 1])
    return 1.0 - (above - 1 + share) / (len(rising) - 1)


def _levels(curve: Tensor, places: Tensor) -> Tensor:
    """The curve's noise levels at `places`: the inverse of `_places`."""
    position = places.clamp(0.0, 1.0) * (len(curve) - 1)
    below = position.floor().long().clamp(max=len(curve) - 2)
    share = position - below
    logarithms = curve.log()
    return torch.exp(logarithms[below] * (1.0 - share) + logarithms[below + 1] * share).float()
