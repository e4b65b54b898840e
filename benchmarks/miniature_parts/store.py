"""Records of pictures, one JSON line each, so that a run that was ended goes on where it was."""

from __future__ import annotations

from pathlib import Path

from grefine_research.evaluation.store import Record
from grefine_research.evaluation.store import Store as _Store


class Store(_Store[int]):
    """The records of one part of one run, by the pictures' numbers.

    Args:
        path: the file; its first line is the run's fingerprint. A file of another run is begun anew.
        fingerprint: see ``Run.fingerprint``.
        keep: whether what is there already is kept.
    """

    def __init__(self, path: Path, fingerprint: str, keep: bool) -> None:
        super().__init__(path, fingerprint, keep, field="index")

    def missing(self, count: int) -> list[int]:
        """Numbers below ``count`` without a record."""
        return super().missing(range(count))

    def records(self, count: int) -> list[Record]:
        """Those below ``count``, in order."""
        return super().records(range(count))
