"""What AQ-Map gives: the verdict on one phrase, on a batch of pictures, and on both kinds of quality together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from torch import Tensor

if TYPE_CHECKING:
    from ..prompt.syntax.tree import Phrase


Defect = Literal["none", "noun", "modifier"]


@dataclass(frozen=True)
class PhraseQuality:
    """How well one phrase of the prompt is matched by one picture (method, section 3)."""

    phrase: Phrase
    """The phrase, with its words, head, spans and ancestor."""
    score: float
    """as_i in [0, 1]: how well the whole phrase is matched."""
    head_score: float
    """an_i in [0, 1]: how well its head noun alone is matched."""
    defect: Defect = "none"
    """"noun": the thing is not there; "modifier": it is there, but not as described; "none": matched."""
    deficit: float = 0.0
    """In [0, 1], how far the deciding score is below its bound; 0 when matched."""
    region: int | None = None
    """Index of the phrase whose region is marked; None for the whole image, and for a matched phrase."""
    map: Tensor | None = field(default=None, compare=False, repr=False)
    """Similarity of every patch to the phrase, (h, w) float32 in [0, 1]: patch resolution, not the picture's."""

    @property
    def matched(self) -> bool:
        """Whether nothing has to be done for this phrase."""
        return self.defect == "none"


@dataclass(frozen=True)
class AlignmentQuality:
    """AQ-Map of a batch of B pictures."""

    score: Tensor
    """AS, (B,) float32 in [0, 1]; high means that the picture shows what the prompt says."""
    defect_map: Tensor
    """(B, H, W) float32 in [0, 1]; high where something must change, exactly zero if every phrase is matched."""
    phrases: tuple[tuple[PhraseQuality, ...], ...]
    """One tuple for each picture, in the order of its prompt tree."""
    prompt_score: Tensor
    """as_T, (B,) in [0, 1]: how well the prompt as a whole is matched."""


Interrupt = Callable[[], None] | None
"""Called between parts of the work; what it raises stops it."""


@dataclass(frozen=True)
class Measurement:
    """Raw scores of one picture, before any bound."""

    scores: tuple[tuple[float, float] | None, ...]
    """(as_i, an_i) of every phrase, None where not measured."""
    prompt: float
    """as_T."""
    maps: tuple[Tensor | None, ...]
    """Similarity map of every phrase (h, w) in [0, 1]."""
    grid: tuple[int, int]
    """(h, w)."""
