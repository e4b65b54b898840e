"""One miniature picture with all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grefine_core.miniature.world import Split
from grefine_core.pictures import save_picture

from .captions.caption import Caption
from .scene import Scene

FACTORS = ("technical", "rational", "natural")
"""Kinds of perceptual defects, as the factors of PQ-Map are called; "alignment" is the fourth kind."""
_AT_A_GLANCE = 0.5


@dataclass(frozen=True)
class Defect:
    """Something that is wrong with the picture.

    Attributes:
        kind: "technical", "rational", "natural" or "alignment".
        name: what exactly, such as "blur", "doubled" or "missing".
        severity: in (0, 1], growing with strength and with the share of the picture.
        mask: ``(H, W)`` bool, the pixels that are wrong; for alignment defects those that have to change to mend it
            (for a missing item the region of its ancestor; the whole picture if it has none).
        phrase: index of the caption's phrase that is violated; None for perceptual defects.
        strength: in (0, 1], severity without the share of the picture; 1 for alignment defects.
    """

    kind: str
    name: str
    severity: float
    mask: NDArray[np.bool_]
    phrase: int | None = None
    strength: float = 1.0


@dataclass(frozen=True)
class Sample:
    """A picture, its prompt, and the truth about both.

    Attributes:
        split, index: what it was made from; the same two always give the same sample.
        scene: what the prompt describes.
        shown: what the picture shows; another one than ``scene`` if there are alignment defects.
        caption: the prompt with its true phrases.
        clean: ``(H, W, 3)`` float32 in [0, 1], ``scene`` without any defect.
        image: ``(H, W, 3)`` float32 in [0, 1], the picture itself.
        defects: empty for a clean, matching picture.
    """

    split: Split
    index: int
    scene: Scene
    shown: Scene
    caption: Caption
    clean: NDArray[np.float32]
    image: NDArray[np.float32]
    defects: tuple[Defect, ...]

    def severity(self, kind: str | None = None) -> float:
        """Of one factor in [0, 1], or (None) of all perceptual ones: 1 - Π (1 - severity)."""
        kinds = FACTORS if kind is None else (kind,)
        kept = 1.0
        for defect in self.defects:
            kept *= 1.0 - defect.severity if defect.kind in kinds else 1.0
        return 1.0 - kept

    @property
    def clear(self) -> bool:
        """Whether a person sees at a glance both that a part of the prompt is not met and that something looks bad."""
        unmet = [defect.severity for defect in self.defects if defect.kind == "alignment"]
        return any(_AT_A_GLANCE <= severity < 1.0 for severity in unmet) and self.severity() >= _AT_A_GLANCE


def write_sample(sample: Sample, path: Path) -> Path:
    """Write a sample's picture as PNG, its prompt in its metadata."""
    return save_picture(as_tensor(sample.image), path, {"parameters": sample.caption.prompt})


def in_words(sample: Sample) -> str:
    """What is wrong with a sample, as it was made."""
    phrases = sample.caption.phrases
    found = []
    for defect in sample.defects:
        about = "" if defect.phrase is None else f' of "{" ".join(phrases[defect.phrase].words)}"'
        found.append(f"{defect.name.replace('_', ' ')}{about} ({defect.kind})")
    return f"Wrong with it, as it was drawn: {', '.join(found) or 'nothing'}."


def as_tensor(pixels: Any) -> Tensor:
    """``pixels`` (H, W, 3), or any other array, as float32."""
    return torch.from_numpy(pixels).to(torch.float32)


def true_mask(sample: Sample) -> Tensor:
    """All that is wrong, white on black."""
    mask = torch.zeros(sample.image.shape[:2])
    for defect in sample.defects:
        mask = torch.maximum(mask, torch.from_numpy(defect.mask).to(torch.float32))
    return mask.unsqueeze(-1).expand(-1, -1, 3)
