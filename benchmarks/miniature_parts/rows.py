"""The rows of the refinement table: the whole method, parts of it, and what one would do without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from grefine_core.alignment.results import Assessment
from grefine_core.emphasis import emphasize
from grefine_core.plan import plan_refinement
from grefine_core.refine import guard, refine, stage1, stage2
from grefine_core.refine.options import RefineOptions

from .engines import Memo

FULL = "full"
METHODS = (FULL, "PQ only", "AQ only", "stage 1 only", "img2img of the whole", "inpainting of the whole")
IMG2IMG_STRENGTH = 0.5
"""Of the plain image-to-image row: half way between a copy and a new picture."""


@dataclass(frozen=True)
class Answer:
    """What one row made of one picture.

    Attributes:
        image: (1, H, W, 3).
        judged: changes that a guard judged.
        refused: of these, how many it refused.
        report: of ``refine``; None for rows without it.
    """

    image: Tensor
    judged: int
    refused: int
    report: Any = None


def row_name(method: str, guarded: bool) -> str:
    """As in the table and in the records."""
    return f"{method}, guard {'on' if guarded else 'off'}"


ROWS = tuple(row_name(method, guarded) for method in METHODS for guarded in (True, False))


class Refiner:
    """Makes every row of one picture.

    Args:
        quality: the quality model.
        memo: the engine.
        options: as chosen; ``guard`` in them is not asked.
        assess: both maps, as chosen.
        seed: of everything that is drawn.
    """

    def __init__(self, quality: Any, memo: Memo, options: RefineOptions, assess: Callable[..., Any], seed: int) -> None:
        self._quality, self._memo, self._options, self._assess, self._seed = quality, memo, options, assess, seed

    def __call__(self, method: str, guarded: bool, image: Tensor, prompt: str) -> Answer:
        """One row for ``image`` (1, H, W, 3)."""
        options = replace(self._options, guard=guarded)
        if method == "img2img of the whole":
            return self._checked(image, self._image_to_image(image, prompt), prompt, options)
        if method == "inpainting of the whole":
            return self._checked(image, self._inpainted(image, prompt), prompt, options)
        sides = {"PQ only": self._perceptual_alone, "AQ only": self._alignment_alone}
        done = refine(
            image,
            prompt,
            self._quality,
            self._memo,
            None if method == "stage 1 only" else self._memo,
            options=options,
            seed=self._seed,
            assess=sides.get(method, self._assess),
        )
        entries = done.reports[0].guard
        return Answer(done.image, len(entries), sum(not entry.accepted for entry in entries), done.reports[0])

    def _image_to_image(self, image: Tensor, prompt: str) -> Tensor:
        """No diagnosis at all: the prompt as it is, all steps, one strength."""
        return stage2(
            image,
            self._memo,
            prompts=prompt,
            strengths=IMG2IMG_STRENGTH,
            steps=self._options.plan.steps,
            seed=self._seed,
            keep_color=self._options.stage2_keep_color,
        )

    def _inpainted(self, image: Tensor, prompt: str) -> Tensor:
        """Stage 1 with its strength and emphasis, all steps, but the mask is the whole picture."""
        found = self._assess(self._quality, image, [prompt])
        plan = self._options.plan
        planned = plan_refinement(
            float(found.perceptual.score[0]),
            float(found.alignment.score[0]),
            stage1_min=plan.stage1_min,
            stage1_max=plan.stage1_max,
        )
        return stage1(
            image,
            torch.ones(image.shape[:3]),
            None,
            self._memo,
            prompts=emphasize(prompt, found.alignment.phrases[0], **vars(self._options.emphasis)),
            strengths=planned.stage1_strength,
            steps=plan.steps,
            seed=self._seed,
            crop=self._options.crop,
        )

    def _checked(self, before: Tensor, after: Tensor, prompt: str, options: RefineOptions) -> Answer:
        if not options.guard:
            return Answer(after, 0, 0)
        result = guard(before, after, self._quality, prompt, tolerance=options.tolerance, assess=self._assess, stage=2)
        return Answer(result.image, len(result.entries[0]), result.refused)

    def _perceptual_alone(self, quality: Any, images: Tensor, prompts: Any) -> Assessment:
        """As if there were no AQ-Map: no phrase is found wrong, neither mask nor plan nor guard knows of the prompt."""
        found = self._assess(quality, images, prompts)
        matched = tuple(
            tuple(replace(phrase, defect="none", deficit=0.0, region=None) for phrase in phrases)
            for phrases in found.alignment.phrases
        )
        silent = replace(
            found.alignment,
            score=torch.ones_like(found.alignment.score),
            defect_map=torch.zeros_like(found.alignment.defect_map),
            phrases=matched,
        )
        return Assessment(found.perceptual, silent)

    def _alignment_alone(self, quality: Any, images: Tensor, prompts: Any) -> Assessment:
        """As if there were no PQ-Map."""
        found = self._assess(quality, images, prompts)
        perceptual = found.perceptual
        silent = replace(
            perceptual,
            score=torch.ones_like(perceptual.score),
            quality_map=torch.ones_like(perceptual.quality_map),
            defect_map=torch.zeros_like(perceptual.defect_map),
        )
        return Assessment(silent, found.alignment)
