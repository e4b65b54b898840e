"""Files appear whole or not at all."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from .plain_text import printable

# Reading JSON that anybody may have written: whatever is wrong with it is a ``ValueError``, and numbers are finite.


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


_HALF = re.compile(r"\.[0-9a-f]{32}(\.[^.]*)?")


def is_half(path: Path) -> bool:
    """Whether a file has the name that :func:`written_whole` gives while writing: a killed process left it."""
    return _HALF.fullmatch(path.name) is not None


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a hidden name beside ``path`` to write to; once the block ends well it becomes ``path``. Folders are made.

    A half-written file never takes a good one's place; if the block fails, nothing of it stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not of the tempfile module: its files can only be read by their owner, and stay so under their final name.
    scratch = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        yield scratch
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> Path:
    """Write a text file (UTF-8; what is no text as escapes) as a whole, see :func:`written_whole`; returns its path."""
    with written_whole(path) as scratch:
        scratch.write_text(printable(text), encoding="utf-8")
    return path
