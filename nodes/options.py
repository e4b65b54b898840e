"""How quality is measured: options that PQ-Map, AQ-Map, the guard and the report share. Imports without the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..grefine_core.alignment import Assessment, assess
from ..grefine_core.alignment.calibration import SCORINGS as CORE_SCORINGS
from ..grefine_core.alignment.verdicts import AGGREGATES
from ..grefine_core.checks import choice, number
from ..grefine_core.clip.embeddings import FORMULAS, QualityFormula
from ..grefine_core.clip.quality_model import QualityModel
from .inputs import flag

SCORINGS = ("auto", *CORE_SCORINGS)
IMPORTANCE_RANGE = (0.05, 1.05)


def importance(technical: object, rational: object, natural: object) -> tuple[float, float, float]:
    """The three importance inputs as one tuple, in the core's order.

    Raises:
        InputError: no number, or outside of 0.05 … 1.05.
    """
    return (
        number(technical, "importance_technical", *IMPORTANCE_RANGE),
        number(rational, "importance_rational", *IMPORTANCE_RANGE),
        number(natural, "importance_natural", *IMPORTANCE_RANGE),
    )


def alignment_options(scoring: object, aggregate: object, include_style: object) -> dict[str, Any]:
    """AQ-Map's options as the core's keywords; "auto" leaves the way of scoring to the core.

    Raises:
        InputError: an unknown choice.
    """
    chosen = choice(scoring, "scoring", SCORINGS)
    keywords = {
        "aggregate": choice(aggregate, "aggregate", AGGREGATES),
        "include_style": flag(include_style, "include_style"),
    }
    return keywords if chosen == "auto" else {**keywords, "scoring": chosen}


@dataclass(frozen=True)
class Measure:
    """One way of measuring, checked: what the guard and the report must share with the maps to be comparable."""

    formula: QualityFormula
    importance: tuple[float, float, float]
    alignment: dict[str, Any]
    interrupt: Callable[[], None] | None = None

    @classmethod
    def from_inputs(
        cls,
        formula: object,
        importance_technical: object,
        importance_rational: object,
        importance_natural: object,
        scoring: object,
        aggregate: object,
        include_style: object,
        *,
        interrupt: Callable[[], None] | None = None,
    ) -> Measure:
        """Check the inputs of these names. `interrupt` may raise while it measures.

        Raises:
            InputError: an unknown choice, or a number outside of its range.
        """
        return cls(
            formula=choice(formula, "formula", FORMULAS),
            importance=importance(importance_technical, importance_rational, importance_natural),
            alignment=alignment_options(scoring, aggregate, include_style),
            interrupt=interrupt,
        )

    def __call__(
        self,
        quality: QualityModel,
        pictures: Tensor,
        prompts: str | Sequence[str],
        map_size: tuple[int, int] | None = None,
    ) -> Assessment:
        """Assess `pictures` `(B, H, W, 3)` against one prompt or one each; maps at the pictures' size or `map_size`."""
        chosen = {**self.alignment}
        if self.interrupt is not None:
            chosen["interrupt"] = self.interrupt
        return assess(
            quality,
            pictures,
            prompts,
            formula=self.formula,
            importance=self.importance,
            map_size=map_size,
            **chosen,
        )
