"""AQ-Map: alignment of a picture with its prompt (method, section 3)."""

from __future__ import annotations

from .calibrate import Truth, calibrate, calibrate_with_truth
from .calibration import Bounds, Calibration, calibration_path, find_calibration
from .options import AlignmentOptions
from .quality import Assessment, alignment_quality, assess
from .results import AlignmentQuality, PhraseQuality
from .texts import (
    ContrastVocabulary,
    NounGroup,
    contrast_vocabulary_path,
    find_contrast_vocabulary,
    shipped_contrast_vocabulary,
)

__all__ = [
    "AlignmentOptions",
    "AlignmentQuality",
    "Assessment",
    "Bounds",
    "Calibration",
    "ContrastVocabulary",
    "NounGroup",
    "PhraseQuality",
    "Truth",
    "alignment_quality",
    "assess",
    "calibrate",
    "calibrate_with_truth",
    "calibration_path",
    "contrast_vocabulary_path",
    "find_calibration",
    "find_contrast_vocabulary",
    "shipped_contrast_vocabulary",
]
