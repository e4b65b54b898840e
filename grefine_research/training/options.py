"""All choices of prompt tuning in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from grefine_core.checks import choice, number, whole_number
from grefine_core.clip.embeddings import FACTORS, PerceptualBounds
from grefine_core.errors import InputError

from .precision import Precision

Regression = Literal["mse", "cross_entropy"]
Ranking = Literal["logistic", "margin"]
Pool = Literal["worst", "softmin", "mean"]
PatchTarget = Literal["same", "presence"]
Start = Literal["noise", "words"]
Schedule = Literal["constant", "cosine"]
Trained = Literal["embeddings", "text-encoder"]

#: The name at the end of every sequence, good and bad: two words and a full stop, as in the published embeddings.
NAMES: dict[str, tuple[str, str]] = dict.fromkeys(FACTORS, ("good photo.", "bad photo."))

#: Words the context starts from with ``start="words"``.
WORDS: dict[str, tuple[str, str]] = {
    "overall": ("good perfect", "bad poor"),
    "technical": ("sharp clear", "blurry noisy"),
    "rational": ("complete correct", "broken wrong"),
    "natural": ("natural real", "strange unreal"),
}


@dataclass(frozen=True)
class PromptTuningOptions:
    """How the prompts of PQ-Map are learned. The paper: Adam, 50 epochs, ranking and regression on MOS; the rest of it
    is not published **[choice]**.

    Raises:
        InputError: a value out of range, or names that are not those of the factors.
    """

    train: Trained = "embeddings"
    """What learns: the context of the prompts, or with it a copy of the text encoder that reads them. The image encoder
    is frozen either way, and so is the model's own text encoder, which reads the phrases of AQ-Map."""
    epochs: int = 50
    batch_size: int = 64
    learning_rate: float = 2e-3
    """Of the context."""
    text_learning_rate: float = 1e-5
    """Of the text encoder, where it learns."""
    schedule: Schedule = "cosine"
    """Of the learning rate, over all epochs."""
    ranking_weight: float = 1.0
    regression_weight: float = 1.0
    ranking: Ranking = "logistic"
    """Loss of a pair that is ordered by its labels: softplus of the difference of the log-odds, or a hinge on that of
    the probabilities."""
    margin: float = 0.05
    """Of the hinge: by how much the better one has to be ahead."""
    tie: float = 0.02
    """Labels closer than this make no pair."""
    regression: Regression = "cross_entropy"
    """Of the probability of good on the label: squared error, or cross entropy with the label as a probability. The
    second has the same minimum, and its gradient does not vanish where CLIP's temperature saturates the softmax."""
    mos_weight: float = 1.0
    """Of the loss on PS against the MOS, beside one for each factor that has labels."""
    patch_weight: float = 0.0
    """Of the same losses on what is pooled from the patch tokens, beside one on the class token; 0 is the paper's way,
    which never looks at patches. Their labels are the picture's own: multiple-instance learning, in which no region is
    ever labelled."""
    pool: Pool = "worst"
    """From patches to a picture, in log-odds: mean of the worst ``pool_share``, mean weighted towards the worst, or
    plain mean (of the probabilities: then the share of bad patches has to fit the label)."""
    pool_share: float = 0.1
    """Of the patches, for ``pool="worst"``."""
    pool_sharpness: float = 1.0
    """Of the weights of ``pool="softmin"``, on log-odds; 0 is the mean."""
    patch_target: PatchTarget = "same"
    """Label of the pooled patches: the picture's, or whether anything is wrong with it (1 if its label is 1, else 0).
    The second suits labels that shrink with the share of the picture that is bad, while the worst patches do not."""
    bounds: PerceptualBounds = field(default_factory=PerceptualBounds)
    """β of the cask formula while training."""
    measure_bounds: Literal["mean", "quantile", "none"] = "mean"
    """Which β the result carries: the mean preference of good validation pictures, as the paper's are, or a low
    quantile of it, for scores and for patches; or those of the training."""
    bound_quantile: float = 0.05
    """For ``measure_bounds="quantile"``: share of good pictures, or good patches, below the bounds."""
    start: Start = "noise"
    """Context at the start: noise, or words and less noise."""
    noise: float = 1.0
    """Standard deviation of the noise, in units of that of the model's token embeddings."""
    names: Mapping[str, tuple[str, str]] = field(default_factory=lambda: dict(NAMES))
    """Factor -> name of good and of bad, each of three tokens."""
    words: Mapping[str, tuple[str, str]] = field(default_factory=lambda: dict(WORDS))
    """Factor -> words of good and of bad for ``start="words"``."""
    patience: int = 0
    """Epochs without a better validation before it ends early; 0 never ends early. The best epoch is kept anyway."""
    validation_share: float = 0.1
    """Of the pictures, where no validation pictures are given."""
    seed: int = 0
    precision: Precision = "float32"
    """Of the text encoder's products while training; validation and result are in float32."""

    def __post_init__(self) -> None:
        whole_number(self.epochs, "epochs", 1, 100_000)
        whole_number(self.batch_size, "batch_size", 2, 1 << 20)
        whole_number(self.patience, "patience", 0, 100_000)
        whole_number(self.seed, "seed", 0, (1 << 63) - 1)
        for name in ("learning_rate", "text_learning_rate"):
            if number(getattr(self, name), name, 0.0, 10.0) <= 0:
                raise InputError(f"{name}: has to be above 0, or nothing is learned.")
        number(self.pool_share, "pool_share", 0.0, 1.0)
        number(self.validation_share, "validation_share", 0.0, 0.9)
        number(self.tie, "tie", 0.0, 1.0)
        number(self.margin, "margin", 0.0, 1.0)
        number(self.bound_quantile, "bound_quantile", 0.0, 1.0)
        choice(self.measure_bounds, "measure_bounds", ("mean", "quantile", "none"))
        for name in ("ranking_weight", "regression_weight", "mos_weight", "patch_weight", "pool_sharpness", "noise"):
            number(getattr(self, name), name, 0.0, 1e6)
        for name, allowed in (
            ("train", Trained),
            ("precision", Precision),
            ("schedule", Schedule),
            ("ranking", Ranking),
            ("regression", Regression),
            ("pool", Pool),
            ("patch_target", PatchTarget),
            ("start", Start),
        ):
            choice(getattr(self, name), name, get_args(allowed))
        if self.ranking_weight == self.regression_weight == 0:
            raise InputError("ranking_weight, regression_weight: both are 0, so there is nothing to learn from.")
        for name in ("names", "words"):
            pairs = getattr(self, name)
            if set(pairs) != set(FACTORS) or any(len(pair) != 2 for pair in pairs.values()):
                raise InputError(f"{name}: expected a pair of texts, good and bad, for each of {', '.join(FACTORS)}.")
