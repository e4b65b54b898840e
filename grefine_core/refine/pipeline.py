"""The whole method: assess, merge, binarise, emphasise, plan, stage 1, guard, stage 2, guard, report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..checks import choice, per_picture, whole_number
from ..diagnosis import diagnose_pictures
from ..errors import InputError
from ..masks import Mask, binarize_map, merge_maps
from ..plan import Plan, RepairPlan, decide, plan_refinement, plan_repairs
from ..prompt.emphasis import emphasize
from ..regions import RegionOptions, find_regions
from ..report.data import GuardEntry, Report, not_measured_note
from ..report.words import shares_of
from ..tensors import as_canvas, as_images, as_masks, match_masks
from .attempts import Attempt, Attempts, InPlace, read_keep, repair, repair_whole
from .gains import MAP
from .guard import NOISE, RULES, GuardResult, Scores, check_tolerance, guard
from .protocols import Inpainter, Progress, RefineOptions, Restorer, Tally, resolve_engine, second_stage_seed, seeds_for
from .stages import stage1, stage2, untouched

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RefineResult:
    """What ``refine`` gives.

    Attributes:
        image: ``(B, H, W, 3)``, or 4 where the input has alpha.
        reports: one for each picture.
        encodes: pictures that were assessed, all stages and candidates together.
        attempts: of each picture all attempts, stage by stage; empty where one each was asked for and nothing was to be
            kept by hand.
    """

    image: Tensor
    reports: list[Report]
    encodes: int
    attempts: list[tuple[Attempt, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class Findings:
    """What is wrong with every picture of the batch, and what is to be done.

    Attributes:
        scores: (PS, AS) of each picture.
        assessment: both maps with their scores, factors and phrases.
        merged: ``(B, H, W)`` in [0, 1], both defect maps as one.
        mask: what stage 1 is to repaint.
        prompts: the emphasised prompts.
        plans: one for each picture.
        worst_regions: quality of each picture's worst region; None where it was not measured.
        repairs: what is done region by region; None of each picture where ``options.regions`` is None.
    """

    scores: list[Scores]
    assessment: Any
    merged: Tensor
    mask: Mask
    prompts: list[str]
    plans: list[Plan]
    worst_regions: list[float | None]
    repairs: list[RepairPlan | None]


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
    second_opinion: Any = None,
    interrupt: Callable[[], None] | None = None,
) -> RefineResult:
    """Find what is wrong with pictures and repair exactly that (method, sections 2 to 6).

    Every picture of a batch has its own phrases, masks, plan, strength and seed. A picture in which nothing is found
    comes back bit-identical. No engine is called, or loaded, for a stage that has nothing to do. With the guard on,
    nothing stays that harms, by the project's own indicators; with its rule "gain" nothing that brings nothing, either.

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
        second_opinion: another quality model that may refuse what the guard lets pass; for its rule "gain".
        interrupt: called between attempts; what it raises stops the work.

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
    choice(options.rule, "rule", RULES)
    wanted = read_keep(options.keep)
    if whole_number(options.attempts, "attempts", 1, 1000) > 1 and not options.guard:
        raise InputError("attempts: without the guard nothing is refused, so nothing is tried again. Turn it on.")
    measure = assess
    if measure is None:
        from ..alignment import assess as own  # late: it needs the text side

        measure = own

    found = diagnose(as_images(pictures, "image"), prompts, quality, options, protect, measure)
    run1 = [plan.run_stage1 and inpainter is not None for plan in found.plans]
    run2 = [plan.run_stage2 and restorer is not None for plan in found.plans]
    tally = Tally(
        progress,
        options.attempts * sum(plan.stage2_steps for plan, run in zip(found.plans, run2, strict=True) if run),
    )
    check = _Check(quality, prompts, options, assess, second_opinion)
    repeated = _Repeated(found, prompts, seeds, options, wanted, check, interrupt)
    encodes = count
    tried: list[tuple[Attempt, ...]] = [()] * count

    result, scores = pictures, list(found.scores)
    guard1 = guard2 = None
    if any(run1):
        assert inpainter is not None
        strengths = [plan.stage1_strength if run else 0.0 for plan, run in zip(found.plans, run1, strict=True)]
        if options.guard and (options.attempts > 1 or wanted):
            result, scores, guard1, tried = repeated.stage1(pictures, inpainter, strengths, scores, tally.first)
        else:
            repainted = stage1(
                pictures,
                found.mask.denoise,
                found.mask.composite,
                inpainter,
                prompts=found.prompts,
                strengths=strengths,
                steps=[plan.stage1_steps for plan in found.plans],
                seed=seeds,
                crop=options.crop,
                keep_color=options.stage1_keep_color,
                progress=tally.first,
                repairs=found.repairs,
            )
            result, scores, guard1 = check(pictures, repainted, scores, found.mask.denoise, 1)
    after_first, scores_first = result, scores
    if any(run2):
        assert restorer is not None
        strengths = [plan.stage2_strength if run else 0.0 for plan, run in zip(found.plans, run2, strict=True)]
        if options.attempts > 1:
            result, scores, guard2, more = repeated.stage2(result, restorer, strengths, scores, tally.second)
            tried = [(*first, *second) for first, second in zip(tried, more, strict=True)]
        else:
            restored = stage2(
                result,
                restorer,
                prompts=prompts,
                strengths=strengths,
                steps=[plan.stage2_steps for plan in found.plans],
                seed=[second_stage_seed(value) for value in seeds],
                keep_color=options.stage2_keep_color,
                progress=tally.second,
            )
            result, scores, guard2 = check(result, restored, scores, None, 2)
        if options.guard and options.rule == "scores":
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
    return RefineResult(result, reports, encodes, tried)


#: What a stage gives: pictures, their scores, what the guard said, and every attempt at each picture.
_Stage = tuple[Tensor, list[Scores], GuardResult, list[tuple[Attempt, ...]]]


@dataclass(frozen=True)
class _Repeated:
    """The stages with their guard inside, picture by picture: what is refused is painted again."""

    found: Findings
    prompts: Sequence[str]
    seeds: Sequence[int]
    options: RefineOptions
    wanted: dict[int, int | None]
    check: _Check
    interrupt: Callable[[], None] | None

    def stage1(
        self,
        pictures: Tensor,
        inpainter: Inpainter | Callable[[], Inpainter],
        strengths: Sequence[float],
        scores: list[Scores],
        progress: Progress | None,
    ) -> _Stage:
        engine, found, options = resolve_engine(inpainter, "inpaint"), self.found, self.options

        def one(index: int, part: Progress | None) -> Attempts:
            def judge(before: Tensor, after: Tensor, mask: Tensor, keep: frozenset[int]) -> GuardResult:
                return self.check.guard(before, after, mask, 1, [index], keep)

            own = slice(index, index + 1)
            return repair(
                pictures[own],
                found.mask.denoise[own],
                found.mask.composite[own],
                engine,
                judge,
                prompt=found.prompts[index],
                strength=strengths[index],
                steps=found.plans[index].stage1_steps,
                seed=self.seeds[index],
                attempts=options.attempts,
                index=index,
                keep=self.wanted,
                crop=options.crop,
                keep_color=options.stage1_keep_color,
                repairs=found.repairs[index],
                progress=part,
                interrupt=self.interrupt,
            )

        return self._each(pictures, strengths, scores, progress, one)

    def stage2(
        self,
        pictures: Tensor,
        restorer: Restorer | Callable[[], Restorer],
        strengths: Sequence[float],
        scores: list[Scores],
        progress: Progress | None,
    ) -> _Stage:
        engine = resolve_engine(restorer, "restore")

        def one(index: int, part: Progress | None) -> Attempts:
            picture, calls = pictures[index : index + 1], self.found.plans[index].stage2_steps

            def paint(seed: int, progress: Progress | None) -> Tensor:
                return stage2(
                    picture,
                    engine if index == 0 else InPlace(engine, index),
                    prompts=self.prompts[index],
                    strengths=strengths[index],
                    steps=calls,
                    seed=seed,
                    keep_color=self.options.stage2_keep_color,
                    progress=progress,
                )

            def judge(before: Tensor, after: Tensor) -> GuardResult:
                return self.check.guard(before, after, None, 2, [index], ())

            return repair_whole(
                picture,
                paint,
                judge,
                seed=second_stage_seed(self.seeds[index]),
                attempts=self.options.attempts,
                calls=calls,
                progress=part,
                interrupt=self.interrupt,
            )

        return self._each(pictures, strengths, scores, progress, one)

    def _each(
        self,
        pictures: Tensor,
        strengths: Sequence[float],
        scores: list[Scores],
        progress: Progress | None,
        one: Callable[[int, Progress | None], Attempts],
    ) -> _Stage:
        active = [index for index, strength in enumerate(strengths) if strength > 0]
        result, done = pictures, {}
        for place, index in enumerate(active):
            done[index] = one(index, None if progress is None else _share(progress, place, len(active)))
            result = pictures.clone() if result is pictures else result
            result[index : index + 1] = done[index].image
        every = range(len(pictures))
        now, measured = self.check.measure(pictures, result, scores)
        encodes = measured.encodes + sum(each.encodes for each in done.values())
        entries = [done[index].entries if index in done else [] for index in every]
        attempts = [done[index].attempts if index in done else () for index in every]
        return result, now, GuardResult(result, entries, list(scores), list(now), encodes), attempts


def _share(progress: Progress, before: int, of: int) -> Progress:
    """``progress`` for one of several pictures, in units of that picture's own total."""

    def report(done: int, total: int, preview: Tensor | None) -> None:
        progress(before * total + done, of * total, preview)

    return report


def diagnose(
    pictures: Tensor,
    prompts: list[str],
    quality: Any,
    options: RefineOptions,
    protect: Tensor | None,
    assess: Callable[..., Any],
) -> Findings:
    """Find what is wrong: the method up to the plan, before anything is painted. Arguments as in ``refine``."""
    assessment = assess(quality, pictures, prompts)
    perceptual, alignment = assessment.perceptual, assessment.alignment
    choices = asdict(options.masks)
    merge, weights = choices.pop("merge"), choices.pop("weights")
    shield = None if protect is None else as_masks(protect, "protect")
    emphasized = [
        emphasize(prompt, phrases, **asdict(options.emphasis))
        for prompt, phrases in zip(prompts, alignment.phrases, strict=True)
    ]
    scores: list[Scores] = list(zip(perceptual.score.tolist(), alignment.score.tolist(), strict=True))
    measured: Tensor | None = getattr(perceptual, "worst_region", None)
    worst: list[float | None] = [None] * len(scores) if measured is None else measured.tolist()
    merged = merge_maps([perceptual.defect_map, alignment.defect_map], merge, weights)
    if options.regions is None:
        mask = binarize_map(merged, protect=shield, **choices)
        plans = [
            plan_refinement(*score, area=float(area), worst_region=region, **asdict(options.plan))
            for score, area, region in zip(scores, mask.area, worst, strict=True)
        ]
        return Findings(scores, assessment, merged, mask, emphasized, plans, worst, [None] * len(scores))

    shields = None if shield is None else match_masks(shield, pictures, "protect", "image")
    ways = regional(options.regions, options.plan.mode)
    masks, repairs = [], []
    for index, one in enumerate(diagnose_pictures(assessment, prompts, quality)):
        regions = find_regions(one, ways, protect=None if shields is None else shields[index], **choices)
        laid = plan_repairs(one, regions, join=options.crop.join)
        masks.append(regions.mask)
        repairs.append(
            decide(
                laid,
                **asdict(options.plan),
                own_phrases=options.own_phrases,
                prompt=emphasized[index],
                calibrated=ways.calibrated,
            )
        )
    mask = Mask(*(torch.cat([getattr(each, name) for each in masks]) for name in ("denoise", "composite", "area")))
    plans = [each.plan for each in repairs if each.plan is not None]
    return Findings(scores, assessment, merged, mask, emphasized, plans, worst, list(repairs))


def regional(options: RegionOptions, mode: str) -> RegionOptions:
    """The options for a mode: as the paper has it, what is missing and hangs on nothing is drawn anywhere."""
    return replace(options, whole=True) if mode == "paper" else options


class _Check:
    """Guards one stage, or, with the guard off, only measures its result."""

    def __init__(
        self,
        quality: Any,
        prompts: list[str],
        options: RefineOptions,
        assess: Callable[..., Any] | None,
        second_opinion: Any,
    ) -> None:
        self._quality, self._prompts, self._options, self._assess = quality, prompts, options, assess
        self._second = second_opinion

    def __call__(
        self, before: Tensor, after: Tensor, scores: list[Scores], mask: Tensor | None, stage: int
    ) -> tuple[Tensor, list[Scores], GuardResult]:
        if not self._options.guard:
            return after, *self.measure(before, after, scores)
        checked = self.guard(before, after, mask, stage, range(len(scores)), (), scores)
        now = [new or old for new, old in zip(checked.after, scores, strict=True)]
        return checked.image, now, checked

    def guard(
        self,
        before: Tensor,
        after: Tensor,
        mask: Tensor | None,
        stage: int,
        which: Sequence[int],
        keep: Collection[int],
        scores: list[Scores] | None = None,
    ) -> GuardResult:
        """The guard as the options want it, for the pictures ``which``."""
        options = self._options
        return guard(
            before,
            after,
            self._quality,
            [self._prompts[index] for index in which],
            mask=mask,
            tolerance=options.tolerance,
            stage=stage,
            join=options.crop.join,
            scores=scores,
            assess=self._assess,
            rule=options.rule,
            attempts=options.attempts,
            second_opinion=self._second,
            keep=keep,
        )

    def measure(self, before: Tensor, after: Tensor, scores: list[Scores]) -> tuple[list[Scores], GuardResult]:
        """The scores of what changed, no questions asked."""
        changed = [index for index in range(len(after)) if not torch.equal(before[index], after[index])]
        now = list(scores)
        if changed:
            measure = self._assess
            if measure is None:
                from ..alignment import assess as own  # late: it needs the text side

                measure = partial(own, map_size=MAP)
            found = measure(self._quality, as_images(after[changed]), [self._prompts[index] for index in changed])
            pairs = zip(found.perceptual.score.tolist(), found.alignment.score.tolist(), strict=True)
            for index, pair in zip(changed, pairs, strict=True):
                now[index] = pair
        return now, GuardResult(after, [[] for _ in scores], list(scores), list(now), len(changed))


def _against_input(
    found: Findings,
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
    found: Findings,
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
        shares=shares_of(perceptual, index),
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
