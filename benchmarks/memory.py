"""The peak memory of this process, for benchmarks."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_of(work: Callable[[], Any]) -> tuple[float, Any]:
    """By how many megabytes the peak of this process rises while ``work`` runs, and what it gives.

    Linux can forget the peak so far. Elsewhere it counts from the highest before on, so run each task in a process of
    its own there.
    """
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
        _RESET.write_text("5")
    before = _now() if sys.platform == "linux" else _peak()
    result = work()
    return _peak() - before, result


def _peak() -> float:
    if sys.platform == "linux":
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def _now() -> float:
    return _status("VmRSS")


def _status(name: str) -> float:
    lines = _STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1.024e-3
