"""What a picture can be refined with: the whole method, parts of it (Table 8), and what one would do without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from grefine_core.alignment.quality import Assessment
from grefine_core.errors import InputError
from grefine_core.plan import plan_refinement
from grefine_core.prompt.emphasis import emphasize
from grefine_core.refine import guard, refine, stage1, stage2
from grefine_core.refine.protocols import RefineOptions

IMG2IMG_STRENGTH = 0.5
"""Of plain image-to-image: half way between a copy and a new picture."""


@dataclass(frozen=True)
class Variant:
    """One way of refining a picture.

    Attributes:
        name: on the command line and in files.
        title: in tables.
        maps: which maps the diagnosis, the plan and the guard know of.
        stages: which stages may run.
        whole: a baseline that knows no masks: image-to-image or inpainting of the whole picture.
        paper: maps and stages of the row of Table 8 that it is; None if that has no such row.
    """

    name: str
    title: str
    maps: Literal["both", "perceptual", "alignment"] = "both"
    stages: tuple[int, ...] = (1, 2)
    whole: Literal["img2img", "inpaint"] | None = None
    paper: tuple[str, str] | None = None


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("full", "full", paper=("PQ+AQ", "1,2")),
        Variant("pq-only", "PQ only", maps="perceptual", paper=("PQ", "1,2")),
        Variant("aq-only", "AQ only", maps="alignment", paper=("AQ", "1,2")),
        Variant("stage1-only", "stage 1 only", stages=(1,), paper=("PQ+AQ", "1")),
        Variant("stage2-only", "stage 2 only", stages=(2,)),
        Variant("img2img", "img2img of the whole", whole="img2img"),
        Variant("inpaint", "inpainting of the whole", whole="inpaint"),
    )
}


@dataclass(frozen=True)
class Row:
    """A variant with the guard on or off."""

    variant: Variant
    guarded: bool = True

    @property
    def name(self) -> str:
        """In files."""
        return self.variant.name if self.guarded else f"{self.variant.name}-unguarded"

    @property
    def title(self) -> str:
        """In tables."""
        return row_title(self.variant.title, self.guarded)


def row_title(title: str, guarded: bool) -> str:
    """A variant's title with the state of its guard."""
    return f"{title}, guard {'on' if guarded else 'off'}"


def choose_rows(names: list[str], guards: Literal["on", "off", "both"] = "on") -> list[Row]:
    """The rows of these variants.

    Raises:
        InputError: an unknown variant.
    """
    for name in names:
        if name not in VARIANTS:
            raise InputError(f"methods: {name!r} is none; there are {', '.join(VARIANTS)}.")
    # Without the guard first: what it judges is then remembered.
    states = {"on": (True,), "off": (False,), "both": (False, True)}[guards]
    return [Row(VARIANTS[name], guarded) for name in dict.fromkeys(names) for guarded in states]


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


class Refiner:
    """Makes every variant of one picture.

    Args:
        quality: the quality model.
        engine: inpainter and restorer in one (``EngineCache``), or a function without arguments that loads it.
        restorer: of stage 2, where that is another one; likewise.
        options: as chosen; ``guard`` in them is not asked.
        assess: both maps, as chosen.
        seed: of everything that is drawn.
    """

    def __init__(
        self,
        quality: Any,
        engine: Any,
        options: RefineOptions,
        assess: Callable[..., Any],
        seed: int,
        restorer: Any = None,
    ) -> None:
        self._quality, self._engine, self._options, self._assess, self._seed = quality, engine, options, assess, seed
        self._restorer = engine if restorer is None else restorer

    def make(self, variant: Variant, guarded: bool, image: Tensor, prompt: str) -> Answer:
        """One variant of ``image`` (1, H, W, 3)."""
        # Without a guard nothing is refused, so nothing is tried again.
        options = replace(self._options, guard=guarded, attempts=self._options.attempts if guarded else 1)
        if variant.whole == "img2img":
            return self._checked(image, self._image_to_image(image, prompt), prompt, options)
        if variant.whole == "inpaint":
            return self._checked(image, self._inpainted(image, prompt), prompt, options)
        sides = {"perceptual": self._perceptual_alone, "alignment": self._alignment_alone, "both": self._assess}
        done = refine(
            image,
            prompt,
            self._quality,
            self._engine if 1 in variant.stages else None,
            self._restorer if 2 in variant.stages else None,
            options=options,
            seed=self._seed,
            assess=sides[variant.maps],
        )
        entries = done.reports[0].guard
        return Answer(done.image, len(entries), sum(not entry.accepted for entry in entries), done.reports[0])

    def _image_to_image(self, image: Tensor, prompt: str) -> Tensor:
        """No diagnosis at all: the prompt as it is, all steps, one strength."""
        return stage2(
            image,
            self._restorer,
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
            self._engine,
            prompts=emphasize(prompt, found.alignment.phrases[0], **vars(self._options.emphasis)),
            strengths=planned.stage1_strength,
            steps=plan.steps,
            seed=self._seed,
            crop=self._options.crop,
        )

    def _checked(self, before: Tensor, after: Tensor, prompt: str, options: RefineOptions) -> Answer:
        if not options.guard:
            return Answer(after, 0, 0)
        result = guard(
            before,
            after,
            self._quality,
            prompt,
            tolerance=options.tolerance,
            assess=self._assess,
            stage=2,
            rule=options.rule,
        )
        return Answer(result.image, len(result.entries[0]), result.refused)

    def _perceptual_alone(self, quality: Any, images: Tensor, prompts: Any) -> Assessment:
        """As if there were no AQ-Map: no phrase is found wrong, neither mask nor plan nor guard knows of the prompt."""
        found = self._assess(quality, images, prompts)
        matched = tuple(
            tuple(replace(phrase, defect="none", deficit=0.0, region=None, ratio=1.0) for phrase in phrases)
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
            worst_region=torch.ones_like(perceptual.worst_region),
            ratios={},
        )
        return Assessment(silent, found.alignment)
