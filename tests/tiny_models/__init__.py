"""Tiny UNTRAINED stand-ins for the quality model, for ImageReward, for SDXL inpainting, and for PASD with its base.

Their results mean nothing: scores are arbitrary numbers, what they paint is noise. They only show that the whole path
runs, from files through maps, masks, both stages and the guard to the report, on any machine and with no download.
Weights are drawn from the names of the tensors, so they are the same everywhere.
"""

from __future__ import annotations

from .clip import build_clip, build_embeddings, write_quality_model
from .image_reward import write_image_reward
from .miniature import write_miniature_models
from .pasd import write_pasd, write_sd15
from .sdxl import build_networks, write_sdxl_inpaint_folder

__all__ = [
    "build_clip",
    "build_embeddings",
    "build_networks",
    "write_image_reward",
    "write_miniature_models",
    "write_pasd",
    "write_quality_model",
    "write_sd15",
    "write_sdxl_inpaint_folder",
]
