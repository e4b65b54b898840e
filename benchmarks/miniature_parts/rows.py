"""The rows of the refinement table: the whole method, parts of it, and what one would do without it."""

from __future__ import annotations

from torch import Tensor

from grefine_research.evaluation.variants import VARIANTS, Answer, row_title
from grefine_research.evaluation.variants import Refiner as _Refiner

_BY_TITLE = {
    VARIANTS[name].title: VARIANTS[name] for name in ("full", "pq-only", "aq-only", "stage1-only", "img2img", "inpaint")
}
METHODS = tuple(_BY_TITLE)
FULL = METHODS[0]


def row_name(method: str, guarded: bool) -> str:
    """As in the table and in the records."""
    return row_title(method, guarded)


ROWS = tuple(row_name(method, guarded) for method in METHODS for guarded in (True, False))


class Refiner(_Refiner):
    """Makes every row of one picture, by its title."""

    def __call__(self, method: str, guarded: bool, image: Tensor, prompt: str) -> Answer:
        """One row for ``image`` (1, H, W, 3)."""
        return self.make(_BY_TITLE[method], guarded, image, prompt)
