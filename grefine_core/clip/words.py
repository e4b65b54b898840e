"""PQ-Map from words: antonym pairs that any CLIP can read itself, where no embeddings were learned for it.

Weaker than embeddings learned for the model, and at hand for every width. How good they are with some weights is
measured by the calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .embeddings import FACTORS

#: Factor -> (good, bad) texts, which are averaged. "{}" is filled with each of ``SUBJECTS``.
PAIRS: dict[str, tuple[tuple[str, str], ...]] = {
    "overall": (
        ("a good {}", "a bad {}"),
        ("a high quality {}", "a low quality {}"),
        ("a clean {}", "a damaged {}"),
    ),
    "technical": (
        ("a sharp {}", "a blurry {}"),
        ("a clear {}", "a noisy {}"),
        ("a crisp {}", "a pixelated {}"),
        ("a detailed {}", "a grainy, compressed {}"),
    ),
    "rational": (
        ("an intact {}", "a distorted {}"),
        ("a complete {}", "a broken {}"),
        ("a well formed {}", "a deformed {}"),
    ),
    "natural": (
        ("a {} with natural colors", "a {} with unnatural colors"),
        ("a {} with balanced colors", "a {} with strange colors"),
        ("a realistic {}", "an odd {}"),
    ),
}
SUBJECTS = ("photo", "picture")


def texts() -> tuple[str, ...]:
    """All texts, in a fixed order."""
    return tuple(
        text.format(subject) for name in FACTORS for pair in PAIRS[name] for text in pair for subject in SUBJECTS
    )


def features_of_words(encode: Callable[[Sequence[str]], Tensor]) -> dict[str, Tensor]:
    """Factor -> (2, C) unit features of good and bad: the means over its pairs.

    Args:
        encode: texts -> unit features (n, C).
    """
    every = texts()
    vectors = dict(zip(every, encode(every), strict=True))
    found = {}
    for name in FACTORS:
        sides = [
            torch.stack([vectors[pair[side].format(subject)] for pair in PAIRS[name] for subject in SUBJECTS]).mean(0)
            for side in (0, 1)
        ]
        found[name] = F.normalize(torch.stack(sides), dim=-1)
    return found
