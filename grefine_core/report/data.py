"""What a run reports about one picture."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..alignment.results import why_not_measured

if TYPE_CHECKING:
    from ..alignment.results import PhraseQuality
    from ..plan import Plan


@dataclass(frozen=True)
class GuardEntry:
    """One decision of the no-harm guard."""

    stage: int
    """1 or 2."""
    region: tuple[int, int, int, int] | None
    """(top, left, bottom, right) in pixels, the last two exclusive; None = the whole picture."""
    accepted: bool
    before: tuple[float, float]
    """(PS, AS) of the picture as it was."""
    after: tuple[float, float]
    """(PS, AS) of the picture with this change alone."""
    reason: str
    """In plain words."""
    number: int = 1
    """Of the region in its mask, from 1, in the order of ``masks.label_regions``."""
    quality: tuple[float, float] | None = None
    """Quality of the region before and after, in [0, 1]; None where it was not measured."""
    attempt: int = 1
    """Which attempt this was, from 1."""


@dataclass(frozen=True)
class Report:
    """Everything about the refinement of one picture."""

    prompt: str
    emphasized_prompt: str
    """What stage 1 was asked to paint; the prompt itself if every phrase is matched."""
    seed: int | None
    """This picture's own seed: alone with it, the picture gives the same result as in its batch. None: not known."""
    size: tuple[int, int]
    """(height, width) in pixels."""
    before: tuple[float, float]
    """(PS, AS) of the input."""
    after: tuple[float, float]
    """(PS, AS) of the result."""
    factors: dict[str, float]
    """The raw scores of the perceptual factors of the input, each in [0, 1]; what is shown of them is ``shares``."""
    phrases: tuple[PhraseQuality, ...]
    plan: Plan | None
    """None where only measuring was done."""
    area: float | None
    """Share of the picture in the denoise mask, [0, 1]; None if there was no mask."""
    guard: tuple[GuardEntry, ...] = ()
    """Every decision of the no-harm guard, in order."""
    changed: bool = False
    """Whether any pixel of the result differs from the input."""
    factors_after: dict[str, float] = field(default_factory=dict)
    """The raw scores of the factors of the result; empty if they were not measured."""
    notes: tuple[str, ...] = ()
    """What else happened, in plain words."""
    worst_region: float | None = None
    """Quality of the input's worst region, see ``PerceptualQuality.worst_region``; None if it was not measured."""
    worst_region_after: float | None = None
    """The same of the result."""
    alignment_measured: bool = True
    """False where the prompt names nothing that can be looked for: the alignment scores are neutral and say nothing."""
    shares: dict[str, float] = field(default_factory=dict)
    """What share of its bound each factor of the input reaches, in [0, 1], see ``words.shares_of``."""
    shares_after: dict[str, float] = field(default_factory=dict)
    """The same of the result; empty if they were not measured."""
    maps: dict[str, Tensor] = field(default_factory=dict, compare=False, repr=False)
    """``(H, W)`` each, in [0, 1]: perceptual and alignment defects, merged, denoise, composite."""


def not_measured_note(phrases: Sequence[PhraseQuality]) -> str:
    """What a report says where alignment could not be measured; empty where it could."""
    reason = why_not_measured(phrases)
    return "" if reason is None else f"Alignment is not measured: {reason}."


# A report as plain data.

_PACKAGES = ("g-refine", "torch", "open_clip_torch", "diffusers", "transformers", "scipy", "Pillow")


def report_json(report: Report) -> dict[str, Any]:
    """Return ``report`` as a dict that ``json`` can write: strings, numbers, lists and dicts, no tensors, no maps.

    What is not a finite number, or was not measured, becomes ``None``. Scores are dicts of ``perceptual`` and
    ``alignment`` (those of both pictures with ``worst_region``, ``shares`` and ``factors``), regions are
    ``[top, left, bottom, right]`` in pixels, spans ``[start, end]`` in characters of the prompt. The figure of a phrase
    is its ``share``, that of a factor is in ``shares``: what share of its bound it reaches, in [0, 1]. The raw scores
    are ``score``, ``head_score`` and ``modifier_score`` of a phrase, and ``factors``.
    """
    return {
        "prompt": report.prompt,
        "emphasized_prompt": report.emphasized_prompt,
        "seed": None if report.seed is None else int(report.seed),
        "size": {"height": int(report.size[0]), "width": int(report.size[1])},
        "alignment_measured": bool(report.alignment_measured),
        "before": _measured(report, report.before, report.worst_region, report.shares, report.factors),
        "after": _measured(report, report.after, report.worst_region_after, report.shares_after, report.factors_after),
        "changed": bool(report.changed),
        "masked_area": None if report.area is None else _number(report.area),
        "phrase_count": sum(not verdict.phrase.is_style for verdict in report.phrases),
        "phrases": [_phrase(verdict) for verdict in report.phrases],
        "plan": _plan(report.plan),
        "guard": [_guard(entry) for entry in report.guard],
        "notes": [str(note) for note in report.notes],
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of what the figures depend on; of packages that are not there, nothing."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if "g-refine" not in found:  # a node pack is a folder, it is not installed
        from .. import __version__

        found["g-refine"] = __version__
    return found


def _phrase(verdict: PhraseQuality) -> dict[str, Any]:
    phrase = verdict.phrase
    return {
        "text": phrase.text,
        "head": phrase.head.text,
        "modifiers": [word.text for word in phrase.modifiers],
        "spans": [[int(start), int(end)] for start, end in phrase.spans],
        "ancestor": phrase.ancestor,
        "is_style": bool(phrase.is_style),
        "share": _number(verdict.bounded) if verdict.measured else None,
        "score": _number(verdict.score),
        "head_score": _number(verdict.head_score),
        "modifier_score": None if verdict.modifier_score is None else _number(verdict.modifier_score),
        "defect": verdict.defect,
        "deficit": _number(verdict.deficit),
        "ratio": _number(verdict.ratio) if verdict.measured else None,
        "measured": bool(verdict.measured),
        "region": verdict.region,
    }


def _plan(plan: Plan | None) -> dict[str, Any] | None:
    if plan is None:
        return None
    return {
        "run_stage1": bool(plan.run_stage1),
        "run_stage2": bool(plan.run_stage2),
        "stage1_strength": _number(plan.stage1_strength),
        "stage2_strength": _number(plan.stage2_strength),
        "stage1_steps": int(plan.stage1_steps),
        "stage2_steps": int(plan.stage2_steps),
        "reason": plan.reason,
    }


def _guard(entry: GuardEntry) -> dict[str, Any]:
    return {
        "stage": int(entry.stage),
        "region": None if entry.region is None else [int(side) for side in entry.region],
        "accepted": bool(entry.accepted),
        "before": _scores(entry.before),
        "after": _scores(entry.after),
        "reason": entry.reason,
        "number": int(entry.number),
        "attempt": int(entry.attempt),
        "quality": None
        if entry.quality is None
        else {"before": _number(entry.quality[0]), "after": _number(entry.quality[1])},
    }


def _measured(
    report: Report,
    scores: tuple[float, float],
    worst_region: float | None,
    shares: Mapping[str, float],
    factors: Mapping[str, float],
) -> dict[str, Any]:
    worst = None if worst_region is None else _number(worst_region)
    found = _scores(scores) | {"worst_region": worst, "shares": _numbers(shares), "factors": _numbers(factors)}
    return found if report.alignment_measured else found | {"alignment": None}


def _scores(scores: tuple[float, float]) -> dict[str, Any]:
    return {"perceptual": _number(scores[0]), "alignment": _number(scores[1])}


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {str(name): _number(value) for name, value in values.items()}


def _number(value: float) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
