"""The cask effect of PQ-Map and its bounds β: what a model prefers where nothing is wrong (method, section 2).

Bounds belong to one set of embeddings together with its CLIP model. Sets that were trained here carry their own, in the
metadata of their file, and every loader finds them there; the published embeddings have the paper's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from .embeddings import FACTORS
from .errors import InputError, ModelFileError
from .json_reading import parse_json
from .models.files import read_metadata

BOUNDS = {"technical": 0.935, "rational": 0.892, "natural": 0.826}
"""β_f: mean preference on the AGIN database for the three defect factors, as published."""

METADATA_KEY = "perceptual_bounds"
"""Under which name a safetensors file of embeddings keeps its bounds."""


def _published() -> dict[str, float]:
    # The overall factor is not held against a bound in the paper: 1 leaves it as it is.
    return {"overall": 1.0, **BOUNDS}


@dataclass(frozen=True)
class PerceptualBounds:
    """β of every factor, each in (0, 1]; the default is the paper's."""

    score: Mapping[str, float] = field(default_factory=_published)
    """For PS, that is for the class token; the overall factor's is 1 in the paper."""
    patches: Mapping[str, float] = field(default_factory=_published)
    """For the map, that is for the patch tokens. The paper takes the same as for the score."""

    def __post_init__(self) -> None:
        for name, bounds in (("score", self.score), ("patches", self.patches)):
            if not isinstance(bounds, Mapping) or set(bounds) != set(FACTORS):
                raise InputError(f"bounds: {name} needs one number for each of {', '.join(FACTORS)}, got {bounds!r}.")
            for factor, value in bounds.items():
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value <= 1.0:
                    raise InputError(f"bounds: {name} of {factor} has to be above 0 and up to 1, got {value!r}.")

    def to_json(self) -> str:
        """As text, for the metadata of a file of embeddings."""
        return json.dumps({"score": dict(self.score), "patches": dict(self.patches)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: str | Path) -> PerceptualBounds:
        """Read what :meth:`to_json` wrote.

        Raises:
            ModelFileError: it is something else; names ``source``.
        """
        try:
            content = parse_json(text)
            return cls(content["score"], content["patches"])
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise ModelFileError(
                f"{source}: its bounds of the factors cannot be read ({error}); train or fetch the file again."
            ) from error


def load_perceptual_bounds(embeddings: object) -> PerceptualBounds:
    """The bounds that belong to ``embeddings``, as ``load_embedding_set`` takes them.

    Returns:
        Those in the metadata of a safetensors file with all factors; the paper's for everything else (None, the
        authors' files, a file for each factor, tensors).

    Raises:
        ModelFileError: the file is damaged, or its bounds are.
    """
    if not isinstance(embeddings, str | Path):
        return PerceptualBounds()
    file = Path(embeddings).expanduser()
    if file.suffix.lower() != ".safetensors" or not file.is_file():
        return PerceptualBounds()
    text = read_metadata(file).get(METADATA_KEY)
    return PerceptualBounds() if text is None else PerceptualBounds.from_json(text, file)


def cask(preference: Tensor, bounds: Mapping[str, float]) -> Tensor:
    """``Π_f min(p_f / β_f, 1)`` over (factor, …), factors in the order of ``FACTORS``; β of overall is 1 in the paper.

    Args:
        preference: (4, …), probabilities of *good*.
        bounds: β for each factor; those above 1, which an importance may give, count in full.

    Returns:
        (…), in [0, 1].
    """
    result = (preference[0] / bounds["overall"]).clamp(max=1.0)
    for name, value in zip(FACTORS[1:], preference[1:], strict=True):
        result = result * (value / bounds[name]).clamp(max=1.0)
    return result


def log_cask(log_preference: Tensor, bounds: Mapping[str, float]) -> Tensor:
    """Logarithm of :func:`cask` from the logarithms of the preferences (4, …): exact also where these are tiny."""
    total = log_preference.new_zeros(log_preference.shape[1:])
    for name, value in zip(FACTORS, log_preference, strict=True):
        total = total + (value - math.log(bounds[name])).clamp(max=0.0)
    return total
