"""Tiny UNTRAINED stand-ins for the quality model and for SDXL inpainting.

Their results mean nothing: scores are arbitrary numbers, what they paint is noise. They only show that the whole path
runs, from files through maps, masks, both stages and the guard to the report, on any machine and with no download.
Weights are drawn from the names of the tensors, so they are the same everywhere.
"""

from __future__ import annotations

from .clip import build_clip, build_embeddings, write_quality_model
from .miniature import write_miniature_models
from .sdxl import build_networks, write_sdxl_inpaint_folder

__all__ = [
    "build_clip",
    "build_embeddings",
    "build_networks",
    "write_miniature_models",
    "write_quality_model",
    "write_sdxl_inpaint_folder",
]
