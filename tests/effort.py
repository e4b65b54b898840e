"""What a call costs: by how it grows, work that is done again and again for each part of its input is found."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest


def calls(run: Callable[[], object]) -> float:
    """How many functions are called, Python's and those in C: the same on any machine."""
    count = 0

    def counts(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counts)
    try:
        run()
    finally:
        sys.setprofile(before)
    return float(count)


def seconds(run: Callable[[], object]) -> float:
    """Processor seconds of this process, the least of three: what one call does in C, a regular expression say, too."""
    taken = []
    for _ in range(3):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return max(min(taken), 0.005)


#: For `pytest.mark.parametrize`: the clock only where there is time to run again what a busy machine has spoilt.
EFFORTS = [calls, pytest.param(seconds, marks=pytest.mark.slow)]
