"""What nodes, sheets, reports and commands say in the same words: the figure of a phrase and of a factor, what became
of the mask, why a change is kept though something fell, and all of it in one line.

A phrase and a factor have one figure everywhere: the share of its bound that it reaches, 1.00 where it does. Whatever
else is given beside it is called a score.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..alignment.results import IN_WORDS

if TYPE_CHECKING:
    from ..alignment.results import PhraseQuality
    from .data import GuardEntry, Report

OF_ITS_BOUND = "of its bound"
#: A figure that changes by less is the same.
SAME = 5e-4
#: With these words a reason of the guard goes on to what fell though the change is kept.
THOUGH = "though "
#: Verdicts where there is little room.
_BRIEFLY = {"modifier": "not as described", "style": "style"}


def shown(share: float, digits: int = 2) -> str:
    """A share of a bound as it is written, also one that is not cut off at 1: "1.00" for none that is below its bound.

    Args:
        share: at least 0; 1 reaches the bound.
        digits: behind the point.
    """
    return f"{min(share, 1.0 - 10.0**-digits) if share < 1.0 else share:.{digits}f}"


def phrase_share(verdict: PhraseQuality) -> str:
    """The figure of one phrase: "1.00" exactly where it is matched."""
    return shown(1.0) if verdict.matched else shown(min(verdict.bounded, 1.0 - 1e-9))


def phrase_figures(verdict: PhraseQuality) -> str:
    """The figure of one phrase in words, with the score that decided."""
    return f"{phrase_share(verdict)} {OF_ITS_BOUND}, score {verdict.deciding:.2f}"


def phrase_verdict(verdict: PhraseQuality) -> str:
    """What is said beside a phrase: its verdict, and where it falls short its figure and what that is.

    A figure alone would say the contrary of its verdict: 0.97 of a bound is missed.
    """
    told = _BRIEFLY.get(verdict.verdict, IN_WORDS[verdict.verdict])
    if not verdict.measured or verdict.matched:
        return told
    return f"{told}, {phrase_share(verdict)} {OF_ITS_BOUND}"


def shares_of(perceptual: Any, index: int = 0) -> dict[str, float]:
    """What share of its bound each factor of one picture reaches (and "map", the map's statistic, where it has a
    bound), in [0, 1]: the perceptual score is their product.

    Args:
        perceptual: a ``PerceptualQuality``; of what has no ratios, nothing.
        index: which picture of the batch.
    """
    ratios = getattr(perceptual, "ratios", None) or {}
    return {name: min(max(float(values[index]), 0.0), 1.0) for name, values in ratios.items()}


def mask_title(report: Report) -> str:
    """What became of the mask: repainted, tried and refused, or masked alone."""
    entries = [entry for entry in report.guard if entry.stage == 1]
    kept = {entry.number for entry in entries if entry.accepted}
    refused = {entry.number: entry.reason for entry in entries if entry.number not in kept}
    if kept and refused:
        return f"Repainted by stage 1: {len(kept)} of {len(kept) + len(refused)} regions, the others were refused"
    if kept:
        return "Repainted by stage 1"
    if len(refused) == 1:
        return f"Tried by stage 1, refused: {next(iter(refused.values()))}"
    if refused:
        return f"Tried by stage 1, refused: all {len(refused)} regions"
    if report.plan is not None and not report.plan.run_stage1:
        return "Masked: stage 1 did not run"
    return "Masked for stage 1"


def kept_though(report: Report) -> str:
    """One sentence where a figure is lower in the result than it was: what fell, and why the change is kept all the
    same. Empty where nothing fell, or nothing was changed."""
    fell = [f"{name} {shown(old, 3)} → {shown(new, 3)}" for name, old, new in _figures(report) if new < old - SAME]
    if not fell or not report.changed:
        return ""
    kept = [entry for entry in report.guard if entry.accepted]
    why = "; ".join(dict.fromkeys(reason for entry in kept for reason in _brought(entry)))
    ends = f"Kept all the same, for what the guard asks: {why}." if why else "No guard weighed it."
    return f"Lower than before: {', '.join(fell)}. {ends}"


def in_short(described: Mapping[str, Any]) -> str:
    """One line of what was found, what was repaired, and what the guard refused.

    Args:
        described: a report as JSON has it (``report_json``).
    """
    phrases = [phrase for phrase in described["phrases"] if phrase["measured"] and phrase["defect"] != "none"]
    found = [f"'{phrase['text']}' is {IN_WORDS[phrase['defect']]}" for phrase in phrases]
    if any(share < 1.0 for share in described["before"].get("shares", {}).values()):
        found.append("it looks bad, at least in places")
    last = {(entry["stage"], entry["number"]): entry["accepted"] for entry in described["guard"]}
    said: dict[bool, list[str]] = {True: [], False: []}
    for stage in (1, 2):
        verdicts = [accepted for (where, _), accepted in last.items() if where == stage]
        for accepted, told in said.items():
            if count := verdicts.count(accepted):
                told.append("the whole by stage 2" if stage == 2 else f"{count} region{'s' * (count > 1)} by stage 1")
    parts = [f"Found: {', '.join(found) or 'nothing wrong'}."]
    parts += [f"Repaired: {', '.join(said[True])}."] if said[True] else []
    parts += [f"Tried and refused: {', '.join(said[False])}."] if said[False] else []
    return " ".join([*parts, *([] if described["changed"] else ["The picture is as it was."])])


def _figures(report: Report) -> Iterator[tuple[str, float, float]]:
    """Name, before, after of all that was measured of both pictures."""
    yield "perceptual score", report.before[0], report.after[0]
    if report.alignment_measured:
        yield "alignment score", report.before[1], report.after[1]
    for name, old in report.shares.items():
        if name in report.shares_after:
            yield name, old, report.shares_after[name]
    if report.worst_region is not None and report.worst_region_after is not None:
        yield "worst region", report.worst_region, report.worst_region_after


def _brought(entry: GuardEntry) -> Iterable[str]:
    """What a kept change brought, without what fell."""
    return split_reason(entry)[0]


def split_reason(entry: GuardEntry) -> tuple[list[str], list[str]]:
    """A guard's reason in its parts: why, and what fell though the change is kept."""
    parts = entry.reason.split("; ") if entry.accepted else [entry.reason]
    fell = [part.removeprefix(THOUGH) for part in parts if part.startswith(THOUGH)]
    return [part for part in parts if not part.startswith(THOUGH)], fell
