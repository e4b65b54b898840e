"""The host's own models as engines of the two stages: an inpainter and a restorer on the host's samplers.

Whatever a user connects works here: checkpoints, inpainting models, LoRAs, model patches, ControlNet in the
conditioning; the host loads, offloads and evicts. Only library functions of the host are called, none of its nodes.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import comfy.model_base
import comfy.model_management
import node_helpers
import torch
from torch import Tensor

from ..grefine_core.refine.protocols import Progress
from . import guides, latents
from .denoise import HostModels, SamplerSettings, sample
from .host import explained
from .soft_mask import with_soft_mask
from .tiles import blend, feather, plan_tiles

log = logging.getLogger(__name__)

#: Share of a tile's side that it has in common with its neighbour.
_OVERLAP = 0.125
#: The restorer does not go below tiles of this many pixels when memory is short.
_SMALLEST_TILE = 256
_SMALLER_CROPS, _SMALLER_TILES = "Lower native_side or min_side.", "Lower tile_size."


class HostInpainter:
    """`grefine_core.refine.protocols.Inpainter` on the host's samplers, for one picture.

    Inpainting models (nine channels, Flux Fill) get the mask and the picture with neutral grey under it through the
    conditioning; every model gets the denoise mask. Soft masks are sampled by differential diffusion. A ControlNet's
    hint, made for the whole picture, is fitted to the crop by the host.
    """

    def __init__(self, models: HostModels, settings: SamplerSettings, *, min_side: int = 512, native_side: int = 1024):
        self.models, self.settings = models, settings
        self.size_multiple = latents.size_multiple(models.vae)
        self.min_side, self.native_side = min_side, native_side

    def inpaint(
        self,
        image: Tensor,
        mask: Tensor,
        *,
        prompt: str,  # noqa: ARG002 - the conditioning holds it
        strength: float,
        steps: int,
        seed: int,
        index: int = 0,  # noqa: ARG002 - made for one picture
        progress: Progress | None = None,
    ) -> Tensor:
        """Repaint the masked part of a crop; see the protocol."""
        models = self.models
        latent = _encoded(models.vae, image, _SMALLER_CROPS)
        latents.check_channels(latent, models.model)
        cells = latents.mask_cells(mask, latent)
        model = with_soft_mask(models.model) if latents.is_soft(cells) else models.model
        positive, negative = models.positive, models.negative
        if takes_picture(models.model):
            known = _encoded(models.vae, latents.hide(image, latents.hard(mask)), _SMALLER_CROPS)
            where = latents.spread(latents.hard(cells), (image.shape[1], image.shape[2]))
            positive, negative = _with_picture(positive, negative, known, where)
        sampled = sample(
            HostModels(model, positive, negative, models.vae),
            self.settings,
            latent,
            latents.noise_mask(cells, latent),
            strength=strength,
            steps=steps,
            seed=seed,
            progress=progress,
            hint=_SMALLER_CROPS,
        )
        return _decoded(models.vae, sampled, _SMALLER_CROPS)


class HostRestorer:
    """`grefine_core.refine.protocols.Restorer` on the host's samplers: the whole picture again, at a low strength.

    Pictures larger than `tile_size` are restored in tiles that overlap by an eighth and are blended; every tile is
    sampled by itself with `steps` calls and noise of its own, derived from the seed. An inpainting model is told that
    all of the picture is hidden (mask 1 everywhere, neutral grey): that is how such models were trained to draw a whole
    picture, and the picture itself comes in through the noisy latent as with every other model. Told that nothing is
    hidden, it would only copy.
    """

    #: Pictures are restored at their own scale, however small.
    min_side = 1

    def __init__(self, models: HostModels, settings: SamplerSettings, *, tile_size: int = 1024) -> None:
        self.models, self.settings = models, settings
        self.size_multiple = latents.size_multiple(models.vae)
        self.tile_size = max(self.size_multiple, tile_size // self.size_multiple * self.size_multiple)

    def restore(
        self,
        image: Tensor,
        *,
        prompt: str,  # noqa: ARG002 - the conditioning holds it
        strength: float,
        steps: int,
        seed: int,
        index: int = 0,  # noqa: ARG002 - the conditioning is the same for all pictures
        progress: Progress | None = None,
    ) -> Tensor:
        """Restore a whole picture; see the protocol. On memory shortage again with smaller tiles."""
        side = self.tile_size
        while True:
            try:
                return self._restore(image, side, strength, steps, seed, progress)
            except comfy.model_management.OOM_EXCEPTION as error:
                largest = min(side, max(image.shape[1:3])) // 2
                side = largest // self.size_multiple * self.size_multiple
                if side < max(_SMALLEST_TILE, self.size_multiple):
                    raise
                log.warning("%s Again in tiles of %d pixels.", error, side)
            comfy.model_management.soft_empty_cache()  # outside of the handler: the error held on to tensors

    def _restore(
        self, image: Tensor, side: int, strength: float, steps: int, seed: int, progress: Progress | None
    ) -> Tensor:
        overlap = max(1, round(side * _OVERLAP / self.size_multiple)) * self.size_multiple
        cell = self.size_multiple
        tiles = plan_tiles((image.shape[1], image.shape[2]), side, overlap)
        parts = []
        for number, tile in enumerate(tiles):
            sides = (tile.top // cell, tile.left // cell, tile.bottom // cell, tile.right // cell)
            whole = (image.shape[1] // cell, image.shape[2] // cell)
            model = guides.fitted(self.models.model, guides.Part(*sides, whole=whole))
            report = _share_of(progress, number * steps, len(tiles) * steps)
            part = tile.cut(image)
            parts.append(self._restore_tile(model, part, strength, steps, tile_seed(seed, number), report))
        weights = [feather(tile, overlap, (image.shape[1], image.shape[2])) for tile in tiles]
        return blend(tiles, parts, weights, image)

    def _restore_tile(
        self, model: Any, image: Tensor, strength: float, steps: int, seed: int, progress: Progress | None
    ) -> Tensor:
        models = replace(self.models, model=model)
        latent = _encoded(models.vae, image, _SMALLER_TILES)
        latents.check_channels(latent, models.model)
        positive, negative = models.positive, models.negative
        if takes_picture(models.model):
            everywhere = torch.ones_like(image[..., 0])
            hidden = _encoded(models.vae, latents.hide(image, everywhere), _SMALLER_TILES)
            positive, negative = _with_picture(positive, negative, hidden, everywhere.unsqueeze(1))
        sampled = sample(
            replace(models, positive=positive, negative=negative),
            self.settings,
            latent,
            None,
            strength=strength,
            steps=steps,
            seed=seed,
            progress=progress,
            hint=_SMALLER_TILES,
        )
        return _decoded(models.vae, sampled, _SMALLER_TILES)


def _encoded(vae: Any, image: Tensor, advice: str) -> Tensor:
    with explained(f"encoding {image.shape[2]}×{image.shape[1]} pixels, in tiles as well", advice):
        return latents.encode(vae, image)


def _decoded(vae: Any, latent: Tensor, advice: str) -> Tensor:
    with explained(f"decoding {latent.shape[-1]}×{latent.shape[-2]} latent cells, in tiles as well", advice):
        return latents.decode(vae, latent)


def tile_seed(seed: int, number: int) -> int:
    """Seed of a tile: the picture's own for the first, so that a picture in one tile gives what it gives untiled."""
    from ..grefine_core.refine.seeds import region_seed

    return region_seed(seed, number)


def takes_picture(model: Any) -> bool:
    """Whether the network may take a masked picture through the conditioning: inpainting models of every kind do.

    Ordinary UNets say that they do not; other families decide by themselves inside `concat_cond` and ignore it.
    """
    inner = model.model
    if getattr(inner, "concat_keys", ()):
        return True
    return type(inner).concat_cond is not comfy.model_base.BaseModel.concat_cond


def _with_picture(positive: Any, negative: Any, known: Tensor, where: Tensor) -> tuple[Any, Any]:
    values = {"concat_latent_image": known, "concat_mask": where}
    return (
        node_helpers.conditioning_set_values(positive, values),
        node_helpers.conditioning_set_values(negative, values),
    )


def _share_of(progress: Progress | None, before: int, total: int) -> Progress | None:
    """`progress` for one part of a longer piece of work."""
    if progress is None:
        return None
    outer = progress

    def report(done: int, of: int, preview: Tensor | None) -> None:  # noqa: ARG001 - the whole has its own total
        outer(before + done, total, preview)

    return report
