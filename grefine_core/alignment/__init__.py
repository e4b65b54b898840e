"""AQ-Map: alignment of a picture with its prompt (method, section 3)."""

from __future__ import annotations

from .calibrate import Truth, calibrate, calibrate_with_truth
from .calibration import Bounds, Calibration, calibration_path, find_calibration
from .options import AlignmentOptions
from .quality import Assessment, alignment_quality, assess
from .results import AlignmentQuality, PhraseQuality
from .texts import Banks, NounGroup, banks_path, find_banks, shipped_banks

__all__ = [
    "AlignmentOptions",
    "AlignmentQuality",
    "Assessment",
    "Banks",
    "Bounds",
    "Calibration",
    "NounGroup",
    "PhraseQuality",
    "Truth",
    "alignment_quality",
    "assess",
    "banks_path",
    "calibrate",
    "calibrate_with_truth",
    "calibration_path",
    "find_banks",
    "find_calibration",
    "shipped_banks",
]
