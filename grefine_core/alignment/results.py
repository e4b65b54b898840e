"""What AQ-Map gives: the verdict on one phrase, on a batch of pictures, and on both kinds of quality together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from torch import Tensor

if TYPE_CHECKING:
    from ..prompt.syntax.tree import Phrase


Defect = Literal["none", "noun", "modifier"]
IN_WORDS: dict[str, str] = {
    "none": "matched",
    "modifier": "there, but not as described",
    "noun": "not there",
    "style": "style, left out",
    "unmeasured": "not measured",
}
"""What nodes, sheets and commands say of a phrase, by its ``verdict``."""


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
    """In [0, 1]: 1 − ``bounded``, 0 when matched. With ``formula="paper"``, how far the deciding score alone is below
    its bound."""
    region: int | None = None
    """Index of the phrase whose region is marked; None for the whole image, and for a matched phrase."""
    map: Tensor | None = field(default=None, compare=False, repr=False)
    """Similarity of every patch to the phrase, (h, w) float32 in [0, 1]: patch resolution, not the picture's."""
    ratio: float = 1.0
    """q = min(m_i / β_p, an_i / β_n), at least 0 and not clamped: good pictures differ in it. 1 where not measured. By
    the other formulas as_i takes the place of m_i."""
    measured: bool = True
    """False for what there is no measuring of (style, or words of another language): it counts as matched."""
    modifier_score: float | None = None
    """m_i in [0, 1]: how well its modifiers fit, whatever is known of its noun; None where it has none, or where this
    was not asked apart from as_i."""

    @property
    def bounded(self) -> float:
        """r = min(1, q) in [0, 1]: the verdict, 1 exactly where the phrase is matched."""
        return min(1.0, self.ratio)

    @property
    def verdict(self) -> str:
        """Its defect, or why it has none: "style" or "unmeasured"; a key of ``IN_WORDS``."""
        if self.measured:
            return self.defect
        return "style" if self.phrase.is_style else "unmeasured"

    @property
    def deciding(self) -> float:
        """The score that the verdict speaks of, in [0, 1]: an_i of a thing that is not there, m_i of one that is not as
        described (as_i where m_i was not asked), as_i of what matches."""
        if self.defect == "noun":
            return self.head_score
        return self.score if self.defect == "none" or self.modifier_score is None else self.modifier_score

    @property
    def matched(self) -> bool:
        """Whether nothing has to be done for this phrase."""
        return self.defect == "none"

    @property
    def unmatched(self) -> bool:
        """Whether something has to be done for this phrase: r < 1."""
        return self.defect != "none"


@dataclass(frozen=True)
class AlignmentQuality:
    """AQ-Map of a batch of B pictures."""

    score: Tensor
    """AS, (B,) float32 in [0, 1]; high means that the picture shows what the prompt says. With ``formula="bounded"`` it
    is 1 exactly where no phrase is unmatched, and 1 where nothing could be measured."""
    defect_map: Tensor
    """(B, H, W) float32 in [0, 1]; high where something must change, exactly zero if every phrase is matched."""
    phrases: tuple[tuple[PhraseQuality, ...], ...]
    """One tuple for each picture, in the order of its prompt tree."""
    prompt_score: Tensor
    """as_T, (B,) in [0, 1]: how well the prompt as a whole is matched."""
    log_ratio: Tensor
    """(B,) float32: the logarithm of AS with the phrases' unclamped ratios in it. It tells good pictures apart, which
    all have AS 1: for ranking, training and the guard, not for verdicts. 0 where nothing could be measured."""

    @cached_property
    def measured(self) -> tuple[bool, ...]:
        """For each picture, whether its prompt has anything that can be looked for. If not, ``score`` is neutral and
        ``defect_map`` empty."""
        return tuple(any(found.measured for found in phrases) for phrases in self.phrases)

    @cached_property
    def unmatched(self) -> tuple[tuple[int, ...], ...]:
        """For each picture the indices of its unmatched phrases, the largest deficit first."""
        return tuple(
            tuple(
                sorted(
                    (index for index, found in enumerate(phrases) if found.unmatched),
                    key=lambda index: -phrases[index].deficit,
                )
            )
            for phrases in self.phrases
        )


def why_not_measured(phrases: Sequence[PhraseQuality]) -> str | None:
    """Why nothing can be said of one picture's alignment, as the end of a sentence; None if something can."""
    if any(found.measured for found in phrases):
        return None
    if all(found.phrase.is_style for found in phrases) and phrases:
        return "the prompt names style alone, nothing to look for"
    return "the prompt names nothing to look for" if not phrases else "the prompt names nothing that can be measured"


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
    modifiers: tuple[float | None, ...] | None = None
    """m_i of every phrase, None of one that has no modifiers or is not measured; None of all: they are not known apart
    from as_i."""
