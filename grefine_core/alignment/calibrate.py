"""Measuring the bounds of AQ-Map on pictures that are known to match their prompts (method, section 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from datetime import date

import torch
from torch import Tensor

from ..errors import InputError
from ..quality_model import QualityModel
from ..tensors import as_images
from .calibration import SCORINGS, Bounds, Calibration
from .quality import measure, trees_of

SMALLEST_BOUND = 1e-3
"""A bound of zero would be divided by, and would match everything."""

CalibrationProgress = Callable[[int, int | None], None]


def calibrate(
    model: QualityModel,
    samples: Iterable[tuple[Tensor, str]],
    quantile: float = 0.05,
    progress: CalibrationProgress | None = None,
    *,
    temperature: float | None = None,
    made_on: str | None = None,
) -> Calibration:
    """Set the bounds of both ways of scoring so that ``quantile`` of the phrases of good pictures fall below them.

    Args:
        model: the quality model; its own calibration is not used and not changed.
        samples: (picture (H, W, 3) or (1, H, W, 3), prompt) of pictures that show what their prompts say. Prompts
            without content phrases are passed over.
        quantile: share of matched phrases to be taken for unmatched, above 0 and below 1.
        progress: called with (done, total or None) after each picture; may raise to stop.
        temperature: τ of the scores; None for the model's own.
        made_on: date for the file; today without it.

    Returns:
        The calibration; the same samples give the same bounds.

    Raises:
        InputError: a bad quantile, a sample that is no picture with a prompt, or no content phrase in any of them.
    """
    if isinstance(quantile, bool) or not isinstance(quantile, int | float) or not 0.0 < quantile < 1.0:
        raise InputError(f"quantile: expected a number above 0 and below 1, got {quantile!r}.")
    total = len(samples) if isinstance(samples, Sized) else None
    heads: dict[str, list[float]] = {name: [] for name in SCORINGS}
    phrases: dict[str, list[float]] = {name: [] for name in SCORINGS}
    pictures = 0
    for done, sample in enumerate(samples, start=1):
        if not isinstance(sample, tuple | list) or len(sample) != 2:
            raise InputError(f"samples: number {done} is not a pair of a picture and its prompt.")
        picture = as_images(sample[0], f"samples[{done - 1}]")
        trees = trees_of(sample[1], None, len(picture))
        if all(tree.content for tree in trees):
            features = model.features_of(picture)
            pictures += len(picture)
            for scoring in SCORINGS:
                for one in measure(model, features, trees, scoring, temperature=temperature):
                    heads[scoring] += [score[1] for score in one.scores if score is not None]
                    phrases[scoring] += [score[0] for score in one.scores if score is not None]
        if progress is not None:
            progress(done, total)
    if not heads["contrast"]:
        raise InputError("samples: no prompt with anything to see in it; give pictures together with their prompts.")
    return Calibration(
        bounds={
            name: Bounds(_quantile(heads[name], quantile), _quantile(phrases[name], quantile)) for name in SCORINGS
        },
        temperature=temperature,
        quantile=float(quantile),
        pictures=pictures,
        phrases=len(heads["contrast"]),
        model=model.name,
        made_on=made_on or date.today().isoformat(),
    )


def _quantile(values: list[float], quantile: float) -> float:
    found = float(torch.quantile(torch.tensor(sorted(values), dtype=torch.float64), quantile))
    return min(max(found, SMALLEST_BOUND), 1.0)
