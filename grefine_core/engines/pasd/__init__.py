"""PASD, the method's second stage: a pixel-aware ControlNet on Stable Diffusion 1.5, from the published weights."""

from __future__ import annotations

from .hooks import Hooks
from .loading import load_pasd
from .model import PasdModel, Variant
from .restorer import PasdRestorer
from .settings import PasdSettings

__all__ = ["Hooks", "PasdModel", "PasdRestorer", "PasdSettings", "Variant", "load_pasd"]
