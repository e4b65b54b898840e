"""Runs the cases of some nodes inside of the host, and prints what failed as JSON."""

from __future__ import annotations

import json
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from .giving import Giver
from .subjects import CASES, SAMPLING, Subjects

#: Pixels of a batch that is sampled, at most.
SAMPLED = 80_000


def run(part: Callable[[str], Any], names: Sequence[str], cases: int, longest: int, most: int, text: int) -> None:
    """``cases`` of each node; sides up to ``longest``, ``most`` pixels, texts of ``text`` characters."""
    subjects = Subjects(part)
    result: dict[str, Any] = {"nodes": [name for group in part("nodes.extension").NODES.values() for name in group]}
    for name in names:
        outcomes: Counter[str] = Counter()
        start = time.monotonic()
        room = min(most, SAMPLED) if name in SAMPLING else most

        def one(draw: Any, name: str = name, room: int = room) -> str:
            # Broken inputs in half of the cases: else hardly a result would come of nodes with many inputs.
            faults = 8 if draw(st.booleans()) else 0
            return CASES[name](subjects, Giver(draw, longest, room, text, faults))

        try:
            _check(one, cases, outcomes)
            failed = ""
        except BaseException as error:
            failed = "".join(traceback.format_exception(error))[-6000:]
        result[name] = {"failed": failed, "seconds": time.monotonic() - start, **outcomes}
    print("RESULT", json.dumps(result))  # noqa: T201 - what the test reads


def _check(one: Callable[[Any], str], cases: int, outcomes: Counter[str]) -> None:
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(st.data())
    def check(data: Any) -> None:
        outcomes[one(data.draw)] += 1

    check()
