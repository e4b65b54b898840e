"""One count of denoiser calls over many engine calls and both stages."""

from __future__ import annotations

from torch import Tensor

from .protocols import Progress


def part_of(progress: Progress | None, before: int, planned: int, total: int) -> Progress | None:
    """A callback for one engine call of ``planned`` steps, after ``before`` of ``total`` steps of the whole stage."""
    if progress is None:
        return None
    outer = progress

    def report(done: int, of: int, preview: Tensor | None) -> None:
        outer(before + round(min(done, of) / max(of, 1) * planned), total, preview)

    return report


class Tally:
    """One count over both stages. How many calls stage 1 needs is known once it has planned its crops."""

    def __init__(self, progress: Progress | None, second_total: int) -> None:
        self._progress, self._second_total, self._first_total = progress, second_total, 0
        self.first: Progress | None = None if progress is None else self._first
        self.second: Progress | None = None if progress is None else self._second

    def _first(self, done: int, total: int, preview: Tensor | None) -> None:
        assert self._progress is not None
        self._first_total = total
        self._progress(done, total + self._second_total, preview)

    def _second(self, done: int, total: int, preview: Tensor | None) -> None:
        assert self._progress is not None
        self._progress(self._first_total + done, self._first_total + total, preview)
