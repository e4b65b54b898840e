"""What was found in one picture, in one piece: scores, maps, phrases and verdicts, for whoever acts on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .clip.embeddings import FACTORS
from .errors import InputError

if TYPE_CHECKING:
    from .alignment.results import AlignmentQuality, PhraseQuality
    from .perceptual import PerceptualQuality

__all__ = ["Diagnosis", "diagnose_alignment", "diagnose_perceptual", "diagnose_pictures"]


@dataclass(frozen=True)
class Diagnosis:
    """One picture's findings; what was not looked at is None, and its maps and phrases are missing."""

    size: tuple[int, int]
    """(height, width) of the picture and its maps, in pixels."""
    perceptual_score: float | None = None
    """PS in [0, 1]."""
    alignment_score: float | None = None
    """AS in [0, 1]."""
    prompt: str | None = None
    """What the picture was meant to show."""
    phrases: tuple[PhraseQuality, ...] = ()
    """The prompt's phrases with their verdicts and maps, in order."""
    factors: Mapping[str, float] = field(default_factory=dict)
    """The perceptual factors, each in [0, 1]."""
    ratios: Mapping[str, float] = field(default_factory=dict)
    """The factors over their bounds, not clamped; empty where the formula has none."""
    worst_region: float | None = None
    """Quality of the worst region in [0, 1]."""
    perceptual_map: Tensor | None = field(default=None, compare=False, repr=False)
    """(H, W) in [0, 1], high where the picture looks bad."""
    alignment_map: Tensor | None = field(default=None, compare=False, repr=False)
    """(H, W) in [0, 1], high where something must change."""

    map_threshold: float | None = None
    """The defect map above it is a defect, as measured for the quality model; None where it was not."""
    ways: Mapping[str, Any] = field(default_factory=dict)
    """Keywords of ``alignment.assess`` that measure in the same way."""
    perceptual_bar: float | None = None
    """PS below it fails, as measured for the quality model; None where it was not."""

    @property
    def whole_score(self) -> float | None:
        """PS of the four factors alone, in [0, 1]: what the picture looks like as a whole, without its worst places."""
        if not set(FACTORS) <= set(self.ratios):
            return self.perceptual_score
        return math.prod(min(max(self.ratios[name], 0.0), 1.0) for name in FACTORS)

    @property
    def unmatched(self) -> tuple[int, ...]:
        """Indices of the unmatched phrases, the largest deficit first; of equal ones the first in the prompt."""
        open_phrases = [index for index, phrase in enumerate(self.phrases) if not phrase.matched]
        return tuple(sorted(open_phrases, key=lambda index: (-self.phrases[index].deficit, index)))

    @property
    def measured(self) -> bool:
        """Whether the prompt has anything that was looked for."""
        return any(getattr(phrase, "measured", True) for phrase in self.phrases)


def diagnose_perceptual(
    found: PerceptualQuality, quality: Any = None, ways: Mapping[str, Any] | None = None
) -> tuple[Diagnosis, ...]:
    """The perceptual half, one for each picture; maps are views of those of ``found``.

    Args:
        found: what was measured.
        quality: the quality model that measured, whose calibration says what is a defect.
        ways: keywords of ``alignment.assess`` with which it measured.
    """
    calibration = getattr(quality, "calibration", None)
    worst = getattr(found, "worst_region", None)
    ratios = getattr(found, "ratios", None) or {}
    return tuple(
        Diagnosis(
            size=(int(values.shape[-2]), int(values.shape[-1])),
            perceptual_score=float(found.score[index]),
            factors={name: float(each[index]) for name, each in found.factors.items()},
            ratios={name: float(each[index]) for name, each in ratios.items()},
            worst_region=None if worst is None else float(worst[index]),
            perceptual_map=values,
            ways=dict(ways or {}),
            map_threshold=getattr(calibration, "map_threshold", None),
            perceptual_bar=getattr(calibration, "perceptual_bar", None),
        )
        for index, values in enumerate(found.defect_map)
    )


def diagnose_alignment(
    found: AlignmentQuality,
    prompts: Sequence[str],
    before: Sequence[Diagnosis] | None = None,
    ways: Mapping[str, Any] | None = None,
) -> tuple[Diagnosis, ...]:
    """The alignment half, added to what was found ``before`` in the same pictures; ``ways`` as above.

    Raises:
        InputError: ``before`` is of another number of pictures, or of other sizes.
    """
    count = len(found.phrases)
    sizes = [(int(values.shape[-2]), int(values.shape[-1])) for values in found.defect_map]
    known = [Diagnosis(size) for size in sizes] if before is None else list(before)
    if len(known) != count:
        raise InputError(f"diagnosis: of {len(known)} pictures, but there are {count}. Make it from the same pictures.")
    for index, (one, size) in enumerate(zip(known, sizes, strict=True)):
        if one.size != size:
            raise InputError(
                f"diagnosis: picture {index + 1} was {one.size[1]}×{one.size[0]}, now it is {size[1]}×{size[0]}. Make "
                "it from the same pictures."
            )
    return tuple(
        replace(
            one,
            alignment_score=float(found.score[index]),
            prompt=prompts[index],
            phrases=tuple(found.phrases[index]),
            alignment_map=found.defect_map[index],
            ways={**one.ways, **(ways or {})},
        )
        for index, one in enumerate(known)
    )


def diagnose_pictures(assessment: Any, prompts: Sequence[str], quality: Any = None) -> tuple[Diagnosis, ...]:
    """Both halves of an ``alignment.Assessment``; ``quality`` as in ``diagnose_perceptual``."""
    return diagnose_alignment(assessment.alignment, prompts, diagnose_perceptual(assessment.perceptual, quality))
