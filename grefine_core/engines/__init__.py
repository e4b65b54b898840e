"""Engines of the two stages that run on diffusers; loaded on request, offline, from the user's own files."""

from __future__ import annotations

from .diffusers_sd import DiffusersInpainter, ImageToImageRestorer
from .loading import load_inpaint_pipeline

__all__ = ["DiffusersInpainter", "ImageToImageRestorer", "load_inpaint_pipeline"]
