"""What is to be done to one picture: which stages run, how strongly, in how many steps (method, section 6)."""

from __future__ import annotations

from dataclasses import dataclass

from .checks import choice, number, whole_number
from .errors import InputError

MODES = ("gated", "paper")


@dataclass(frozen=True)
class Plan:
    """The decision for one picture.

    Strengths and steps are those that a stage has *when it runs*; they stay filled in for a stage that does not.
    """

    run_stage1: bool
    """Whether the masked refinement runs."""
    run_stage2: bool
    """Whether the restoration of the whole picture runs."""
    stage1_strength: float
    """In [0, 1]: from which noise level stage 1 denoises."""
    stage2_strength: float
    """In [0, 1]: the same for stage 2."""
    stage1_steps: int
    """Executed denoiser calls of stage 1, whatever its strength."""
    stage2_steps: int
    """Executed denoiser calls of stage 2, whatever its strength."""
    reason: str
    """What was decided and why, in plain words."""

    @property
    def runs(self) -> bool:
        """Whether anything is done to the picture at all."""
        return self.run_stage1 or self.run_stage2


def plan_refinement(
    perceptual_score: float,
    alignment_score: float,
    *,
    mode: str = "gated",
    steps: int = 20,
    stage1_min: float = 0.5,
    stage1_max: float = 0.9,
    stage2_strength: float = 0.2,
    perceptual_bar: float = 0.8,
    alignment_bar: float = 0.8,
    area: float | None = None,
    worst_region: float | None = None,
    region_bar: float = 0.0,
) -> Plan:
    """Decide what is done to one picture, from its scores.

    Stage 1's strength is ``stage1_min + (stage1_max - stage1_min) · (1 - PS · AS)``. The steps are split in halves,
    stage 1 takes the odd one; a stage that runs alone still has only its half.

    - ``mode="gated"``: a score passes that is not below its bar. Both pass: nothing runs, the picture stays bit for bit
      what it was. One fails: stage 1 runs where the mask is. Stage 2, which changes every pixel for the sake of how the
      picture looks, runs only if the *perceptual* score fails: a sharp, clean picture that lacks its red hat gets the
      hat, not a new surface.
    - ``region_bar`` above 0 (ours, not the paper's): in gated mode stage 1 runs, too, if the worst region of the map of
      perceptual quality is below that bar, even if both scores pass. PS speaks for the picture on average and overlooks
      a hole. Stage 2 does not ask it: a hole is stage 1's to fill.
    - ``mode="paper"``: the bars are not asked. Stage 2 always runs, stage 1 wherever there is a mask.
    - ``area`` 0 in either mode: nothing is masked, so stage 1 has nothing to do.

    Args:
        perceptual_score: PS in [0, 1].
        alignment_score: AS in [0, 1].
        mode: ``"gated"`` or ``"paper"``.
        steps: executed denoiser calls of both stages together, 2 or more.
        stage1_min: strength for the slightest defect, in [0, 1].
        stage1_max: strength for the worst, in [0, 1], not below ``stage1_min``.
        stage2_strength: in [0, 1].
        perceptual_bar: PS from which on a picture passes, in [0, 1].
        alignment_bar: AS from which on a picture passes, in [0, 1].
        area: share of the picture in the denoise mask, in [0, 1]; ``None`` if it is not known.
        worst_region: quality of the picture's worst region in [0, 1], see ``PerceptualQuality.worst_region``; ``None``
            if it is not known: then its bar is not asked.
        region_bar: ``worst_region`` from which on a picture passes, in [0, 1]; 0: it is not asked.

    Returns:
        What to do, and why in words.

    Raises:
        InputError: a score or number that is not finite or out of range, ``stage1_min`` over ``stage1_max``, an
            unknown mode.

    Source: method, section 6; G-Refine (arXiv 2404.18343), refiner: 20 steps in two halves; mode "paper". The strength
        that grows with the defects, the bars and "gated" are ours.
    """
    ps = number(perceptual_score, "perceptual_score", 0.0, 1.0)
    as_ = number(alignment_score, "alignment_score", 0.0, 1.0)
    mode = choice(mode, "mode", MODES)
    steps = whole_number(steps, "steps", 2, 100_000)
    low = number(stage1_min, "stage1_min", 0.0, 1.0)
    high = number(stage1_max, "stage1_max", 0.0, 1.0)
    if low > high:
        raise InputError(f"stage1_min: {low:g} is over stage1_max {high:g}; strength must rise with the defects.")
    mild = number(stage2_strength, "stage2_strength", 0.0, 1.0)
    ps_bar = number(perceptual_bar, "perceptual_bar", 0.0, 1.0)
    as_bar = number(alignment_bar, "alignment_bar", 0.0, 1.0)
    masked = None if area is None else number(area, "area", 0.0, 1.0)
    region = None if worst_region is None else number(worst_region, "worst_region", 0.0, 1.0)
    worst_bar = number(region_bar, "region_bar", 0.0, 1.0)

    if mode == "paper":
        wanted1 = run2 = True
        verdict = f"Paper mode, perceptual score {ps:.2f}, alignment score {as_:.2f}, no bars"
    else:
        wanted1 = ps < ps_bar or as_ < as_bar or (region is not None and region < worst_bar)
        run2 = ps < ps_bar
        verdict = f"{_verdict('Perceptual score', ps, ps_bar)}, {_verdict('alignment score', as_, as_bar)}"
        if worst_bar > 0:
            verdict += f", {_region_verdict(region, worst_bar)}"
    run1 = wanted1 and masked != 0
    strength = low + (high - low) * (1.0 - ps * as_)
    first, second = steps - steps // 2, steps // 2
    return Plan(
        run_stage1=run1,
        run_stage2=run2,
        stage1_strength=strength,
        stage2_strength=mild,
        stage1_steps=first,
        stage2_steps=second,
        reason=f"{verdict}: "
        + _decision(wanted1, run1, run2, f"at strength {strength:.2f} in {first} steps", mild, second, masked)
        + ".",
    )


def _verdict(name: str, score: float, bar: float) -> str:
    return f"{name} {score:.2f} {'passes' if score >= bar else 'is below'} its bar of {bar:.2f}"


def _region_verdict(region: float | None, bar: float) -> str:
    if region is None:
        return f"the worst region was not measured, so its bar of {bar:.2f} is not asked"
    return _verdict("worst region", region, bar)


def _decision(wanted1: bool, run1: bool, run2: bool, how1: str, mild: float, second: int, masked: float | None) -> str:
    if not wanted1:
        return "the picture is left exactly as it is"
    where = "the masked part" if masked is None else f"the masked {max(masked, 0.0001):.2%} of the picture"
    parts = [
        f"stage 1 repaints {where} {how1}" if run1 else "nothing is masked, so stage 1 has nothing to repaint",
        f"stage 2 restores the whole picture at strength {mild:.2f} in {second} steps"
        if run2
        else "stage 2 does not run, for the picture as a whole looks good",
    ]
    return "; ".join(parts)
