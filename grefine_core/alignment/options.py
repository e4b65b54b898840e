"""How AQ-Map measures: the choices that the method leaves open, what its ablations switch off, and what may measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor

from ..checks import choice
from ..clip.embeddings import FORMULAS, QualityFormula
from ..errors import InputError
from ..prompt.syntax.tree import PromptTree
from .calibration import SCORINGS, Calibration, LocalEvidence, Scoring
from .results import Interrupt, Measurement
from .verdicts import AGGREGATES, DEFAULT_PENALTY, MISSING_AT, PENALTIES, Aggregate, MissingAt, Penalty


@dataclass(frozen=True)
class AlignmentOptions:
    """The options of ``alignment_quality``, checked; what they mean is written there.

    Raises:
        InputError: an unknown option.
    """

    scoring: Scoring | None = None
    """None: the calibration's."""
    aggregate: Aggregate = "product"
    include_style: bool = False
    template: str = "{}"
    calibration: Calibration | None = None
    """None: the model's."""
    syntax: bool = True
    missing_at: MissingAt = "ancestor"
    subtract_empty: bool = True
    penalty: Penalty = DEFAULT_PENALTY
    temperature: float | None = None
    """τ of the scores; None: that of what measures."""
    formula: QualityFormula = "bounded"
    evidence: LocalEvidence | None = None
    """What scores are made of beside the picture as a whole; None: nothing."""

    def __post_init__(self) -> None:
        if self.scoring is not None:
            choice(self.scoring, "scoring", SCORINGS)
        choice(self.aggregate, "aggregate", AGGREGATES)
        choice(self.missing_at, "missing_at", MISSING_AT)
        choice(self.penalty, "penalty", PENALTIES)
        choice(self.formula, "formula", FORMULAS)
        template: object = self.template
        if not isinstance(template, str) or template.count("{}") != 1 or set("{}") & set(template.replace("{}", "")):
            raise InputError(f"template: expected a text with one '{{}}' where the phrase goes, got {template!r}.")

    @property
    def way(self) -> Scoring:
        """How to score: as asked for, else as the calibration says, else "contrast"."""
        if self.scoring is not None:
            return self.scoring
        return "contrast" if self.calibration is None else self.calibration.scoring

    def with_calibration(self, calibration: Calibration) -> AlignmentOptions:
        """These options with bounds, and the temperature and evidence that the bounds were measured with."""
        _, evidence = calibration.for_formula(self.formula)
        return replace(self, calibration=calibration, temperature=calibration.temperature, evidence=evidence)


class AlignmentEncoder(Protocol):
    """What measures alignment in the place of the quality model's CLIP (``QualityModel.alignment_encoder``)."""

    name: str
    """In reports and calibration files."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        ...

    def measure(
        self,
        pictures: Tensor,
        trees: Sequence[PromptTree],
        options: AlignmentOptions,
        *,
        interrupt: Interrupt = None,
    ) -> list[Measurement]:
        """As ``scoring.measure``, of pictures (B, H, W, 3) that went through ``as_images``."""
        ...

    def clear_cache(self) -> None:
        """Forget all pictures."""
        ...
