"""Load Miniature Models: the small trained models that come with the pack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import comfy.diffusers_convert
import comfy.model_management
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import io
from torch import Tensor, nn

from ..grefine_core.clip.quality_model import QualityModel
from ..grefine_core.errors import ModelFileError
from ..grefine_core.miniature import loading, networks
from ..grefine_core.miniature.world import SIDE
from ..grefine_core.models.files import check
from ..grefine_core.refine.protocols import Progress
from . import host, latents
from .io_types import CATEGORY, QualityModelType, RestorerType
from .sampling import HostModels, HostRestorer, SamplerSettings

# The host's own MODEL, CLIP and VAE: its real classes, only smaller


def miniature_model(folder: Path) -> Any:
    """MODEL: Stable Diffusion 1's inpainting UNet with fewer channels, in the host's memory manager.

    Raises:
        ModelFileError: the file is missing, damaged or of another model.
    """
    tensors = loading.read_weights("unet", folder)
    sizes = networks.host_unet_config(networks.is_lean(tensors))
    config = comfy.supported_models.SD15(sizes)
    # The class has put in the heads of the large model: eight of them, however wide.
    config.unet_config.update(sizes)
    memory = comfy.model_management
    device, kinds = memory.get_torch_device(), list(config.supported_inference_dtypes)
    count = sum(tensor.numel() for tensor in tensors.values())
    dtype = memory.unet_dtype(model_params=count, supported_dtypes=kinds, weight_dtype=torch.float16)
    config.set_inference_dtype(dtype, memory.unet_manual_cast(dtype, device, kinds))
    model = config.get_model({}, "", device=memory.unet_offload_device())
    names = comfy.utils.unet_to_diffusers(config.unet_config)
    _fill(model.diffusion_model, {names.get(name, name): tensor for name, tensor in tensors.items()}, "unet", folder)
    return host.patcher(model, device, memory.unet_offload_device())


def miniature_clip(folder: Path) -> Any:
    """CLIP: Stable Diffusion 1's text encoder with the host's own tokenizer and prompt weights, only smaller.

    Raises:
        ModelFileError: a file is missing, damaged or of another model.
    """
    weights, config = loading.text_tower(folder)
    options: dict[str, Any] = {"clip_l_model_config": config}
    if comfy.model_management.text_encoder_device().type == "cpu":
        options["dtype"] = torch.float32
    target = comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, comfy.sd1_clip.SD1ClipModel)
    clip = comfy.sd.CLIP(target, embedding_directory=folder_paths.get_folder_paths("embeddings"), model_options=options)
    _fill(clip.cond_stage_model.clip_l.transformer, weights, "clip", folder)
    return clip


def miniature_vae(folder: Path) -> Any:
    """VAE: Stable Diffusion's autoencoder with fewer channels; factor 8, four latent channels.

    Raises:
        ModelFileError: the file is missing, damaged or of another model.
    """
    tensors = loading.read_weights("vae", folder)
    settings = networks.HOST_VAE_CONFIG
    named = comfy.diffusers_convert.convert_vae_state_dict(tensors)
    sizes = {"params": {"ddconfig": settings, "embed_dim": settings["z_channels"]}}
    try:
        vae = comfy.sd.VAE(sd=named, config=sizes)
    except RuntimeError as error:
        raise ModelFileError(
            f"{loading.weights_file('vae', folder)}: of another model ({str(error)[:300]})."
        ) from error
    _check(vae.first_stage_model, named, "vae", folder)
    return vae


def _fill(network: nn.Module, tensors: Mapping[str, Tensor], part: str, folder: Path) -> None:
    """Copy the weights in."""
    _check(network, tensors, part, folder)
    network.load_state_dict(dict(tensors))


def _check(network: nn.Module, tensors: Mapping[str, Tensor], part: str, folder: Path) -> None:
    """Nothing may be missing and nothing left over: the host would only log it, and sample noise."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    check(loading.weights_file(part, folder), found, expected, f"the miniature {part}")


# The restorer


class PromptedRestorer:
    """`grefine_core.refine.protocols.Restorer` on the host's samplers, for any prompt.

    `HostRestorer` is made for one conditioning; this one encodes the prompt that it is called with, weights and all,
    and the empty text as its negative.

    min_side: smaller pictures are enlarged to this shorter side. tile_size: larger ones are restored in tiles.
    """

    def __init__(
        self, model: Any, clip: Any, vae: Any, settings: SamplerSettings, *, min_side: int, tile_size: int
    ) -> None:
        self.model, self.clip, self.vae, self.settings = model, clip, vae, settings
        self.size_multiple = latents.size_multiple(vae)
        self.min_side, self.tile_size = min_side, tile_size
        self.shared: Any = None  # what has to live as long as this does

    def restore(
        self,
        image: Tensor,
        *,
        prompt: str,
        strength: float,
        steps: int,
        seed: int,
        index: int = 0,
        progress: Progress | None = None,
    ) -> Tensor:
        """Restore a whole picture; see the protocol."""
        models = HostModels(self.model, self._encoded(prompt), self._encoded(""), self.vae)
        return HostRestorer(models, self.settings, tile_size=self.tile_size).restore(
            image, prompt=prompt, strength=strength, steps=steps, seed=seed, index=index, progress=progress
        )

    def _encoded(self, text: str) -> Any:
        """The host's CONDITIONING of a text, as its own text encode node gives it."""
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))


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
