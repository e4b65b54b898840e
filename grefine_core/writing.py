"""Files appear whole or not at all."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
