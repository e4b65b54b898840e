"""The host's own models as engines of the two stages: an inpainter and a restorer on the host's samplers.

Whatever a user connects works here: checkpoints, inpainting models, LoRAs, model patches, ControlNet in the
conditioning; the host loads, offloads and evicts. Only library functions of the host are called, none of its nodes.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import node_helpers
import torch
from torch import Tensor

from ..grefine_core.refine.crops import Place
from ..grefine_core.refine.protocols import Progress
from . import families, inputs, latents, patch_crop
from .conditioning_crop import Cutter
from .host import check_interrupted, explained
from .latents import with_soft_mask
from .schedule import SamplingPlan, check_sampler, plan_sampling
from .tiles import blend, feather, plan_tiles
from .window import Window

logger = logging.getLogger(__name__)

# Sampling: exactly so many model calls, each reported, each a chance to cancel

LARGEST_CFG = 100.0


@dataclass(frozen=True)
class SamplerSettings:
    """How the host samples. cfg 1 halves the work: the host then skips the negative prompt."""

    cfg: float
    sampler_name: str
    scheduler: str


def sampler_settings(
    cfg: object, sampler_name: object, scheduler: object, model: Any, *, mild: bool = False
) -> SamplerSettings:
    """The three inputs of that name, checked; what is left to the model ("auto", a cfg below 0) as suits its family.

    mild: for a restoration.

    Raises:
        InputError: cfg out of range, an unknown sampler or scheduler, or a sampler that keeps to no number of calls.
    """
    family = families.family_of(model)
    strictness = inputs.number(cfg, "cfg", families.AUTO_NUMBER, LARGEST_CFG)
    sampler = family.sampler_name if sampler_name == families.AUTO else sampler_name
    levels = family.scheduler if scheduler == families.AUTO else scheduler
    return SamplerSettings(
        cfg=strictness if strictness >= 0.0 else family.mild_cfg if mild else family.cfg,
        sampler_name=check_sampler(sampler),
        scheduler=inputs.choice(levels, "scheduler", comfy.samplers.KSampler.SCHEDULERS),
    )


def with_guidance(conditioning: Any, guidance: object, model: Any) -> Any:
    """The conditioning with what the input `guidance` says: a number, or below 0 what suits the model's family where
    the conditioning has none of its own. None (a workflow that has no such input): as it is.

    Raises:
        InputError: out of range.
    """
    if guidance is None:
        return conditioning
    asked = inputs.number(guidance, "guidance", families.AUTO_NUMBER, LARGEST_CFG)
    if asked >= 0.0:
        return families.guided(conditioning, asked, anyway=True)
    return families.guided(conditioning, families.family_of(model).guidance)


@dataclass(frozen=True)
class HostModels:
    """What denoises: the host's MODEL and VAE with one picture's conditioning (lists of [tensor, options])."""

    model: Any
    positive: Any
    negative: Any
    vae: Any


def sample(
    models: HostModels,
    settings: SamplerSettings,
    latent: Tensor,
    noise_mask: Tensor | None,
    *,
    strength: float,
    steps: int,
    seed: int,
    progress: Progress | None = None,
    hint: str = "",
) -> Tensor:
    """Denoise `latent` with exactly `steps` model calls from the noise level of `strength`; a latent like it.

    noise_mask: in latent cells, 1 = change; None = all. hint: advice for the message if memory runs out.

    Raises:
        InputError: a sampler that cannot keep to a number of calls, or an unknown one.
        OOM_EXCEPTION: the host's, with the size that did not fit; the host frees everything on it.
    """
    model = models.model
    plan = plan_sampling(model, settings.sampler_name, settings.scheduler, steps, strength)
    noise = comfy.sample.prepare_noise(latent, seed)
    with explained(f"sampling {latent.shape[-1]}×{latent.shape[-2]} latent cells", hint):
        return comfy.sample.sample_custom(
            model,
            noise,
            settings.cfg,
            _sampler(plan, _Report(model, plan.calls, progress)),
            plan.sigmas,
            models.positive,
            models.negative,
            latent,
            noise_mask=noise_mask,
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=min(seed, 2**64 - 2),  # some samplers add one
        )


def latent_previews(device: torch.device, latent_format: Any) -> Callable[[Tensor], Tensor | None]:
    """What makes small pictures `(1, h, w, 3)` of latents in the UNet's scale; None for all if the user wants none."""
    previewer = latent_preview.get_previewer(device, latent_format)

    def preview(denoised: Tensor) -> Tensor | None:
        if previewer is None:
            return None
        import numpy as np

        picture = previewer.decode_latent_to_preview(denoised)
        return torch.from_numpy(np.asarray(picture.convert("RGB"), dtype=np.float32) / 255.0).unsqueeze(0)

    return preview


class _Report:
    """Called after every model call: progress, preview, and before each the user's cancel."""

    def __init__(self, model: Any, total: int, progress: Progress | None) -> None:
        self._total, self._progress, self._done = total, progress, 0
        self._preview = latent_previews(model.load_device, model.model.latent_format)

    def __call__(self, denoised: Tensor) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total, self._preview(denoised))


class _Watched:
    """The host's denoiser with a report on every call; everything else is passed through to it."""

    def __init__(self, denoiser: Any, report: _Report) -> None:
        self._denoiser, self._report = denoiser, report

    def __getattr__(self, name: str) -> Any:
        return getattr(self._denoiser, name)

    def __call__(self, x: Tensor, sigma: Tensor, **options: Any) -> Tensor:
        check_interrupted()
        denoised = self._denoiser(x, sigma, **options)
        self._report(denoised)
        return denoised


def _sampler(plan: SamplingPlan, report: _Report) -> Any:
    """The plan as one sampler object of the host."""

    def run(
        denoiser: Any,
        x: Tensor,
        sigmas: Tensor,
        extra_args: dict[str, Any] | None = None,
        callback: Any = None,
        disable: Any = None,
        **_: Any,
    ) -> Tensor:
        watched = _Watched(denoiser, report)
        for part, levels in plan.segments():
            # The "cfg++" samplers write into extra_args; the levels are the plan's, moved to where the host wants them.
            x = part.sampler_function(
                watched,
                x,
                levels.to(sigmas),
                extra_args=dict(extra_args or {}),
                callback=callback,
                disable=disable,
                **part.extra_options,
            )
        return x

    return comfy.samplers.KSAMPLER(run, {}, plan.sampler.inpaint_options)


@dataclass(frozen=True)
class Follows:
    """How what hangs on the models follows the crops and tiles of a picture.

    Attributes:
        whole_references: reference latents stay those of the whole picture.
        number, count: which of how many pictures it is, for hints that were made of all of them.
    """

    whole_references: bool = False
    number: int = 0
    count: int = 1
    #: Pictures of latents of the whole, by their place in memory, with what they were made of.
    _drawn: dict[tuple[Any, ...], tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False, repr=False)

    def window(self, place: Place) -> Window:
        """What is sampled of a crop."""
        return Window.of(place, self.number, self.count)

    def cut(self, models: HostModels, window: Window | None, latent: Tensor, name: str, advice: str) -> HostModels:
        """The models with everything cut that lies over the whole picture; the very same if there is nothing.

        latent: of what is sampled. name: of the node's input that the model came from. advice: if memory runs out.

        Raises:
            InputError: something cannot be cut.
        """
        if window is None:
            return models
        vae, cell = models.vae, window.size[0] // latent.shape[-2]

        def pixels(values: Tensor) -> Tensor | None:
            if (
                values.shape[1] != latent.shape[1]
                or values.ndim != latent.ndim
                or values[0, 0].numel() != (values.shape[-2] * values.shape[-1])
            ):
                return None  # of another VAE, or a film
            key = (values.data_ptr(), tuple(values.shape), values.stride())
            if key not in self._drawn:
                self._drawn[key] = (values, _decoded(vae, values, advice))
            return self._drawn[key][1]

        cutter = Cutter(window, cell, self.whole_references, pixels, lambda image: _encoded(vae, image, advice))
        model = patch_crop.follow(models.model, window, cell, name)
        positive, negative = (
            cutter.conditioning(given, name)
            for given, name in ((models.positive, "positive"), (models.negative, "negative"))
        )
        if model is models.model and positive is models.positive and negative is models.negative:
            return models
        return replace(models, model=model, positive=positive, negative=negative)


#: Share of a tile's side that it has in common with its neighbour.
_OVERLAP = 0.125
#: The restorer does not go below tiles of this many pixels when memory is short.
_SMALLEST_TILE = 256
_SMALLER_CROPS = "Set native_side or min_side lower than the model's own side."
_SMALLER_TILES = "Lower tile_size."


class HostInpainter:
    """`grefine_core.refine.protocols.PhasedInpainter` on the host's samplers, for one picture.

    Inpainting models (nine channels, Flux Fill) get the mask and the picture with neutral grey under it through the
    conditioning; every model gets the denoise mask. Soft masks are sampled by differential diffusion. What was made for
    the whole picture (hints, areas, masks, references, patches) is cut to the crop.
    """

    def __init__(
        self,
        models: HostModels,
        settings: SamplerSettings,
        *,
        min_side: int = 0,
        native_side: int = 0,
        follows: Follows | None = None,
    ) -> None:
        """`min_side`, `native_side` 0: the model's own side."""
        self.models, self.settings = models, settings
        self.size_multiple = families.size_multiple(models.model, models.vae)
        own = families.native_side_of(models.model)
        self.min_side, self.native_side = min_side or own, native_side or own
        self._reads_picture = families.reads_picture(models.model)
        self.follows = follows or Follows()
        self.window: Window | None = None

    def at(self, place: Place) -> HostInpainter:
        """The engine for one crop; see `grefine_core.refine.protocols.placed`."""
        engine = copy.copy(self)
        engine.window = self.follows.window(place)
        return engine

    def inpaint(
        self,
        image: Tensor,
        mask: Tensor,
        *,
        prompt: str,
        strength: float,
        steps: int,
        seed: int,
        index: int = 0,  # noqa: ARG002 - made for one picture
        progress: Progress | None = None,
    ) -> Tensor:
        """Repaint the masked part of a crop; see the protocol."""
        encoded = self.encode(image, mask)
        return self.decode(
            self.sample(encoded, prompt=prompt, strength=strength, steps=steps, seed=seed, progress=progress)
        )

    def encode(self, image: Tensor, mask: Tensor, *, index: int = 0) -> _Encoded:  # noqa: ARG002 - made for one picture
        """The latents of a crop; see the protocol."""
        latent = _encoded(self.models.vae, image, _SMALLER_CROPS)
        latents.check_channels(latent, self.models.model)
        # Here, for what is cut may have to be encoded again.
        models = self.follows.cut(self.models, self.window, latent, "model", _SMALLER_CROPS)
        cells = latents.mask_cells(mask, latent)
        if not self._reads_picture:
            return _Encoded(models, latent, cells)
        known = _encoded(models.vae, latents.hide(image, latents.hard(mask)), _SMALLER_CROPS)
        where = latents.spread(latents.hard(cells), (image.shape[1], image.shape[2]))
        return _Encoded(models, latent, cells, known, where)

    def sample(
        self,
        encoded: _Encoded,
        *,
        prompt: str,  # noqa: ARG002 - the conditioning holds it
        strength: float,
        steps: int,
        seed: int,
        index: int = 0,  # noqa: ARG002 - made for one picture
        progress: Progress | None = None,
    ) -> Tensor:
        """The repainted latent; see the protocol."""
        models, cells = encoded.models, encoded.cells
        model = with_soft_mask(models.model) if latents.is_soft(cells) else models.model
        positive, negative = models.positive, models.negative
        if encoded.known is not None:
            positive, negative = _with_picture(positive, negative, encoded.known, encoded.where)
        return sample(
            HostModels(model, positive, negative, models.vae),
            self.settings,
            encoded.latent,
            latents.noise_mask(cells, encoded.latent),
            strength=strength,
            steps=steps,
            seed=seed,
            progress=progress,
            hint=_SMALLER_CROPS,
        )

    def decode(self, sampled: Tensor) -> Tensor:
        """The repainted crop; see the protocol."""
        return _decoded(self.models.vae, sampled, _SMALLER_CROPS)


@dataclass(frozen=True)
class _Encoded:
    """A crop as a model's latent, its mask in cells, and the models as they are for it; for models that read it the
    picture with the mask hidden, and the mask in pixels."""

    models: HostModels
    latent: Tensor
    cells: Tensor
    known: Tensor | None = None
    where: Tensor | None = None


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

    def __init__(
        self,
        models: HostModels,
        settings: SamplerSettings,
        *,
        tile_size: int = 1024,
        follows: Follows | None = None,
    ) -> None:
        self.models, self.settings = models, settings
        self.size_multiple = families.size_multiple(models.model, models.vae)
        self._reads_picture = families.reads_picture(models.model)
        self.tile_size = max(self.size_multiple, tile_size // self.size_multiple * self.size_multiple)
        self.follows = follows or Follows()
        self.window: Window | None = None

    def of_picture(self, number: int, count: int) -> HostRestorer:
        """The engine for one of several pictures that a hint was made for each of."""
        engine = copy.copy(self)
        engine.follows = Follows(self.follows.whole_references, number, count)
        return engine

    def at(self, place: Place) -> HostRestorer:
        """The engine for one picture; see `grefine_core.refine.protocols.placed`."""
        engine = copy.copy(self)
        engine.window = self.follows.window(place)
        return engine

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
                logger.warning("%s Again in tiles of %d pixels.", error, side)
            comfy.model_management.soft_empty_cache()  # outside of the handler: the error held on to tensors

    def _restore(
        self, image: Tensor, side: int, strength: float, steps: int, seed: int, progress: Progress | None
    ) -> Tensor:
        overlap = max(1, round(side * _OVERLAP / self.size_multiple)) * self.size_multiple
        size = (image.shape[1], image.shape[2])
        window = self.window or Window.whole_of(size)
        tiles = plan_tiles(size, side, overlap)
        parts = []
        for index, tile in enumerate(tiles):
            shown = window.tile((tile.top, tile.left, tile.bottom, tile.right))
            report = _share_of(progress, index * steps, len(tiles) * steps)
            part = tile.cut(image)
            parts.append(self._restore_tile(shown, part, strength, steps, tile_seed(seed, index), report))
        weights = [feather(tile, overlap, size) for tile in tiles]
        return blend(tiles, parts, weights, image)

    def _restore_tile(
        self, window: Window, image: Tensor, strength: float, steps: int, seed: int, progress: Progress | None
    ) -> Tensor:
        latent = _encoded(self.models.vae, image, _SMALLER_TILES)
        latents.check_channels(latent, self.models.model)
        models = self.follows.cut(self.models, window, latent, "restorer", _SMALLER_TILES)
        positive, negative = models.positive, models.negative
        if self._reads_picture:
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
    from ..grefine_core.refine.protocols import region_seed

    return region_seed(seed, number)


def _with_picture(positive: Any, negative: Any, known: Tensor, where: Tensor | None) -> tuple[Any, Any]:
    """The conditionings with the masked picture, but for entries that have a picture of another kind there.

    What a model for edits, depth or edges is shown comes without a mask.
    """
    values = {"concat_latent_image": known, "concat_mask": where}

    def shown(entry: Any) -> Any:
        if entry[1].get("concat_latent_image") is not None and entry[1].get("concat_mask") is None:
            return entry
        return node_helpers.conditioning_set_values([entry], values)[0]

    return [shown(entry) for entry in positive], [shown(entry) for entry in negative]


def _share_of(progress: Progress | None, before: int, total: int) -> Progress | None:
    """`progress` for one part of a longer piece of work."""
    if progress is None:
        return None
    outer = progress

    def report(done: int, of: int, preview: Tensor | None) -> None:  # noqa: ARG001 - the whole has its own total
        outer(before + done, total, preview)

    return report
