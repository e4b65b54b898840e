"""What a run reports about one picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from ..alignment.results import PhraseQuality
    from ..plan import Plan


@dataclass(frozen=True)
class GuardEntry:
    """One decision of the no-harm guard."""

    stage: int
    """1 or 2."""
    region: tuple[int, int, int, int] | None
    """(top, left, bottom, right) in pixels, the last two exclusive; None = the whole picture."""
    accepted: bool
    before: tuple[float, float]
    """(PS, AS) of the picture as it was."""
    after: tuple[float, float]
    """(PS, AS) of the picture with this change alone."""
    reason: str
    """In plain words."""


@dataclass(frozen=True)
class Report:
    """Everything about the refinement of one picture."""

    prompt: str
    emphasized_prompt: str
    """What stage 1 was asked to paint; the prompt itself if every phrase is matched."""
    seed: int | None
    """This picture's own seed: alone with it, the picture gives the same result as in its batch. None: not known."""
    size: tuple[int, int]
    """(height, width) in pixels."""
    before: tuple[float, float]
    """(PS, AS) of the input."""
    after: tuple[float, float]
    """(PS, AS) of the result."""
    factors: dict[str, float]
    """The perceptual factors of the input."""
    phrases: tuple[PhraseQuality, ...]
    plan: Plan | None
    """None where only measuring was done."""
    area: float | None
    """Share of the picture in the denoise mask, [0, 1]; None if there was no mask."""
    guard: tuple[GuardEntry, ...] = ()
    """Every decision of the no-harm guard, in order."""
    changed: bool = False
    """Whether any pixel of the result differs from the input."""
    factors_after: dict[str, float] = field(default_factory=dict)
    """The perceptual factors of the result; empty if they were not measured."""
    notes: tuple[str, ...] = ()
    """What else happened, in plain words."""
    worst_region: float | None = None
    """Quality of the input's worst region, see ``PerceptualQuality.worst_region``; None if it was not measured."""
    worst_region_after: float | None = None
    """The same of the result."""
    maps: dict[str, Tensor] = field(default_factory=dict, compare=False, repr=False)
    """``(H, W)`` each, in [0, 1]: perceptual and alignment defects, merged, denoise, composite."""
