"""Data sets of generated pictures with prompts and ratings, each brought to the same records."""

from __future__ import annotations

from .opening import KINDS, open_dataset
from .pictures import Check, read_pictures
from .records import Dataset, Example, Scale, Skipped

__all__ = ["KINDS", "Check", "Dataset", "Example", "Scale", "Skipped", "open_dataset", "read_pictures"]
