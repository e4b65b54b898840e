"""Indicators: the project's own scores, and others' through their packages. One that is not installed costs nothing."""

from __future__ import annotations

from .protocol import Context, Indicator, Kind, Spec
from .registry import ALIGNMENT, FACTORS, OWN, PERCEPTUAL, REFINE, choose, names, register, unregister

__all__ = [
    "ALIGNMENT",
    "FACTORS",
    "OWN",
    "PERCEPTUAL",
    "REFINE",
    "Context",
    "Indicator",
    "Kind",
    "Spec",
    "choose",
    "names",
    "register",
    "unregister",
]
