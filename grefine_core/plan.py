"""What is to be done to one picture: which stages run, how strongly, in how many steps (method, section 6)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from torch import Tensor

from .checks import choice, number, whole_number
from .errors import InputError
from .masks import bounding_box, label_regions
from .regions import CORE, PhraseRegion, RegionMasks, phrases_in

if TYPE_CHECKING:
    from .diagnosis import Diagnosis

MODES = ("verdicts", "gated", "paper")
#: Regions of a mask that are closer than this many pixels are one.
JOIN = 32


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
    mode: str = "verdicts",
    steps: int = 20,
    stage1_min: float = 0.5,
    stage1_max: float = 0.9,
    stage2_strength: float = 0.2,
    perceptual_bar: float = 0.8,
    alignment_bar: float = 0.8,
    area: float | None = None,
    worst_region: float | None = None,
    region_bar: float = 0.0,
    perceptual_left: bool = False,
) -> Plan:
    """Decide what is done to one picture, from its scores.

    Stage 1's strength is ``stage1_min + (stage1_max - stage1_min) · (1 - PS · AS)``. The steps are split in halves,
    stage 1 takes the odd one; a stage that runs alone still has only its half.

    - ``mode="verdicts"`` (ours): stage 1 runs exactly where something is masked: the mask holds what looks bad and what
      is not matched, and nothing else. Stage 2 runs if the *perceptual* score is below its bar, or if so much looks bad
      that the mask leaves it to stage 2 (``perceptual_left``). The alignment bar and ``region_bar`` are not asked.
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
        mode: ``"verdicts"``, ``"gated"`` or ``"paper"``.
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
        perceptual_left: whether what looks bad is too much for stage 1, see ``regions.find_regions``.

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

    if mode == "verdicts":
        wanted1 = masked != 0
        run2 = ps < ps_bar or bool(perceptual_left)
        verdict = _verdict("Perceptual score", ps, ps_bar)
        if perceptual_left:
            verdict += ", too much of the picture looks bad for stage 1"
        verdict += f", alignment score {as_:.2f}"
    elif mode == "paper":
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
    if not wanted1 and not run2:
        return "the picture is left exactly as it is"
    where = "the masked part" if masked is None else f"the masked {max(masked, 0.0001):.2%} of the picture"
    parts = [
        f"stage 1 repaints {where} {how1}" if run1 else "nothing is masked, so stage 1 has nothing to repaint",
        f"stage 2 restores the whole picture at strength {mild:.2f} in {second} steps"
        if run2
        else "stage 2 does not run, for the picture as a whole looks good",
    ]
    return "; ".join(parts)


# What is repaired region by region.


@dataclass(frozen=True)
class RegionPlan:
    """What is done to one connected region of a picture's mask."""

    number: int
    """From 1 up, in the order of ``masks.label_regions``: from top to bottom and left to right."""
    box: tuple[int, int, int, int]
    """(top, left, bottom, right) in pixels, the last two exclusive."""
    phrases: tuple[int, ...]
    """Indices of the phrases that are mended here."""
    bad: bool
    """Whether the picture looks bad here."""
    severity: float
    """In [0, 1]: the largest deficit of its phrases, or how bad it looks, whichever is more."""
    strength: float
    """Of stage 1, in [0, 1]."""
    steps: int
    """Executed denoiser calls of stage 1, whatever the strength."""
    prompt: str
    """What stage 1 paints here, in words."""


@dataclass(frozen=True)
class RepairPlan:
    """What is to be done to one picture: its masks, and for each region strength, steps and prompt."""

    diagnosis: Diagnosis
    """What it follows from."""
    denoise: Tensor = field(compare=False, repr=False)
    """(H, W), 0 or 1: what is sampled anew."""
    composite: Tensor = field(compare=False, repr=False)
    """(H, W) in [0, 1]: how much of it is pasted."""
    regions: tuple[RegionPlan, ...] = ()
    """From ``RegionPlan.number`` 1 up; empty where nothing is masked."""
    left_out: tuple[PhraseRegion, ...] = ()
    """Unmatched phrases that wait for another pass, with the reason."""
    perceptual_left: bool = False
    """Whether what looks bad is too much for stage 1 and is left to stage 2."""
    join: int = JOIN
    """Regions closer than this many pixels are one."""
    plan: Plan | None = None
    """Which stages run; None until it is decided."""

    @property
    def area(self) -> float:
        """Share of the picture that is sampled anew, in [0, 1]."""
        return float(self.denoise.mean())

    @property
    def run_stage1(self) -> bool:
        """Whether stage 1 has something to do and is wanted."""
        return bool(self.regions) and (self.plan is None or self.plan.run_stage1)


def plan_repairs(
    diagnosis: Diagnosis,
    found: RegionMasks,
    *,
    join: int = JOIN,
    prompt: str | None = None,
    stage1_min: float = 0.5,
    stage1_max: float = 0.9,
    steps: int = 10,
    own_phrases: bool = False,
) -> RepairPlan:
    """Lay out the repair of one picture region by region.

    A region's strength is ``stage1_min + (stage1_max - stage1_min) · severity`` of that region alone: a slight flaw in
    one corner is not repainted from noise because something is missing in another.

    Args:
        diagnosis: of the picture.
        found: its masks, see ``regions.find_regions``.
        join: regions closer than this many pixels are one.
        prompt: what stage 1 paints by, emphasised or not; None = that of the diagnosis.
        stage1_min: strength for the slightest defect, in [0, 1].
        stage1_max: strength for the worst, in [0, 1].
        steps: executed denoiser calls of each region.
        own_phrases: put the region's own phrases in front of the prompt: a whole prompt paints a small whole scene into
            a small region.

    Raises:
        InputError: numbers out of range.
    """
    low = number(stage1_min, "stage1_min", 0.0, 1.0)
    high = number(stage1_max, "stage1_max", 0.0, 1.0)
    words = (diagnosis.prompt or "") if prompt is None else prompt
    denoise = found.mask.denoise[0]
    labels, count = label_regions(denoise, join)
    regions = []
    for index in range(1, count + 1):
        where = labels == index
        box = bounding_box(where)
        assert box is not None
        phrases, bad = phrases_in(found.owners, where, found.taken)
        severity = max((diagnosis.phrases[each].deficit for each in phrases), default=0.0)
        if bad and diagnosis.perceptual_map is not None:
            places = where.to(found.owners.device) & (found.owners & CORE).bool()
            looks = diagnosis.perceptual_map.to(places.device)[places]
            severity = max(severity, float(looks.mean()) if len(looks) else 0.0)
        severity = min(max(severity, 0.0), 1.0)
        regions.append(
            RegionPlan(
                number=index,
                box=box,
                phrases=phrases,
                bad=bad,
                severity=severity,
                strength=low + (high - low) * severity,
                steps=whole_number(steps, "steps", 1, 100_000),
                prompt=region_prompt(diagnosis, phrases, words) if own_phrases else words,
            )
        )
    return RepairPlan(
        diagnosis=diagnosis,
        denoise=denoise,
        composite=found.mask.composite[0],
        regions=tuple(regions),
        left_out=found.left_out,
        perceptual_left=found.perceptual_left,
        join=join,
    )


def region_prompt(diagnosis: Diagnosis, phrases: tuple[int, ...], prompt: str) -> str:
    """``prompt`` with the words of ``phrases`` in front; as it is where there are none."""
    own = ", ".join(diagnosis.phrases[index].phrase.text for index in phrases)
    return f"{own}, {prompt}" if own and prompt else own or prompt


def decide(
    repairs: RepairPlan,
    *,
    mode: str = "verdicts",
    steps: int = 20,
    stage1_min: float = 0.5,
    stage1_max: float = 0.9,
    stage2_strength: float = 0.2,
    perceptual_bar: float = 0.8,
    alignment_bar: float = 0.8,
    region_bar: float = 0.0,
    own_phrases: bool = False,
    prompt: str | None = None,
    calibrated: bool = True,
) -> RepairPlan:
    """``repairs`` with the decision which stages run, and with strengths and steps of its regions; arguments as in
    ``plan_refinement`` and ``plan_repairs``.

    Stage 2 is asked for by the four factors alone: a hole that the map shows is stage 1's. ``calibrated``: in mode
    "verdicts" the bar of the perceptual score that was measured for the quality model is taken where it was.
    """
    found = repairs.diagnosis
    if calibrated and mode == "verdicts" and found.perceptual_bar is not None:
        perceptual_bar = found.perceptual_bar
    plan = plan_refinement(
        1.0 if found.whole_score is None else found.whole_score,
        1.0 if found.alignment_score is None else found.alignment_score,
        mode=mode,
        steps=steps,
        stage1_min=stage1_min,
        stage1_max=stage1_max,
        stage2_strength=stage2_strength,
        perceptual_bar=perceptual_bar,
        alignment_bar=alignment_bar,
        area=repairs.area,
        worst_region=found.worst_region,
        region_bar=region_bar,
        perceptual_left=repairs.perceptual_left,
    )
    words = (found.prompt or "") if prompt is None else prompt
    regions = tuple(
        replace(
            region,
            strength=stage1_min + (stage1_max - stage1_min) * region.severity,
            steps=plan.stage1_steps,
            prompt=region_prompt(found, region.phrases, words) if own_phrases else words,
        )
        for region in repairs.regions
    )
    strongest = max((region.strength for region in regions), default=plan.stage1_strength)
    waiting = ""
    if repairs.left_out:
        named = ", ".join(f"'{found.phrases[each.phrase].phrase.text}'" for each in repairs.left_out)
        waiting = f" Not in this pass: {named}."
    plan = replace(plan, stage1_strength=strongest, reason=_with_regions(plan, regions) + waiting)
    return replace(repairs, plan=plan, regions=regions)


def _with_regions(plan: Plan, regions: tuple[RegionPlan, ...]) -> str:
    """The reason with the regions' own strengths in it, where they differ from the picture's one."""
    if not plan.run_stage1 or not regions:
        return plan.reason
    strengths = sorted(region.strength for region in regions)
    told = f"{strengths[0]:.2f}"
    if strengths[-1] - strengths[0] >= 0.005:
        told += f" to {strengths[-1]:.2f}"
    return plan.reason.replace(f"at strength {plan.stage1_strength:.2f} in", f"at strength {told} in", 1)


def region_of(repairs: RepairPlan, number: int) -> RegionPlan | None:
    """The plan of region ``number``, if there is one."""
    return repairs.regions[number - 1] if 0 < number <= len(repairs.regions) else None
