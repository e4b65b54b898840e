"""Masks of large pictures in little memory: what is a few megabytes for small ones is gigabytes for large ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "masks.py"
SIDE = 2048
#: Megabytes beyond the map and the two masks; four times as much at 4096².
MOST = 75.0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is counted differently elsewhere")
def test_binarizing_takes_little_beyond_its_masks():
    command = [sys.executable, str(BENCHMARK), "--one", str(SIDE), "--repeats", "1"]
    row = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    returned = 2 * SIDE * SIDE * 4 / 1e6
    assert row["memory_mb"] - returned < MOST
