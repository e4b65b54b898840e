"""Writes the thumbnails of the shipped workflows: workflows/*.jpg.

    python tools/build_thumbnails.py [NAME…]       all of them, or some

They are illustrations: pictures of the miniature world with what is wrong with them, the maps and masks that its
quality model really finds, and the same pictures drawn without their defects. Only that of ``grefine_1_start_here``
shows what its workflow gives. Needs G-Refine installed (``pip install -e .``); takes some ten seconds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image
from thumbnail_layout import Bar, Panel, card, score_card

from grefine_core import assess, binarize_map, merge_maps, refine
from grefine_core.miniature.loading import load_choices, load_miniature_inpainter, load_miniature_quality_model
from grefine_core.miniature.world import EXAMPLE_INDEX
from grefine_core.report.colors import overlay
from grefine_research.miniature.generator import make_sample

if TYPE_CHECKING:
    from torch import Tensor

    from grefine_research.miniature.sample import Sample

FOLDER = Path(__file__).resolve().parents[1] / "workflows"
BAR = 0.8  # Refine Plan's own


class Found(NamedTuple):
    """What the quality model finds in a picture ``(1, H, W, 3)``."""

    picture: Tensor
    result: Any
    mask: Tensor


def picture_of(pixels: Tensor) -> Image.Image:
    """A tensor ``(1, H, W, 3)`` or a mask ``(1, H, W)`` as a picture."""
    pixels = pixels.unsqueeze(-1).expand(-1, -1, -1, 3) if pixels.ndim == 3 else pixels
    return Image.fromarray((pixels[0].clamp(0.0, 1.0) * 255.0).round().byte().numpy())


def _tensor(pixels: Any) -> Tensor:
    import torch

    return torch.from_numpy(pixels).float().clamp(0.0, 1.0).unsqueeze(0)


@cache
def sample(index: int, *kinds: str) -> Sample:
    """A picture of the miniature world with these kinds of defects (none: as they are drawn)."""
    return make_sample("test", index, kinds=kinds, difficulty=0.3) if kinds else make_sample("test", index)


def find(what: Sample) -> Found:
    """Measure a sample, as the miniature world's choices say."""
    masks = load_choices().options.masks
    picture = _tensor(what.image)
    result = assess(load_miniature_quality_model(), picture, what.caption.prompt)
    merged = merge_maps([result.perceptual.defect_map, result.alignment.defect_map], mode=masks.merge)
    mask = binarize_map(merged, method=masks.method, threshold=masks.threshold, grow=masks.grow, feather=masks.feather)
    return Found(picture, result, mask.denoise)


def found_panel(found: Found) -> Panel:
    """Both defect maps over the picture."""
    merged = merge_maps([found.result.perceptual.defect_map, found.result.alignment.defect_map])
    return Panel(picture_of(overlay(found.picture, merged)), "what is wrong")


def mask_panel(found: Found) -> Panel:
    """What stage 1 redraws, the rest of the picture darkened."""
    shown = found.picture * (0.25 + 0.75 * found.mask.unsqueeze(-1))
    return Panel(picture_of(shown), "what is redrawn")


def method(title: str, subtitle: str, *which: Any) -> Callable[[], Image.Image]:
    """The card of a workflow that repairs: before, what is wrong, what is redrawn, the aim."""

    def draw() -> Image.Image:
        chosen = sample(*which)
        found = find(chosen)
        before, aim = (
            Panel(picture_of(found.picture), "before"),
            Panel(picture_of(_tensor(chosen.clean)), "as it should be"),
        )
        return card(title, subtitle, [before, found_panel(found), mask_panel(found), aim])

    return draw


def miniature() -> Image.Image:
    """What the workflow gives, in fact: through the library, whose demonstration it is."""
    chosen, choices = sample(EXAMPLE_INDEX), load_choices()
    found, engine = find(chosen), load_miniature_inpainter("cpu")
    quality = load_miniature_quality_model()
    refined = refine(
        found.picture, chosen.caption.prompt, quality, engine, engine.restorer(), options=choices.options, seed=0
    )
    before, after = Panel(picture_of(found.picture), "before"), Panel(picture_of(refined.image), "after")
    panels = [before, found_panel(found), mask_panel(found), after]
    return card("Start here", "the whole method, nothing to download", panels)


def maps_only() -> Image.Image:
    """The two maps one by one."""
    found = find(sample(23, "technical", "alignment"))
    maps = (found.result.perceptual.defect_map, "looks wrong"), (found.result.alignment.defect_map, "not as prompted")
    panels = [Panel(picture_of(overlay(found.picture, values)), caption) for values, caption in maps]
    mask = Panel(picture_of(found.mask), "mask")
    return card(
        "Maps only",
        "where a picture is wrong, and the mask",
        [Panel(picture_of(found.picture), "picture"), *panels, mask],
    )


def score_only() -> Image.Image:
    """The scores and the phrases."""
    chosen = sample(10, "alignment")
    found = find(chosen)
    scores = {"perceptual": found.result.perceptual.score, "alignment": found.result.alignment.score}
    bars = [Bar(name, float(score[0]), BAR) for name, score in scores.items()]
    phrases = [(phrase.phrase.text, phrase.matched) for phrase in found.result.alignment.phrases[0]]
    picture = Panel(picture_of(found.picture), "picture")
    return score_card("Scores only", "how good, and which words are missing", picture, bars, phrases[-3:])


def gated_batch() -> Image.Image:
    """Four pictures, of which two pass."""
    panels = []
    for index, kind in ((1, "clean"), (9, "technical"), (27, "rational"), (10, "clean")):
        chosen = make_sample("test", index, kinds=() if kind == "clean" else (kind,), difficulty=0.3)
        score = float(find(chosen).result.perceptual.score[0])
        passes = score >= BAR
        caption = f"{score:.2f}  {'passes untouched' if passes else 'is refined'}"
        panels.append(Panel(picture_of(_tensor(chosen.image)), caption, passes))
    return card("Score-gated batch", "every picture is judged; only the bad ones are refined", panels)


CARDS: dict[str, Callable[[], Image.Image]] = {
    "grefine_flux_fill": method("Flux Fill", "Stage 1 by Flux Fill, Stage 2 by the same model", 21, "natural"),
    "grefine_z_image_turbo": method("Z-Image-Turbo", "both stages in eight steps", 2, "natural"),
    "grefine_z_image_turbo_seedvr2": method(
        "Z-Image-Turbo + SeedVR2", "Stage 2 by SeedVR2, in one step", 12, "technical"
    ),
    "grefine_qwen_image_inpainting": method("Qwen-Image", "Stage 1 with its inpainting ControlNet", 34, "natural"),
    "grefine_qwen_image_edit": method("Qwen-Image-Edit", "Stage 1 by words: what to add, to mend", 10, "alignment"),
    "grefine_flux2_klein_edit": method("Flux.2 Klein", "Stage 1 by words, in four steps", 30, "alignment"),
    "grefine_maps_only": maps_only,
    "grefine_1_start_here": miniature,
    "grefine_ordinary_checkpoint": method("Any checkpoint", "both stages by the model that you have", 9, "technical"),
    "grefine_score_gated_batch": gated_batch,
    "grefine_score_only": score_only,
    "grefine_sd15_inpainting": method("SD 1.5 inpainting", "both stages by the small inpainting model", 27, "rational"),
    "grefine_sdxl_inpainting": method(
        "SDXL inpainting", "Stage 1 of the paper, Stage 2 by the same model", 1, "natural"
    ),
    "grefine_sdxl_inpainting_pasd": method(
        "SDXL inpainting + PASD", "both stages as in the paper", 8, "technical", "alignment"
    ),
    "grefine_sdxl_supir": method("SDXL + SUPIR", "Stage 2 by SUPIR, as ComfyUI has it", 14, "technical"),
}


def main(arguments: list[str] | None = None) -> int:
    """Write the files."""
    parser = argparse.ArgumentParser(description="Writes the thumbnails of the shipped workflows.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="workflows; default: all")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder to write to")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.names or CARDS:
        path = options.output / f"{name}.jpg"
        CARDS[name]().save(path, quality=88, optimize=True)
        sys.stdout.write(f"written: {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
