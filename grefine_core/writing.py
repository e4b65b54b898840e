"""Files appear whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
