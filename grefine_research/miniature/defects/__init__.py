"""Perceptual defects of miniature pictures, each with the exact pixels that are wrong."""

from __future__ import annotations

from .apply import NAMES, add, severity

__all__ = ["NAMES", "add", "severity"]
