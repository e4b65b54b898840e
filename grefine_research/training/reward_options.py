"""All choices of fine-tuning ImageReward in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from grefine_core.checks import choice, number, whole_number
from grefine_core.errors import InputError

from .options import Ranking, Regression, Schedule
from .precision import Precision


@dataclass(frozen=True)
class RewardTuningOptions:
    """How ImageReward's image encoder is fine-tuned. The paper initialises AQ-Map's image encoder from ImageReward and
    fine-tunes it on ratings; how is not published **[choice]**.

    Raises:
        InputError: a value out of range.
    """

    layers: int = 0
    """Last layers of the image encoder that learn; 0: all of it, patches and positions included."""
    epochs: int = 10
    batch_size: int = 64
    """Pictures in a step, those of all processes together."""
    learning_rate: float = 1e-5
    schedule: Schedule = "cosine"
    ranking_weight: float = 1.0
    regression_weight: float = 1.0
    ranking: Ranking = "logistic"
    margin: float = 0.05
    tie: float = 0.02
    """Labels closer than this make no pair."""
    regression: Regression = "cross_entropy"
    """Of the logistic function of the reward on the label."""
    patience: int = 3
    """Epochs without a better validation before it ends early; 0 never ends early. The best epoch is kept anyway."""
    seed: int = 0
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        whole_number(self.layers, "layers", 0, 1000)
        whole_number(self.epochs, "epochs", 1, 100_000)
        whole_number(self.batch_size, "batch_size", 2, 1 << 20)
        whole_number(self.patience, "patience", 0, 100_000)
        whole_number(self.seed, "seed", 0, (1 << 63) - 1)
        if number(self.learning_rate, "learning_rate", 0.0, 10.0) <= 0:
            raise InputError("learning_rate: has to be above 0, or nothing is learned.")
        for name in ("ranking_weight", "regression_weight"):
            number(getattr(self, name), name, 0.0, 1e6)
        number(self.tie, "tie", 0.0, 1.0)
        number(self.margin, "margin", 0.0, 1.0)
        for name, allowed in (
            ("schedule", Schedule),
            ("ranking", Ranking),
            ("regression", Regression),
            ("precision", Precision),
        ):
            choice(getattr(self, name), name, get_args(allowed))
        if self.ranking_weight == self.regression_weight == 0:
            raise InputError("ranking_weight, regression_weight: both are 0, so there is nothing to learn from.")
