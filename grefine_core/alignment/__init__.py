"""AQ-Map: alignment of a picture with its prompt (method, section 3)."""

from __future__ import annotations

from .calibrate import calibrate
from .calibration import Bounds, Calibration, calibration_path, find_calibration
from .quality import alignment_quality, assess
from .results import AlignmentQuality, Assessment, PhraseQuality

__all__ = [
    "AlignmentQuality",
    "Assessment",
    "Bounds",
    "Calibration",
    "PhraseQuality",
    "alignment_quality",
    "assess",
    "calibrate",
    "calibration_path",
    "find_calibration",
]
