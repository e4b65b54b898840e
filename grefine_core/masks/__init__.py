"""From defect maps to masks: merge, binarise, clean, feather, and split into regions (method, section 5)."""

from __future__ import annotations

from .binarize import METHODS, Mask, binarize_map
from .merge import MODES, merge_maps
from .regions import bounding_box, connected_regions, label_regions
from .threshold import otsu_threshold

__all__ = [
    "METHODS",
    "MODES",
    "Mask",
    "binarize_map",
    "bounding_box",
    "connected_regions",
    "label_regions",
    "merge_maps",
    "otsu_threshold",
]
