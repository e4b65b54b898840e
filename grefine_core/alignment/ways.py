"""The ways in which AQ-Map can measure: the choices that the method leaves open, and what its ablations switch off."""

from __future__ import annotations

from dataclasses import dataclass

from ..checks import choice
from ..errors import InputError
from .calibration import SCORINGS, Calibration, Scoring
from .verdicts import (
    AGGREGATES,
    DEFAULT_PENALTY,
    MISSING_AT,
    PENALTIES,
    Aggregate,
    MissingAt,
    Penalty,
)


@dataclass(frozen=True)
class Ways:
    """The options of ``alignment_quality``, checked; what they mean is written there.

    Raises:
        InputError: an unknown option.
    """

    scoring: Scoring | None = None
    aggregate: Aggregate = "product"
    include_style: bool = False
    template: str = "{}"
    calibration: Calibration | None = None
    syntax: bool = True
    missing_at: MissingAt = "ancestor"
    subtract_empty: bool = True
    penalty: Penalty = DEFAULT_PENALTY

    def __post_init__(self) -> None:
        if self.scoring is not None:
            choice(self.scoring, "scoring", SCORINGS)
        choice(self.aggregate, "aggregate", AGGREGATES)
        choice(self.missing_at, "missing_at", MISSING_AT)
        choice(self.penalty, "penalty", PENALTIES)
        template: object = self.template
        if not isinstance(template, str) or template.count("{}") != 1 or set("{}") & set(template.replace("{}", "")):
            raise InputError(f"template: expected a text with one '{{}}' where the phrase goes, got {template!r}.")
