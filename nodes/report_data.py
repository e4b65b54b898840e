"""From what is connected to Quality Report to one `Report` for each picture. Imports without the host."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..grefine_core.alignment import Assessment, PhraseQuality
from ..grefine_core.checks import number
from ..grefine_core.errors import InputError
from ..grefine_core.report import Report, report_json
from ..grefine_core.report.data import GuardEntry, not_measured_note
from ..grefine_core.report.words import kept_though, shares_of
from . import inputs, preview
from .inputs import json_object
from .preview import phrase_lines

# The guard's decisions as the text that goes from node to node, and back

Scores = tuple[float, float]


def write(stage: str, entries: list[GuardEntry], before: Scores | None, after: Scores | None) -> str:
    """JSON of what the guard decided about one picture: figures before and after, and each decision.

    The scores are null for a picture in which nothing had changed, so that nothing had to be measured.
    """
    return json.dumps(
        {
            "stage": stage,
            "changes": len(entries),
            "refused": sum(not entry.accepted for entry in entries),
            "before": _named(before),
            "after": _named(after),
            "decisions": [decision(entry) for entry in entries],
        },
        indent=2,
    )


def decision(entry: GuardEntry) -> dict[str, Any]:
    """One decision for JSON, without its stage."""
    told = {key: value for key, value in asdict(entry).items() if key != "stage"}
    return {**told, "before": _named(entry.before), "after": _named(entry.after)}


def read(value: object, name: str, stage: int) -> list[GuardEntry]:
    """The decisions of one such text.

    Raises:
        InputError: no text, or not what a guard gave.
    """
    report = json_object(value, name)
    try:
        return [
            GuardEntry(
                stage=stage,
                region=None if told["region"] is None else _box(told["region"]),
                accepted=_verdict(told["accepted"]),
                before=_scores(told["before"]),
                after=_scores(told["after"]),
                reason=str(told["reason"]),
                # Reports of earlier releases have no more than these.
                number=int(told.get("number", place)),
                quality=_pair(told.get("quality")),
                attempt=int(told.get("attempt", 1)),
            )
            for place, told in enumerate(report["decisions"], start=1)
        ]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{name}: is not the report of a No-Harm Guard ({error!r}). Connect its output guard_report."
        ) from error


def _named(scores: Scores | None) -> dict[str, float] | None:
    return None if scores is None else {"perceptual": scores[0], "alignment": scores[1]}


def _scores(named: Any) -> Scores:
    return number(named["perceptual"], "perceptual", 0.0, 1.0), number(named["alignment"], "alignment", 0.0, 1.0)


def _pair(values: Any) -> tuple[float, float] | None:
    if values is None:
        return None
    before, after = (number(value, "quality", 0.0, 1.0) for value in values)
    return before, after


def _verdict(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"accepted: {value!r:.80}")
    return value


def _box(values: Any) -> tuple[int, int, int, int]:
    top, left, bottom, right = (int(value) for value in values)
    return top, left, bottom, right


_MAPS = {
    "perceptual_defects": "perceptual_defect",
    "alignment_defects": "alignment_defect",
    "denoise_mask": "denoise",
}


#: What is said where one of these texts is the prompt.
_BYPASSED = {
    "plan_reason": "Refine Plan is bypassed: nothing was planned.",
    "stage1_guard": "Stage 1 was not guarded: its guard is bypassed.",
    "stage2_guard": "Stage 2 was not guarded: its guard is bypassed.",
}


@dataclass(frozen=True)
class Extras:
    """What may be connected beside the pictures, of one picture."""

    emphasized_prompt: str | None = None
    phrases: tuple[PhraseQuality, ...] | None = None
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    plan_reason: str | None = None
    guard: tuple[GuardEntry, ...] = ()
    notes: tuple[str, ...] = ()


def gather(
    before: inputs.Pictures, connected: Mapping[str, Sequence[object] | None], prompts: Sequence[str]
) -> list[Extras]:
    """Match everything that is connected to the pictures before; one `Extras` for each.

    A node that is bypassed hands on what it was given: where a plan's reason or a guard's report should be stands the
    prompt then. That is no mistake of the user's; it becomes a note.

    Args:
        before: the pictures.
        connected: the optional inputs, by name.
        prompts: of each picture.

    Raises:
        InputError: other numbers of values than pictures (or one for all), or wrong types or sizes.
    """
    count = len(before)
    there = {name: values for name, values in connected.items() if inputs.given(values)}

    def texts(name: str) -> list[str | None]:
        if name not in there:
            return [None] * count
        return [inputs.text(value, name) for value in inputs.per_picture(there[name], name, count)]

    phrases: list[tuple[PhraseQuality, ...] | None] = [None] * count
    if "phrases" in there:
        groups = inputs.flatten_groups(there["phrases"], "phrases", PhraseQuality, "the phrases that AQ-Map gives")
        phrases = list(inputs.per_picture(groups, "phrases", count))
    masks = {
        shown: inputs.flatten_masks(there[name], name, before, "before")
        for name, shown in _MAPS.items()
        if name in there
    }
    emphasized, told = texts("emphasized_prompt"), {name: texts(name) for name in _BYPASSED}
    extras = []
    for index in range(count):
        written = {name: values[index] for name, values in told.items()}
        handed_on = [name for name, text in written.items() if text in (prompts[index], emphasized[index])]
        written |= dict.fromkeys(handed_on)
        extras.append(
            Extras(
                emphasized_prompt=emphasized[index],
                phrases=phrases[index],
                maps={shown: masks[shown][index][0] for shown in masks},
                plan_reason=written["plan_reason"],
                guard=tuple(
                    entry
                    for stage in (1, 2)
                    if written[f"stage{stage}_guard"] is not None
                    for entry in read(written[f"stage{stage}_guard"], f"stage{stage}_guard", stage)
                ),
                notes=tuple(_BYPASSED[name] for name in handed_on if told[name][index] is not None),
            )
        )
    return extras


def build(
    before: Tensor, after: Tensor, prompt: str, measured: tuple[Assessment, Assessment], extras: Extras
) -> Report:
    """The report on one picture: `before` and `after` `(1, H, W, 3)`, and what was measured of both.

    Maps that are not connected are those that were measured of the picture before.
    """
    first, second = measured
    maps = {
        "perceptual_defect": first.perceptual.defect_map[0],
        "alignment_defect": first.alignment.defect_map[0],
        **extras.maps,
    }
    return Report(
        prompt=prompt,
        emphasized_prompt=prompt if extras.emphasized_prompt is None else extras.emphasized_prompt,
        seed=None,
        size=(before.shape[1], before.shape[2]),
        before=_both_scores(first),
        after=_both_scores(second),
        factors=_factors(first),
        phrases=first.alignment.phrases[0] if extras.phrases is None else extras.phrases,
        plan=None,
        area=float(maps["denoise"].mean()) if "denoise" in maps else None,
        guard=extras.guard,
        changed=not torch.equal(before, after.to(before.device)),
        factors_after=_factors(second),
        shares=shares_of(first.perceptual),
        shares_after=shares_of(second.perceptual),
        notes=tuple(
            note for note in (_planned(extras), *extras.notes, not_measured_note(first.alignment.phrases[0])) if note
        ),
        maps=maps,
        worst_region=float(first.perceptual.worst_region[0]),
        worst_region_after=float(second.perceptual.worst_region[0]),
        alignment_measured=first.alignment.measured[0],
    )


def _planned(extras: Extras) -> str:
    """The plan in words, said to be one: whether it was kept is the guard's to say."""
    return f"Plan: {extras.plan_reason}" if extras.plan_reason else ""


def as_data(report: Report, extras: Extras) -> dict[str, Any]:
    """The report as JSON has it; the plan is known by its reason alone here."""
    data = report_json(report)
    if extras.plan_reason:
        data["plan"], data["notes"] = {"reason": extras.plan_reason}, data["notes"][1:]
    return data


def summary(report: Report) -> str:
    """What the refinement brought, in two or three lines."""
    scores = list(zip(("Perceptual", "Alignment"), report.before, report.after, strict=True))
    shown = scores if report.alignment_measured else scores[:1]
    lines = [f"{name} score: {old:.3f} → {new:.3f} ({new - old:+.3f})" for name, old, new in shown]
    if not report.alignment_measured:
        lines.append("Alignment is not measured.")
    refused = sum(not entry.accepted for entry in report.guard)
    if refused:
        lines.append(f"The guard took back {refused} of {len(report.guard)} changes.")
    if not report.changed:
        lines.append("The picture is as it was.")
    return "\n".join(lines)


def lines(report: Report) -> list[preview.Line]:
    """The same for the node itself, with the phrases coloured by their defects, each decision of the guard, and what
    fell from the first picture to the second though the change is kept."""
    scores = list(zip(("Perceptual score", "Alignment score"), report.before, report.after, strict=True))
    shown = scores if report.alignment_measured else scores[:1]
    found = [preview.change(name, old, new) for name, old, new in shown]
    if not report.alignment_measured and report.prompt.strip():
        found.append(preview.line("Alignment is not measured.", "faint"))
    found += preview.phrases(report.phrases, phrase_lines(report.phrases))
    # What fell by one change alone, which the guard's own node says, is not said beside what fell in the end.
    found += [preview.decision(entry, f"Stage {entry.stage}")[0] for entry in report.guard]
    if told := kept_though(report):
        found.append(preview.line(told, "warn", main=True))
    found += [preview.line(note, "warn") for note in _BYPASSED.values() if note in report.notes]
    if not report.changed:
        found.append(preview.line("The picture is as it was.", "faint"))
    return found


def _both_scores(measured: Assessment) -> tuple[float, float]:
    return float(measured.perceptual.score[0]), float(measured.alignment.score[0])


def _factors(measured: Assessment) -> dict[str, float]:
    return {name: float(values[0]) for name, values in measured.perceptual.factors.items()}
