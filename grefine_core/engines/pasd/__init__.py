"""PASD, the method's second stage: a pixel-aware ControlNet on Stable Diffusion 1.5, from the published weights."""

from __future__ import annotations

from .loading import load_pasd
from .model import PasdModel, PasdSettings, Variant
from .restorer import PasdRestorer
from .sampling import Hooks

__all__ = ["Hooks", "PasdModel", "PasdRestorer", "PasdSettings", "Variant", "load_pasd"]
