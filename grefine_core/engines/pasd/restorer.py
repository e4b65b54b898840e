"""PASD as the engine of the second stage, and the published pass that also enlarges."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...checks import per_picture, whole_number
from ...errors import InputError
from ...refine.color import adain_color, wavelet_color
from ...refine.crops import resize_images
from ...refine.protocols import Progress, part_of, seeds_for
from ...tensors import as_images
from .model import MOST_STEPS, PasdModel, PasdSettings, check_factor
from .sampling import Hooks, cell_pixels, check_strength, draw_noise, sample

# Which size a picture is asked for, and which it is worked on at. Sizes are (height, width) in pixels.

Size = tuple[int, int]


def requested_size(size: Size, factor: float) -> Size:
    """``size`` enlarged by ``factor``, rounded."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def working_size(size: Size, shorter: int, multiple: int) -> Size:
    """The size that the networks see for a picture of ``size``.

    If its shorter side has fewer than ``shorter`` pixels it is enlarged to that; both sides go down to the next
    ``multiple``.

    Raises:
        InputError: a side that is too short for a single latent cell.
    """
    scale = max(1.0, shorter / min(size))
    height, width = (round(side * scale) // multiple * multiple for side in size)
    if height == 0 or width == 0:
        raise InputError(
            f"image: {size[1]}×{size[0]} pixels are too few, both sides need at least {multiple}. "
            "Choose a larger factor or process size."
        )
    return height, width


class PasdRestorer:
    """Stage 2 by PASD; see ``refine.protocols.Restorer``.

    Args:
        model: of ``load_pasd``. It may be moved to another device between calls.
        settings: how it is run; None for the published defaults.
        hooks: of the program around it.
    """

    def __init__(self, model: PasdModel, settings: PasdSettings | None = None, hooks: Hooks | None = None) -> None:
        self.model = model
        self.settings = settings or PasdSettings()
        self.hooks = hooks or Hooks()

    @property
    def size_multiple(self) -> int:
        """Pixels of one latent cell."""
        return cell_pixels(self.model)

    @property
    def min_side(self) -> int:
        """Smaller pictures are enlarged to this shorter side for the work."""
        return self.settings.process_size

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
        """Restore a picture at its own size; arguments and result as in ``Restorer.restore``, but of any size.

        Below 1 the strength starts the schedule later, from the mean of the VAE's distribution: towards 0 the result
        becomes the picture after its way through the VAE (with its colours kept). 1 is the published pass.

        Raises:
            InputError: an argument of a wrong type or out of range.
            GRefineError: out of memory even in small tiles, with what to do.
        """
        return self.upscale(image, prompt, factor=1.0, steps=steps, strength=strength, seed=seed, progress=progress)

    def upscale(
        self,
        image: Tensor,
        prompt: str | Sequence[str] = "",
        *,
        factor: float | None = None,
        steps: int | None = None,
        strength: float | None = None,
        seed: int | Sequence[int] = 0,
        progress: Progress | None = None,
    ) -> Tensor:
        """Restore pictures the published way, ``factor`` times as large.

        Pictures are worked on one after the other: a batch needs the memory of one picture, and each gives what it
        gives alone.

        Args:
            image: ``(B, H, W, 3)`` in [0, 1], of any size.
            prompt: what they show, one for all or one each; the settings' ``added_prompt`` is appended.
            factor: None for the settings' own.
            steps: denoiser calls for each picture; None for the settings' own.
            strength: None or 1 for the published pass, which starts from (nearly) pure noise; less starts later.
            seed: one for all (each picture gets its own from it) or one each.
            progress: gets calls done and planned over all pictures. What it raises stops the work.

        Returns:
            ``(B, round(factor · H), round(factor · W), 3)`` float32 in [0, 1], on the picture's device.

        Raises:
            InputError: an argument of a wrong type or out of range.
            GRefineError: out of memory even in small tiles, with what to do.
        """
        pictures = as_images(image, "image")
        count, height, width = pictures.shape[:3]
        prompts = per_picture(prompt, count, "prompt", str)
        times = check_factor(self.settings.factor if factor is None else factor)
        calls = whole_number(self.settings.steps if steps is None else steps, "steps", 1, MOST_STEPS)
        mild = None if strength is None or check_strength(strength) == 1.0 else float(strength)
        seeds = seeds_for(seed, count)
        wanted = requested_size((height, width), times)
        working = working_size(wanted, self.settings.process_size, self.size_multiple)
        results = []
        for number in range(count):
            report = part_of(progress, number * calls, calls, count * calls)
            given = resize_images(pictures[number : number + 1], working)
            restored = self._sample(given, prompts[number], calls, mild, seeds[number], report)
            results.append(resize_images(self._keep_color(restored, given), wanted))
        return torch.cat(results).contiguous()

    def _sample(
        self, picture: Tensor, prompt: str, steps: int, strength: float | None, seed: int, progress: Progress | None
    ) -> Tensor:
        """One picture ``(1, h, w, 3)`` at the size it is worked on at."""
        model, settings = self.model, self.settings
        texts = [settings.full_prompt(prompt)]
        if settings.guidance_scale > 1.0:
            texts = [settings.negative_prompt, *texts]
        with torch.no_grad():
            states = model.encode_prompts(texts)
        cells = (picture.shape[1] // self.size_multiple, picture.shape[2] // self.size_multiple)
        restored = sample(
            model,
            picture.permute(0, 3, 1, 2),
            states,
            draw_noise((model.latent_channels, *cells), [seed]),
            settings,
            steps=steps,
            strength=strength,
            progress=progress,
            hooks=self.hooks,
        )
        return restored.permute(0, 2, 3, 1).to(picture)

    def _keep_color(self, restored: Tensor, given: Tensor) -> Tensor:
        if self.settings.color == "none":
            return restored
        keep = adain_color if self.settings.color == "adain" else wavelet_color
        return keep(restored, given).clamp(0.0, 1.0)
