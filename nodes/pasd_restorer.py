"""PASD as a restorer whose networks belong to the host's memory manager."""

from __future__ import annotations

import comfy.latent_formats
import comfy.model_management
from torch import Tensor, nn

from ..grefine_core.engines.pasd import PasdModel
from ..grefine_core.engines.pasd.autoencoder import cell_pixels
from ..grefine_core.engines.pasd.hooks import Hooks
from ..grefine_core.engines.pasd.restorer import PasdRestorer
from ..grefine_core.engines.pasd.settings import PasdSettings
from ..grefine_core.errors import GRefineError
from ..grefine_core.memory import is_out_of_memory
from ..grefine_core.refine.protocols import Progress
from . import host
from .denoise import latent_previews

#: Numbers (of the networks' type) per pixel that are alive at most, both conditions of the guidance in one call:
#: 310 and 768 as `benchmarks/pasd.py` counts them, and a quarter more for what it cannot see.
_DENOISER, _VAE = 390, 960


class ManagedPasd:
    """`grefine_core.refine.protocols.Restorer` by PASD.

    The networks are one module of the host's memory manager: it brings them onto the device before every picture,
    counts them, and moves them away when another model needs the room. When memory runs out, other models go first and
    then the tiles become smaller.
    """

    def __init__(self, model: PasdModel, settings: PasdSettings, device: str = "auto") -> None:
        self.model, self.settings, self.device = model, settings, host.compute_device(device)
        host.adopt(self, nn.ModuleDict(model.networks), device)

    @property
    def size_multiple(self) -> int:
        """Pixels of one latent cell."""
        return cell_pixels(self.model)

    @property
    def min_side(self) -> int:
        """Smaller pictures are enlarged to this shorter side."""
        return self.settings.process_size

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
        """Restore a whole picture; see the protocol. Strength 1 is the published pass.

        Raises:
            OOM_EXCEPTION: the host's, with what to do; the host frees everything on it.
        """
        try:
            host.ready(self, memory=self._needed(image))
            return PasdRestorer(self.model, self.settings, self._hooks()).restore(
                image, prompt=prompt, strength=strength, steps=steps, seed=seed, index=index, progress=progress
            )
        except (GRefineError, RuntimeError, MemoryError) as error:
            # The library's own says what it tried; else it was the networks themselves that did not fit.
            if isinstance(error, GRefineError) and is_out_of_memory(error.__cause__):
                message = str(error)
            elif is_out_of_memory(error):
                message = (
                    f"Out of memory while bringing PASD ({self._weights() / 1e9:.1f} GB of weights) onto "
                    f"{self.device}. Choose precision fp16 in Load PASD, or its device cpu."
                )
            else:
                raise
            raise comfy.model_management.OOM_EXCEPTION(message) from error
        finally:
            comfy.model_management.soft_empty_cache()

    def _hooks(self) -> Hooks:
        # Made for one call: a hook that outlived it would hold on to this object, and the host could not drop it.
        return Hooks(
            check=host.check_interrupted,
            preview=latent_previews(self.device, comfy.latent_formats.SD15()),
            free_memory=lambda: host.make_room(self),
        )

    def _weights(self) -> int:
        """Bytes of all weights."""
        parts = (tensor for network in self.model.networks.values() for tensor in network.state_dict().values())
        return sum(tensor.numel() * tensor.element_size() for tensor in parts)

    def _needed(self, image: Tensor) -> int:
        """Bytes that the work needs beside the weights: those of the denoiser or of the VAE, which come in turns."""
        settings, pixels = self.settings, image.shape[1] * image.shape[2]
        tile, whole = (settings.tile_size * self.size_multiple) ** 2, settings.vae_tile_above**2
        return max(min(pixels, tile) * _DENOISER, min(pixels, whole) * _VAE) * self.model.dtype.itemsize
