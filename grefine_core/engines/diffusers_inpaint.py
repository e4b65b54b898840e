"""The diffusers engines of both stages: an inpainter, and a restorer made of the same weights."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..refine.protocols import Progress
from .sampler import LatentSampler


class _Engine:
    def __init__(self, sampler: LatentSampler) -> None:
        self.sampler = sampler

    @property
    def size_multiple(self) -> int:
        """Both sides of a picture must be multiples of this many pixels."""
        return self.sampler.size_multiple

    @property
    def min_side(self) -> int:
        """Shortest side in pixels that the network can be expected to draw well."""
        return self.sampler.min_side

    @property
    def native_side(self) -> int:
        """Side in pixels of the square that the network was trained on."""
        return self.sampler.native_side


class DiffusersInpainter(_Engine):
    """Stage 1 by a Stable Diffusion (XL) inpainting pipeline; see ``refine.protocols.Inpainter``.

    Make one with ``load_inpaint_pipeline``. ``guidance_scale`` and ``negative_prompt`` of ``sampler`` may be changed
    between calls.
    """

    @property
    def pipe(self) -> Any:
        """The diffusers pipeline whose networks are used."""
        return self.sampler.pipe

    def restorer(self) -> ImageToImageRestorer:
        """A restorer for stage 2 with the same weights, loaded once."""
        return ImageToImageRestorer(self.sampler)

    def inpaint(
        self,
        image: Tensor,
        mask: Tensor,
        *,
        prompt: str,
        strength: float,
        steps: int,
        seed: int,
        index: int = 0,  # noqa: ARG002 - for engines with one conditioning per picture
        progress: Progress | None = None,
    ) -> Tensor:
        """Repaint the masked part of one crop; arguments and result as in ``Inpainter.inpaint``."""
        return self.sampler.run(
            image, mask, prompt=prompt, strength=strength, steps=steps, seed=seed, progress=progress
        )


class ImageToImageRestorer(_Engine):
    """Stage 2 by the whole picture's mild denoising; see ``refine.protocols.Restorer``.

    With an inpainting UNet the mask covers everything and the masked picture is blank: the structure comes from the
    noised latent alone. At the low strengths of stage 2 that is enough, at high ones the picture would be redrawn
    freely. Strength up to about 0.3 is sensible.
    """

    def restore(
        self,
        image: Tensor,
        *,
        prompt: str,
        strength: float,
        steps: int,
        seed: int,
        index: int = 0,  # noqa: ARG002 - for engines with one conditioning per picture
        progress: Progress | None = None,
    ) -> Tensor:
        """Mildly redraw the whole picture; arguments and result as in ``Restorer.restore``."""
        return self.sampler.run(
            image, None, prompt=prompt, strength=strength, steps=steps, seed=seed, progress=progress
        )
