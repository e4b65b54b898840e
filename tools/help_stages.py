"""What the help pages' pictures show of the nodes that paint, guard and report, as ``help_scenes`` of the others.

Where the nodes hand over to models of ComfyUI, the library's engine with the same weights takes their place.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from help_drawing import card, faint, line, outlined, panel, row
from help_scenes import Scene, measured, noisy, quality_model
from PIL import Image, ImageDraw
from torch import Tensor

from grefine_core import assess
from grefine_core.diagnosis import diagnose_pictures
from grefine_core.instructions import instruct
from grefine_core.miniature.loading import load_choices, load_miniature_inpainter
from grefine_core.miniature.world import EXAMPLE_INDEX
from grefine_core.pictures import load_picture
from grefine_core.refine import guard, refine, stage1, stage2
from grefine_core.refine.color import adain_color, wavelet_color
from grefine_core.refine.crops import CropSizes
from grefine_core.refine.open_regions import cut_regions, merge_regions, open_regions
from grefine_core.report import comparison_sheet
from grefine_core.report.colors import heatmap
from grefine_core.report.text import BAD, GOOD, Run

PHOTOGRAPH = Path(__file__).resolve().parents[1] / "tests" / "data" / "coffee.jpg"


@lru_cache(maxsize=1)
def _inpainter() -> Any:
    return load_miniature_inpainter("cpu")


def _measure(quality: Any, images: Tensor, prompt: Any) -> Any:
    return assess(quality, images, prompt, **load_choices().assessment())


def _painted(scene: Scene, mask: Any, strength: float, seed: int = 0) -> Tensor:
    crop = load_choices().options.crop
    return stage1(scene.image, mask.denoise, mask.composite, _inpainter(), prompts=scene.prompt, strengths=strength,
                  steps=10, seed=seed, crop=crop)  # fmt: skip


def _restored(image: Tensor, prompt: str, strength: float, keep_color: bool = True) -> Tensor:
    return stage2(image, _inpainter().restorer(), prompts=prompt, strengths=strength, steps=10, keep_color=keep_color)


def _difference(before: Tensor, after: Tensor) -> Image.Image:
    return panel(heatmap(((after - before).abs().amax(-1) * 4).clamp(0, 1)))


def _split(scene: Scene) -> Any:
    """The scene's two crops: where they lie, what they show, and their masks."""
    size = (scene.image.shape[1], scene.image.shape[2])
    mask = torch.zeros(1, *size)
    mask[:, 12:52, 12:52] = mask[:, 84:120, 72:120] = 1.0
    regions = open_regions(size, mask[0], None, CropSizes(8, 48, 64), prompt=scene.prompt)
    return mask, regions, cut_regions(scene.image, regions)


def split_regions() -> Image.Image:
    """A picture, where its regions lie, and the crops with their masks."""
    scene = Scene(70)
    mask, _, crops = _split(scene)
    panels = [("image, denoise_mask", outlined(scene.image, mask))]
    panels += [(f"crops {place}", panel(crop)) for place, (crop, _) in enumerate(crops, 1)]
    panels += [(f"crop_masks {place}", panel(own)) for place, (_, own) in enumerate(crops, 1)]
    return card([row(panels, 5), faint("Any graph repairs the crops; Merge Regions puts them back.")])


def merge_crops() -> Image.Image:
    """Crops turned into something else entirely, and the picture with them in it."""
    scene = Scene(70)
    _, regions, crops = _split(scene)
    made = [1.0 - crop for crop, _ in crops]
    merged = merge_regions(scene.image, regions, made)
    panels = [("image", panel(scene.image)), ("repaired 1", panel(made[0])), ("repaired 2", panel(made[1])),
              ("merged_image", panel(merged)), ("what changed, 4 times", _difference(scene.image, merged))]  # fmt: skip
    return card([row(panels, 5), faint("The repair is a negative here. Black on the right: not one byte differs.")])


def repair_instruction() -> Image.Image:
    """What was found in a picture, in the words of a person who asks for a change."""
    parts = []
    for index in (70, 74):
        scene = Scene(index)
        found = diagnose_pictures(_measure(quality_model(), scene.image, scene.prompt), [scene.prompt])[0]
        picture = panel(scene.image).resize((160, 160))
        parts += [row([("image", picture)], 4), line("prompt: ", Run(scene.prompt)), line(Run(instruct(found), GOOD))]
    return card(parts)


def stage1_inpaint() -> Image.Image:
    """Before, mask, after, and what changed."""
    scene = Scene(70)
    after = _painted(scene, scene.truth, 0.6)
    panels = [("image", panel(scene.image)), ("denoise_mask (outline)", outlined(scene.image, scene.truth.denoise)),
              ("refined_image", panel(after)), ("what changed, 4 times", _difference(scene.image, after))]  # fmt: skip
    return card([row(panels), faint("Strength 0.6, 10 steps. Black on the right: there not one byte differs.")])


def stage1_diffusers() -> Image.Image:
    """The same repair at several strengths."""
    scene = Scene(67)
    panels = [("mask (outline)", outlined(scene.image, scene.truth.denoise))]
    for strength in (0.3, 0.5, 0.7, 0.9):
        panels.append((f"strength {strength}", panel(_painted(scene, scene.truth, strength))))
    return card([row(panels), faint("10 steps and the same seed: the higher, the less is left of what was there.")])


def inpaint_pipeline() -> Image.Image:
    """What one pipeline paints for different seeds."""
    scene = Scene(1)
    panels = [("mask (outline)", outlined(scene.image, scene.truth.denoise))]
    panels += [(f"seed {seed}", panel(_painted(scene, scene.truth, 0.9, seed))) for seed in range(4)]
    note = f"Prompt: {scene.prompt}. Painted by the small pipeline that comes with the pack."
    return card([row(panels), faint(note)])


def pasd() -> Image.Image:
    """What ``color`` does, on a photograph."""
    photograph = load_picture(PHOTOGRAPH).image
    shifted = (photograph * torch.tensor([1.12, 0.98, 0.8]) + torch.tensor([0.06, 0.0, -0.04])).clamp(0, 1)
    panels = [("the picture", panel(photograph)), ("restored, colours drifted", panel(shifted)),
              ("color wavelet", panel(wavelet_color(shifted, photograph).clamp(0, 1))),
              ("color adain", panel(adain_color(shifted, photograph).clamp(0, 1)))]  # fmt: skip
    note = "What color puts right. The drift was made for this picture: PASD's weights do not come with the pack."
    return card([row(panels), faint(note)])


def restorer() -> Image.Image:
    """The same picture at several strengths."""
    scene = Scene(70)
    rough = noisy(scene.clean, 0.07)
    panels = [("image", panel(rough))]
    for strength in (0.1, 0.2, 0.4, 0.8):
        panels.append((f"strength {strength}", panel(_restored(rough, scene.prompt, strength))))
    return card([row(panels), faint("Stage 2 with this restorer: low strengths smooth, high ones draw anew.")])


def stage2_restore() -> Image.Image:
    """Before, after, what changed."""
    scene = Scene(90)
    after = _restored(scene.image, scene.prompt, 0.3)
    scores = [float(measured(image, scene.prompt).perceptual.score) for image in (scene.image, after)]
    panels = [(f"image: perceptual {scores[0]:.2f}", panel(scene.image)),
              (f"restored_image: {scores[1]:.2f}", panel(after)),
              ("what changed, 4 times", _difference(scene.image, after))]  # fmt: skip
    return card([row(panels), faint("Strength 0.3, 10 steps. All of the picture changes a little, by design.")])


def no_harm_guard() -> Image.Image:
    """A repair of which the guard takes a part back."""
    scene = Scene(152)
    after = _painted(scene, scene.mask, 0.9)
    kept = guard(
        scene.image, after, quality_model(), scene.prompt, mask=scene.mask.denoise, assess=_measure
    )  # fmt: skip
    side = after.shape[1]
    framed = panel(after).resize((4 * side, 4 * side), Image.Resampling.BICUBIC)
    words = []
    for entry in kept.entries[0]:
        assert entry.region is not None
        top, left, bottom, right = entry.region
        color = GOOD if entry.accepted else BAD
        ImageDraw.Draw(framed).rectangle((left * 4, top * 4, right * 4 - 1, bottom * 4 - 1), outline=color, width=8)
        words.append(line(Run("kept: " if entry.accepted else "put back: ", color), entry.reason, size=14))
    panels = [("before", panel(scene.image)), ("after, region by region", framed), ("image", panel(kept.image))]
    return card([row(panels), *words])


def quality_report() -> Image.Image:
    """The sheet itself."""
    scene = Scene(EXAMPLE_INDEX)
    result = refine(scene.image, scene.prompt, quality_model(), _inpainter(), _inpainter().restorer(),
                    options=load_choices().options, assess=_measure)  # fmt: skip
    sheet = panel(comparison_sheet(scene.image, result.image, result.reports, width=1000))
    return sheet.resize((600, round(sheet.height * 0.6)), Image.Resampling.LANCZOS)
