"""The whole method: assess, merge, binarise, emphasise, plan, stage 1, guard, stage 2, guard, report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..checks import per_picture
from ..errors import InputError
from ..masks import Mask, binarize_map, merge_maps
from ..plan import Plan, plan_refinement
from ..prompt.emphasis import emphasize
from ..report.data import GuardEntry, Report, not_measured_note
from ..tensors import as_canvas, as_images, as_masks
from .guard import NOISE, GuardResult, Scores, check_tolerance, guard
from .protocols import Inpainter, Progress, RefineOptions, Restorer, Tally, second_stage_seed, seeds_for
from .stages import stage1, stage2, untouched

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RefineResult:
    """What ``refine`` gives.

    Attributes:
        image: ``(B, H, W, 3)``, or 4 where the input has alpha.
        reports: one for each picture.
        encodes: pictures that were assessed, all stages and candidates together.
    """

    image: Tensor
    reports: list[Report]
    encodes: int


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with every picture of the batch, and what is to be done.

    Attributes:
        scores: (PS, AS) of each picture.
        assessment: both maps with their scores, factors and phrases.
        merged: ``(B, H, W)`` in [0, 1], both defect maps as one.
        mask: what stage 1 is to repaint.
        prompts: the emphasised prompts.
        plans: one for each picture.
        worst_regions: quality of each picture's worst region; None where it was not measured.
    """

    scores: list[Scores]
    assessment: Any
    merged: Tensor
    mask: Mask
    prompts: list[str]
    plans: list[Plan]
    worst_regions: list[float | None]


def refine(
    image: Tensor,
    prompt: str | Sequence[str],
    quality: Any,
    inpainter: Inpainter | Callable[[], Inpainter] | None,
    restorer: Restorer | Callable[[], Restorer] | None,
    *,
    options: RefineOptions | None = None,
    seed: int | Sequence[int] = 0,
    protect: Tensor | None = None,
    progress: Progress | None = None,
    assess: Callable[..., Any] | None = None,
) -> RefineResult:
    """Find what is wrong with pictures and repair exactly that (method, sections 2 to 6).

    Every picture of a batch has its own phrases, masks, plan, strength and seed. In gated mode a picture that passes
    both bars comes back bit-identical. No engine is called, or loaded, for a stage that has nothing to do. With the
    guard on, the result scores no lower than the input in either indicator, beyond the tolerance.

    Args:
        image: ``(B, H, W, 3)``, or 4 with alpha, which stays as it is; never written to. Values outside [0, 1] stay
            where nothing is repaired; see ``tensors.as_canvas``.
        prompt: what the pictures were meant to show; one, or one for each.
        quality: a ``QualityModel``.
        inpainter: engine of stage 1, or a function without arguments that loads it; None = stage 1 never runs.
        restorer: the same for stage 2.
        options: see ``RefineOptions``.
        seed: one for all (each picture gets its own from it, see ``seeds_for``) or one for each.
        protect: ``(B, H, W)`` or one for all; above 0 = never repainted by stage 1.
        progress: denoiser calls done and planned over everything, and previews; what it raises stops the work.
        assess: ``assess(quality, images, prompts)``; None = ``alignment.assess`` with its defaults. If its
            ``perceptual`` has no ``worst_region``, ``options.plan.region_bar`` is not asked.

    Raises:
        InputError: wrong shapes, types, counts or ranges; names the argument.
    """
    pictures = as_canvas(image, "image")
    count = pictures.shape[0]
    options = RefineOptions() if options is None else options
    if not isinstance(options, RefineOptions):
        raise InputError(f"options: expected RefineOptions, got {type(options).__name__}.")
    prompts: list[str] = per_picture(prompt, count, "prompt", str)
    seeds = seeds_for(seed, count)
    check_tolerance(options.tolerance)
    measure = assess
    if measure is None:
        from ..alignment import assess as own  # late: it needs the text side

        measure = own

    found = diagnose(as_images(pictures, "image"), prompts, quality, options, protect, measure)
    run1 = [plan.run_stage1 and inpainter is not None for plan in found.plans]
    run2 = [plan.run_stage2 and restorer is not None for plan in found.plans]
    tally = Tally(progress, sum(plan.stage2_steps for plan, run in zip(found.plans, run2, strict=True) if run))
    check = _Check(quality, prompts, options, assess)
    encodes = count

    result, scores = pictures, list(found.scores)
    guard1 = guard2 = None
    if any(run1):
        assert inpainter is not None
        repainted = stage1(
            pictures,
            found.mask.denoise,
            found.mask.composite,
            inpainter,
            prompts=found.prompts,
            strengths=[plan.stage1_strength if run else 0.0 for plan, run in zip(found.plans, run1, strict=True)],
            steps=[plan.stage1_steps for plan in found.plans],
            seed=seeds,
            crop=options.crop,
            keep_color=options.stage1_keep_color,
            progress=tally.first,
        )
        result, scores, guard1 = check(pictures, repainted, scores, found.mask.denoise, 1)
    after_first, scores_first = result, scores
    if any(run2):
        assert restorer is not None
        restored = stage2(
            result,
            restorer,
            prompts=prompts,
            strengths=[plan.stage2_strength if run else 0.0 for plan, run in zip(found.plans, run2, strict=True)],
            steps=[plan.stage2_steps for plan in found.plans],
            seed=[second_stage_seed(value) for value in seeds],
            keep_color=options.stage2_keep_color,
            progress=tally.second,
        )
        result, scores, guard2 = check(result, restored, scores, None, 2)
        if options.guard:
            result, scores, guard2 = _against_input(found, after_first, result, scores_first, scores, guard2, options)
    encodes += sum(each.encodes for each in (guard1, guard2) if each is not None)

    reports = []
    for index in range(count):
        entries = [entry for each in (guard1, guard2) if each is not None for entry in each.entries[index]]
        notes = _notes(found.plans[index], inpainter is None, restorer is None)
        changed = not torch.equal(result[index], pictures[index])
        size = (pictures.shape[1], pictures.shape[2])
        reports.append(
            _report(index, size, prompts[index], seeds[index], found, scores[index], tuple(entries), changed, notes)
        )
    if not any(report.changed for report in reports):
        result = image if untouched(image, pictures) else pictures
    return RefineResult(result, reports, encodes)


def diagnose(
    pictures: Tensor,
    prompts: list[str],
    quality: Any,
    options: RefineOptions,
    protect: Tensor | None,
    assess: Callable[..., Any],
) -> Diagnosis:
    """Find what is wrong: the method up to the plan, before anything is painted. Arguments as in ``refine``."""
    assessment = assess(quality, pictures, prompts)
    perceptual, alignment = assessment.perceptual, assessment.alignment
    choices = asdict(options.masks)
    merge, weights = choices.pop("merge"), choices.pop("weights")
    merged = merge_maps([perceptual.defect_map, alignment.defect_map], merge, weights)
    shield = None if protect is None else as_masks(protect, "protect")
    mask = binarize_map(merged, protect=shield, **choices)
    emphasized = [
        emphasize(prompt, phrases, **asdict(options.emphasis))
        for prompt, phrases in zip(prompts, alignment.phrases, strict=True)
    ]
    scores: list[Scores] = list(zip(perceptual.score.tolist(), alignment.score.tolist(), strict=True))
    measured: Tensor | None = getattr(perceptual, "worst_region", None)
    worst: list[float | None] = [None] * len(scores) if measured is None else measured.tolist()
    plans = [
        plan_refinement(*score, area=float(area), worst_region=region, **asdict(options.plan))
        for score, area, region in zip(scores, mask.area, worst, strict=True)
    ]
    return Diagnosis(scores, assessment, merged, mask, emphasized, plans, worst)


class _Check:
    """Guards one stage, or, with the guard off, only measures its result."""

    def __init__(
        self, quality: Any, prompts: list[str], options: RefineOptions, assess: Callable[..., Any] | None
    ) -> None:
        self._quality, self._prompts, self._options, self._assess = quality, prompts, options, assess

    def __call__(
        self, before: Tensor, after: Tensor, scores: list[Scores], mask: Tensor | None, stage: int
    ) -> tuple[Tensor, list[Scores], GuardResult]:
        if not self._options.guard:
            return after, *self._measure(before, after, scores)
        checked = guard(
            before,
            after,
            self._quality,
            self._prompts,
            mask=mask,
            tolerance=self._options.tolerance,
            stage=stage,
            join=self._options.crop.join,
            scores=scores,
            assess=self._assess,
        )
        now = [new or old for new, old in zip(checked.after, scores, strict=True)]
        return checked.image, now, checked

    def _measure(self, before: Tensor, after: Tensor, scores: list[Scores]) -> tuple[list[Scores], GuardResult]:
        """The scores of what changed, no questions asked."""
        changed = [index for index in range(len(after)) if not torch.equal(before[index], after[index])]
        now = list(scores)
        if changed:
            measure = self._assess
            if measure is None:
                from ..alignment import assess as own  # late: it needs the text side

                measure = own
            found = measure(self._quality, as_images(after[changed]), [self._prompts[index] for index in changed])
            pairs = zip(found.perceptual.score.tolist(), found.alignment.score.tolist(), strict=True)
            for index, pair in zip(changed, pairs, strict=True):
                now[index] = pair
        return now, GuardResult(after, [[] for _ in scores], list(scores), list(now), len(changed))


def _against_input(
    found: Diagnosis,
    first: Tensor,
    second: Tensor,
    scores_first: list[Scores],
    scores: list[Scores],
    guarded: GuardResult,
    options: RefineOptions,
) -> tuple[Tensor, list[Scores], GuardResult]:
    """With a tolerance, two stages could each use it up: against the input it counts once.

    Stage 1's result always passes against the input, so it is what remains.
    """
    kept, now, entries = second.clone(), list(scores), list(guarded.entries)
    for index, (score, origin) in enumerate(zip(scores, found.scores, strict=True)):
        if all(new >= old - options.tolerance - NOISE for new, old in zip(score, origin, strict=True)):
            continue
        kept[index], now[index] = first[index], scores_first[index]
        reason = "together with stage 1 an indicator falls by more than the tolerance against the input"
        entries[index] = [replace(entry, accepted=False, reason=reason) for entry in entries[index]]
    return kept, now, replace(guarded, image=kept, entries=entries)


def _notes(plan: Plan, no_inpainter: bool, no_restorer: bool) -> tuple[str, ...]:
    notes = []
    if plan.run_stage1 and no_inpainter:
        notes.append("Stage 1 was planned but did not run: no inpainter was given.")
    if plan.run_stage2 and no_restorer:
        notes.append("Stage 2 was planned but did not run: no restorer was given.")
    return tuple(notes)


def _report(
    index: int,
    size: tuple[int, int],
    prompt: str,
    seed: int,
    found: Diagnosis,
    after: Scores,
    entries: tuple[GuardEntry, ...],
    changed: bool,
    notes: tuple[str, ...],
) -> Report:
    perceptual, alignment = found.assessment.perceptual, found.assessment.alignment
    unmeasured = not_measured_note(alignment.phrases[index])
    return Report(
        prompt=prompt,
        emphasized_prompt=found.prompts[index],
        seed=seed,
        size=size,
        before=found.scores[index],
        after=after,
        factors={name: float(values[index]) for name, values in perceptual.factors.items()},
        worst_region=found.worst_regions[index],
        phrases=tuple(alignment.phrases[index]),
        plan=found.plans[index],
        area=float(found.mask.area[index]),
        guard=entries,
        changed=changed,
        notes=notes if not unmeasured else (unmeasured, *notes),
        alignment_measured=not unmeasured,
        maps={
            "perceptual_defect": perceptual.defect_map[index],
            "alignment_defect": alignment.defect_map[index],
            "merged": found.merged[index],
            "denoise": found.mask.denoise[index],
            "composite": found.mask.composite[index],
        },
    )
