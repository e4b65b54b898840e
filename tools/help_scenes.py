"""What the help pages' pictures show of the nodes that measure and decide; ``help_stages`` has those that paint.

Real results: the pictures are samples of the miniature world's test split, the models the small ones that come with the
pack, as in ``grefine demo``. What is computed is what the nodes call.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import Any

import numpy as np
import torch
from help_drawing import INNER, bars, card, faint, line, panel, plain, row
from PIL import Image, ImageDraw
from torch import Tensor

from grefine_core import assess, binarize_map, emphasize, merge_maps, plan_refinement
from grefine_core.calibration.damage import damage
from grefine_core.miniature.loading import load_choices, load_miniature_quality_model
from grefine_core.plan import Plan
from grefine_core.report.colors import heatmap, overlay
from grefine_core.report.text import ACCENT, BACKGROUND, BAD, FAINT, GOOD, Run, text_block
from grefine_core.report.words import phrase_verdict, shares_of
from grefine_research.miniature.generator import make_sample


@dataclass(frozen=True)
class Scene:
    """A sample of the miniature world and what the models say of it."""

    index: int

    @cached_property
    def sample(self) -> Any:
        """As it was drawn."""
        return make_sample("test", self.index)

    @cached_property
    def image(self) -> Tensor:
        """``(1, H, W, 3)``."""
        return torch.from_numpy(np.clip(self.sample.image, 0, 1)).float()[None]

    @cached_property
    def clean(self) -> Tensor:
        """The same without its defects."""
        return torch.from_numpy(np.clip(self.sample.clean, 0, 1)).float()[None]

    @property
    def prompt(self) -> str:
        """What it was meant to show."""
        return str(self.sample.caption.prompt)

    @cached_property
    def found(self) -> Any:
        """Both qualities."""
        return measured(self.image, self.prompt)

    @cached_property
    def mask(self) -> Any:
        """Of both maps, as the workflow ``grefine_1_start_here`` makes it."""
        maps = [self.found.perceptual.defect_map, self.found.alignment.defect_map]
        return binarize_map(merge_maps(maps), threshold=load_choices().options.masks.threshold)

    @cached_property
    def truth(self) -> Any:
        """Of the defects as they were drawn, as if somebody had masked them by hand."""
        drawn = [torch.from_numpy(defect.mask).float()[None] for defect in self.sample.defects]
        return binarize_map(merge_maps(drawn), grow=0.05)


@lru_cache(maxsize=1)
def quality_model() -> Any:
    """The small one, loaded once."""
    return load_miniature_quality_model()


def measured(image: Tensor, prompt: str) -> Any:
    """Both qualities of a picture."""
    return assess(quality_model(), image, prompt, **load_choices().assessment())


def noisy(image: Tensor, spread: float) -> Tensor:
    """The picture with noise of that spread."""
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return (image + spread * noise).clamp(0, 1)


def load_quality_model() -> Image.Image:
    """The same picture, worse and worse, and its scores."""
    scene, panels = Scene(164), []
    for spread in (0.0, 0.06, 0.12, 0.24):
        image = noisy(scene.clean, spread)
        score = float(measured(image, scene.prompt).perceptual.score)
        panels.append((f"noise {spread:.2f}: score {score:.2f}", panel(image)))
    return card([row(panels, 4), faint("The same picture under more and more noise, measured by the quality model.")])


def calibrate_quality_model() -> Image.Image:
    """A good picture, and copies of it whose damage is known."""
    scene = Scene(164)
    shown = [("good", panel(scene.clean))]
    for name in ("blur", "doubled", "colours"):
        draws = torch.Generator().manual_seed(4)
        found = damage(scene.clean[0], name, size=512, strength=1.0, generator=draws)
        shown.append((f"{found.factor}: {name}", panel(found.image.unsqueeze(0))))
    return card([row(shown, 4), faint("Good pictures set the bounds; damaged copies say what the model sees of it.")])


def pq_map() -> Image.Image:
    """Picture, map, overlay, factors."""
    scene = Scene(164)
    found = scene.found.perceptual
    shown = [("image", panel(scene.image)), ("defect_map", panel(heatmap(found.defect_map))),
             ("overlay", panel(overlay(scene.image, found.defect_map)))]  # fmt: skip
    values = [("score", float(found.score)), *shares_of(found).items(), ("worst_region", float(found.worst_region))]
    return card([row(shown), bars(values), faint("Of each factor the share of its bound; their product is the score.")])


def aq_map() -> Image.Image:
    """Picture, map, overlay, phrases."""
    scene = Scene(41)
    found = scene.found.alignment
    shown = [("image", panel(scene.image)), ("defect_map", panel(heatmap(found.defect_map))),
             ("overlay", panel(overlay(scene.image, found.defect_map)))]  # fmt: skip
    colors = {"none": GOOD, "modifier": ACCENT, "noun": BAD}
    words = [Run("phrases:  ", FAINT)]
    for phrase in found.phrases[0]:
        color = FAINT if phrase.phrase.is_style else colors[phrase.defect]
        words.append(Run(f"{phrase.phrase.text}: {phrase_verdict(phrase)}    ", color))
    return card([line(Run("prompt:  ", FAINT), scene.prompt), row(shown), line(*words)])


def merge() -> Image.Image:
    """Both maps of one picture, merged in each way."""
    scene = Scene(71)
    maps = [scene.found.perceptual.defect_map, scene.found.alignment.defect_map]
    first = [("image", panel(scene.image)), ("map_a: PQ-Map", panel(heatmap(maps[0]))),
             ("map_b: AQ-Map", panel(heatmap(maps[1])))]  # fmt: skip
    second = [(f"mode {mode}", panel(heatmap(merge_maps(maps, mode)))) for mode in ("max", "mean", "noisy_or")]
    return card([row(first), row(second)])


def unpack() -> Image.Image:
    """What one plan holds: scores, maps, masks."""
    scene = Scene(164)
    perceptual, alignment = scene.found.perceptual, scene.found.alignment
    mask = binarize_map(perceptual.defect_map, feather=0.08)
    shown = [("perceptual_defects", panel(heatmap(perceptual.defect_map))),
             ("alignment_defects", panel(heatmap(alignment.defect_map))),
             ("denoise_mask", panel(mask.denoise)), ("composite_mask", panel(mask.composite))]  # fmt: skip
    scores = [("perceptual_score", float(perceptual.score)), ("alignment_score", float(alignment.score)),
              ("worst_region", float(perceptual.worst_region)), ("area", float(mask.denoise.mean()))]  # fmt: skip
    return card([line(Run("prompt:  ", FAINT), scene.prompt), row(shown, 4), bars(scores)])


def binarize() -> Image.Image:
    """One map, masked in each way."""
    defects = Scene(164).found.perceptual.defect_map
    shield = torch.zeros_like(defects)
    shield[:, :, : shield.shape[2] // 3] = 1.0
    ways: list[tuple[str, dict[str, Any]]] = [
        ("threshold 0.5", {}), ("threshold 0.8", {"threshold": 0.8}), ("otsu", {"method": "otsu"}),
        ("top 0.05", {"method": "top", "top": 0.05}), ("threshold 0.5, grow 0.08", {"grow": 0.08}),
        ("feather 0.08 (composite)", {"feather": 0.08}), ("left third protected", {"protect": shield}),
    ]  # fmt: skip
    panels = [("defect_map", panel(heatmap(defects)))]
    for name, keywords in ways:
        mask = binarize_map(defects, **keywords)
        panels.append((name, panel(mask.composite if "feather" in keywords else mask.denoise)))
    return card([row(panels, 4)])


def emphasis() -> Image.Image:
    """A prompt before and after."""
    scene = Scene(41)
    phrases = scene.found.alignment.phrases[0]
    strong = emphasize(scene.prompt, phrases)
    start = next(index for index, pair in enumerate(zip(strong, scene.prompt, strict=False)) if pair[0] != pair[1])
    end = strong.index(")", start) + 1
    words = text_beside(panel(scene.image), [
        [Run("prompt", FAINT)], [Run(scene.prompt)], [Run("emphasized_prompt, style weight", FAINT)],
        [Run(strong[:start]), Run(strong[start:end], ACCENT), Run(strong[end:])],
        [Run("emphasized_prompt, style repeat", FAINT)], [Run(emphasize(scene.prompt, phrases, style="repeat"))],
    ])  # fmt: skip
    return card([words])


def text_beside(image: Image.Image, paragraphs: list[list[Run]], side: int = 170) -> Image.Image:
    """A picture on the left, words on the right."""
    blocks = [text_block(runs, INNER - side - 20, 15) for runs in paragraphs]
    sheet = Image.new("RGB", (INNER, max(side, sum(block.height for block in blocks))), BACKGROUND)
    sheet.paste(image.resize((side, side), Image.Resampling.BICUBIC), (0, 0))
    top = 0
    for block in blocks:
        sheet.paste(block, (side + 20, top))
        top += block.height
    return sheet


def _decided(made: Plan) -> tuple[int, int, int]:
    glow = (made.stage1_strength - 0.5) / 0.4
    if not made.run_stage1:
        return (34, 37, 45)
    if made.run_stage2:
        return (round(90 + 150 * glow), round(80 + 60 * glow), 60)
    return (round(40 + 40 * glow), round(90 + 70 * glow), round(120 + 80 * glow))


def plan() -> Image.Image:
    """What is decided for every pair of scores, in both modes."""
    side, cells = 210, 42
    size = side // cells
    sheet = Image.new("RGB", (INNER, side + 118), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for column, mode in enumerate(("gated", "paper")):
        left, top = 14 + column * 250, 48
        for across, down in product(range(cells), range(cells)):
            made = plan_refinement((across + 0.5) / cells, 1 - (down + 0.5) / cells, mode=mode, area=0.2)
            corner = (left + across * size, top + down * size)
            draw.rectangle((*corner, corner[0] + size - 1, corner[1] + size - 1), fill=_decided(made))
        plain(f"mode {mode}", (left, 0), sheet)
        plain("alignment 1", (left, 24), sheet, FAINT)
        plain("0", (left, top + side + 2), sheet, FAINT)
        plain("perceptual 1", (left + side - 88, top + side + 2), sheet, FAINT)
    plain("untouched", (14, side + 74), sheet, FAINT)
    plain("stage 1 alone", (14, side + 96), sheet, (100, 180, 220))
    plain("both stages: the brighter, the stronger", (150, side + 96), sheet, ACCENT)
    return card([sheet])


def miniature() -> Image.Image:
    """Eight pictures of the miniature world."""
    panels = [(f"{index}", panel(Scene(index).image)) for index in (70, 29, 61, 31, 205, 152, 107, 44)]
    return card([row(panels, 4), faint("Samples of the test pictures; each has a known defect.")])
