"""Reading JSON that anybody may have written: whatever is wrong with it is a ``ValueError``, and numbers are finite."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: no JSON; brackets nested too deeply; NaN, Infinity, or a number beyond the range of floats (1e999),
            none of which JSON has, and with which later comparisons would quietly come out one way.
    """
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("brackets are nested too deeply") from error


def read_json(file: Path) -> Any:
    """The value of a JSON file.

    Raises:
        OSError: the file cannot be read.
        ValueError: as :func:`parse_json`; also for a file that is not UTF-8.
    """
    return parse_json(file.read_text(encoding="utf-8"))


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is not a finite number")
    return value


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a finite number")
