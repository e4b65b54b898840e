"""Showing what was found and done: heatmaps, overlays, comparison sheets, JSON. Pillow is all it needs."""

from __future__ import annotations

from .attempts import attempts_sheet
from .colors import heatmap, overlay
from .data import GuardEntry, Report, report_json
from .sheet import comparison_sheet, shown_size

__all__ = [
    "GuardEntry",
    "Report",
    "attempts_sheet",
    "comparison_sheet",
    "heatmap",
    "overlay",
    "report_json",
    "shown_size",
]
