"""Load Miniature Models: the small trained models that come with the pack."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch
from comfy_api.latest import io

from ..grefine_core.miniature import loading
from ..grefine_core.miniature.world import SIDE
from ..grefine_core.quality_model import QualityModel
from . import host
from .denoise import SamplerSettings
from .fields import CATEGORY, QualityModelType, RestorerType
from .miniature_networks import miniature_clip, miniature_model, miniature_vae
from .prompted_restorer import PromptedRestorer

#: Stage-2 works on larger pictures in tiles of this side: four times the side that the models were trained on.
_TILE = 4 * SIDE


@dataclass(frozen=True, eq=False)
class MiniatureModels:
    """All that the node gives, in the order of its outputs."""

    model: Any
    clip: Any
    vae: Any
    quality: QualityModel
    restorer: PromptedRestorer


#: What is loaded, by the state of the files. Several of these nodes share it; an entry ends with its models, that is,
#: when the host has dropped them from its cache of results.
_loaded: WeakValueDictionary[tuple[Any, ...], MiniatureModels] = WeakValueDictionary()


class GRefineLoadMiniature(io.ComfyNode):
    """Loads the models of the miniature world."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's outputs; it has no inputs."""
        return host.schema(
            node_id="GRefineLoadMiniature",
            display_name="Load Miniature Models",
            category=f"{CATEGORY}/quality",
            description="Loads the small models that come with the pack: for trying the whole method within seconds, "
            "on a CPU, with nothing to download. They know simple pictures of 128 pixels only: coloured shapes and a "
            "few things on plain grounds.",
            search_aliases=["demo", "tiny models", "example models", "G-Refine"],
            inputs=[],
            outputs=[
                io.Model.Output(
                    "model", display_name="model", tooltip="An inpainting model of Stable Diffusion 1's kind, in small."
                ),
                io.Clip.Output("clip", display_name="clip", tooltip="The model's text encoder."),
                io.Vae.Output("vae", display_name="vae", tooltip="The model's VAE."),
                QualityModelType.Output(
                    "quality_model",
                    display_name="quality_model",
                    tooltip="For PQ-Map, AQ-Map, guard and report; calibrated.",
                ),
                RestorerType.Output(
                    "restorer",
                    display_name="restorer",
                    tooltip="For Stage-2 Restore: the same model. It reads the prompt that Stage-2 Restore is given.",
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls) -> Any:
        """Load again when the files were replaced."""
        return repr(_state(loading.weights_folder()))

    @classmethod
    def execute(cls) -> io.NodeOutput:
        """Load the files, once for all nodes of this kind."""
        models = load_models(loading.weights_folder())
        return io.NodeOutput(models.model, models.clip, models.vae, models.quality, models.restorer)


def load_models(folder: Path) -> MiniatureModels:
    """The models of a folder, shared as long as anybody holds them.

    Raises:
        ModelFileError: a file is missing, damaged or of another model; it is named.
    """
    state = _state(folder)
    models = _loaded.get(state)
    if models is None:
        # Weights made in inference mode would not count their writes, by which the caches know that they changed.
        with torch.inference_mode(False):
            quality = loading.load_miniature_quality_model(folder=folder)
            model, clip, vae = miniature_model(folder), miniature_clip(folder), miniature_vae(folder)
        host.adopt(quality, quality.module)
        settings = SamplerSettings(loading.default_guidance(folder), "euler", "normal")
        restorer = PromptedRestorer(model, clip, vae, settings, min_side=SIDE, tile_size=_TILE)
        models = MiniatureModels(model, clip, vae, quality, restorer)
        restorer.shared = models  # the host holds the outputs, and with this one all of them
        _loaded[state] = models
    return models


def _state(folder: Path) -> tuple[Any, ...]:
    """Which files there are, how long and how old."""
    files = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*.json"))
    return str(folder), *((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
