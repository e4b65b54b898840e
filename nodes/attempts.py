"""Several attempts in the stages: what judges them, and how they are shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..grefine_core.alignment import assess
from ..grefine_core.errors import InputError
from ..grefine_core.plan import RepairPlan
from ..grefine_core.refine.attempts import Attempt, Attempts, Judge, read_keep
from ..grefine_core.refine.gains import MAP
from ..grefine_core.refine.guard import GuardResult, guard
from . import inputs, report_data
from .host import check_interrupted
from .io_types import MOST_ATTEMPTS
from .quality_model import quality_of

Values = Sequence[object]


@dataclass(frozen=True)
class Judging:
    """What judges the attempts at every picture; lists have one value for each."""

    quality: Any
    prompts: Sequence[str]
    ways: Sequence[Mapping[str, Any]]
    """Of measuring, as the diagnosis was measured."""
    attempts: int
    keep: Sequence[dict[int, int | None]]
    second: Any = None
    interrupt: Callable[[], None] = field(default=check_interrupted, repr=False)

    def check(
        self,
        place: int,
        before: Tensor,
        after: Tensor,
        mask: Tensor | None,
        join: int,
        keep: Collection[int] = (),
        stage: int = 1,
    ) -> GuardResult:
        """The guard by gain, of the picture at ``place``."""
        measure = partial(assess, map_size=MAP, interrupt=self.interrupt, **self.ways[place])
        second = None if self.second is None else quality_of(self.second, "second_opinion")
        return guard(
            before,
            after,
            quality_of(self.quality),  # again each time: painting may have taken its place on the device
            self.prompts[place],
            mask=mask,
            stage=stage,
            join=join,
            assess=measure,
            rule="gain",
            attempts=self.attempts,
            second_opinion=second,
            keep=keep,
        )

    def judge(self, place: int, join: int) -> Judge:
        """What ``attempts.repair`` asks about the picture at ``place``."""

        def ask(before: Tensor, after: Tensor, mask: Tensor, keep: frozenset[int]) -> GuardResult:
            return self.check(place, before, after, mask, join, keep)

        return ask


def judging_of(
    count: int,
    quality_model: Values | None,
    prompt: Values | None,
    diagnosis: Values | None,
    attempts: Values | None,
    keep: Values | None,
    second_opinion: Values | None,
    *,
    plans: Sequence[RepairPlan | None] = (),
) -> Judging | None:
    """What judges, where the inputs ask for more than one attempt or keep something; None where they do not.

    Raises:
        InputError: several attempts without a quality model or a prompt, or wrong types, counts or ranges.
    """
    number = 1
    if inputs.given(attempts):
        number = inputs.whole_number(inputs.single(attempts, "attempts"), "attempts", 1, MOST_ATTEMPTS)
    texts = inputs.per_picture(keep, "keep", count) if inputs.given(keep) else [""] * count
    kept = [read_keep(inputs.text(value, "keep")) for value in texts]
    if number == 1 and not any(kept):
        return None
    if not inputs.given(quality_model):
        raise InputError(
            "quality_model: several attempts, and what is kept by hand, need something that judges. Connect Load "
            "Quality Model, or set attempts to 1 and leave keep empty."
        )
    found: list[Any] = [None if plan is None else plan.diagnosis for plan in plans] or [None] * count
    if inputs.given(diagnosis):
        assert diagnosis is not None
        listed = [one for value in diagnosis if value is not None for one in inputs.diagnoses(value)]
        found = inputs.per_picture(listed, "diagnosis", count)
    prompts: list[str | None] = [None if one is None else one.prompt for one in found]
    if inputs.given(prompt):
        prompts = [inputs.text(value, "prompt") for value in inputs.per_picture(prompt, "prompt", count)]
    if any(words is None for words in prompts):
        raise InputError(
            "prompt: several attempts need to know what the picture was meant to show. Connect the prompt, or AQ-Map's "
            "diagnosis."
        )
    second = None
    if inputs.given(second_opinion):
        second = inputs.single(second_opinion, "second_opinion")
    return Judging(
        quality=inputs.single(quality_model, "quality_model"),
        prompts=[words or "" for words in prompts],
        ways=[{} if one is None else one.ways for one in found],
        attempts=number,
        keep=kept,
        second=second,
    )


def shown_attempts(images: Sequence[Any], tried: Mapping[int, Attempts], count: int) -> tuple[list[Any], list[str]]:
    """The outputs that show every attempt: crops, or the pictures where there was none; JSON for each picture."""
    crops = [
        attempt.picture[..., :3].to("cpu", torch.float32)
        for place in sorted(tried)
        for attempt in tried[place].attempts
    ]
    reports = [_report(tried[place]) if place in tried else _report(None) for place in range(count)]
    return crops or list(images), reports


def _report(done: Attempts | None) -> str:
    attempts = () if done is None else done.attempts
    return json.dumps(
        {
            "calls": 0 if done is None else done.calls,
            "kept": sum(attempt.accepted for attempt in attempts),
            "attempts": [_entry(attempt) for attempt in attempts],
        },
        indent=2,
    )


def _entry(attempt: Attempt) -> dict[str, Any]:
    told: dict[str, Any] = {
        "region": attempt.region,
        "attempt": attempt.number,
        "seed": attempt.seed,
        "shown": list(attempt.box),
        "kept": attempt.accepted,
    }
    return told if attempt.entry is None else {**told, "decision": report_data.decision(attempt.entry)}
