"""The guard's decisions as the text that goes from node to node, and back. Imports without the host."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from ..grefine_core.errors import InputError
from ..grefine_core.report.data import GuardEntry
from .inputs import json_object, number

Scores = tuple[float, float]


def write(stage: str, entries: list[GuardEntry], before: Scores | None, after: Scores | None) -> str:
    """JSON of what the guard decided about one picture: figures before and after, and each decision.

    The scores are null for a picture in which nothing had changed, so that nothing had to be measured.
    """
    decisions = [{key: value for key, value in asdict(entry).items() if key != "stage"} for entry in entries]
    return json.dumps(
        {
            "stage": stage,
            "changes": len(entries),
            "refused": sum(not entry.accepted for entry in entries),
            "before": _named(before),
            "after": _named(after),
            "decisions": [
                {**decision, "before": _named(decision["before"]), "after": _named(decision["after"])}
                for decision in decisions
            ],
        },
        indent=2,
    )


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
                region=None if decision["region"] is None else _box(decision["region"]),
                accepted=_verdict(decision["accepted"]),
                before=_scores(decision["before"]),
                after=_scores(decision["after"]),
                reason=str(decision["reason"]),
            )
            for decision in report["decisions"]
        ]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{name}: is not the report of a No-Harm Guard ({error!r}). Connect its output guard_report."
        ) from error


def _named(scores: Scores | None) -> dict[str, float] | None:
    return None if scores is None else {"perceptual": scores[0], "alignment": scores[1]}


def _scores(named: Any) -> Scores:
    return number(named["perceptual"], "perceptual", 0.0, 1.0), number(named["alignment"], "alignment", 0.0, 1.0)


def _verdict(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"accepted: {value!r:.80}")
    return value


def _box(values: Any) -> tuple[int, int, int, int]:
    top, left, bottom, right = (int(value) for value in values)
    return top, left, bottom, right
