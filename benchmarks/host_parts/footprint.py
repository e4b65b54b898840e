"""Peak memory of every node for one large picture; see ``benchmarks/footprint.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import open_clip
import torch
from in_host import Bench
from memory import peak_of
from torch import Tensor

PROMPT = "a red balloon above an old stone castle, two white swans on the lake"
WAYS = {"formula": "paper", "importance_technical": 1.0, "importance_rational": 1.0, "importance_natural": 1.0}
ALIGNMENT = {"scoring": "auto", "aggregate": "product", "include_style": False}
LISTS = {name: [value] for name, value in {**WAYS, **ALIGNMENT}.items()}
AREA = {
    "threshold": 0.5,
    "top_share": 0.2,
    "floor": 0.3,
    "min_area": 0.001,
    "grow": 0.02,
    "feather": 0.02,
    "fill_holes": True,
}
EVEN = dict.fromkeys(("weight_a", "weight_b", "weight_c", "weight_d"), 1.0)


class Idle:
    """An engine that costs nothing: what is measured is what lies around it."""

    size_multiple, min_side, native_side = 8, 512, 1024

    def inpaint(self, image: Tensor, mask: Tensor, **_: Any) -> Tensor:  # noqa: ARG002 - the protocol's
        """The crop as it is."""
        return image

    def restore(self, image: Tensor, **_: Any) -> Tensor:
        """The picture as it is."""
        return image


def main(bench: Bench) -> None:
    """Every task, the picture's side and the masked share as in the options."""
    side, share = bench.options["side"], bench.options["share"]
    torch.manual_seed(0)
    with torch.inference_mode(False):
        clip = open_clip.create_model("ViT-B-16-quickgelu").eval()
        quality = bench.part("grefine_core.clip.quality_model").QualityModel(clip, name="random")
    warm_up(bench, quality)
    picture = torch.rand(1, side, side, 3)
    mask, length = torch.zeros(1, side, side), round(side * share**0.5)
    mask[:, side // 8 : side // 8 + length, side // 4 : side // 4 + length] = 1.0
    # Noise at patch resolution, enlarged: half of it is above the threshold, in many parts.
    noise = torch.rand(1, 1, 14, 14, generator=torch.Generator().manual_seed(1))
    defects = torch.nn.functional.interpolate(noise, size=(side, side), mode="bicubic").clamp_(0.0, 1.0)[0]
    changed = torch.where(mask.unsqueeze(-1) > 0, 1.0 - picture, picture)
    everything = {**tasks(bench, quality, picture, changed, mask, defects), **stages(bench, picture, mask, defects)}
    given = [picture, changed, mask, defects]
    chosen = {what: task for what, task in everything.items() if bench.options["only"].lower() in what.lower()}
    for what, task in chosen.items():
        quality.clear_cache(texts=False)
        bench.tell(what=what, **measured(task, given))


def warm_up(bench: Bench, quality: Any) -> None:
    """Imports, and the texts' features."""
    small, mark = torch.rand(1, 64, 64, 3), torch.zeros(1, 64, 64)
    mark[:, 8:24, 8:24] = 1.0
    bench.part("nodes.masks").GRefineBinarizeMap.execute(mark, "otsu", **AREA)
    bench.part("nodes.report").GRefineQualityReport.execute([small], [small], [quality], [PROMPT], **LISTS)


def tasks(
    bench: Bench, quality: Any, picture: Tensor, changed: Tensor, mask: Tensor, defects: Tensor
) -> dict[str, Callable[[], Any]]:
    """The nodes that measure and mask."""
    maps, masks = bench.part("nodes.quality"), bench.part("nodes.masks")
    guard, report = bench.part("nodes.guard").GRefineNoHarmGuard, bench.part("nodes.report").GRefineQualityReport
    merge, binarize = masks.GRefineMergeMaps.execute, masks.GRefineBinarizeMap.execute
    both = ([picture], [changed], [quality], [PROMPT])
    return {
        "PQ-Map": lambda: maps.GRefinePQMap.execute(picture, quality, **WAYS),
        "AQ-Map": lambda: maps.GRefineAQMap.execute(picture, quality, PROMPT, **ALIGNMENT),
        **{
            f"Merge Maps, {mode}": lambda mode=mode: merge(defects, mode, **EVEN, map_b=mask)
            for mode in ("max", "mean", "noisy_or")
        },
        **{
            f"Binarize Map, {method}": lambda method=method: binarize(defects, method, **AREA)
            for method in ("threshold", "otsu", "top")
        },
        "No-Harm Guard, with a mask": lambda: guard.execute(
            [changed], [picture], *both[2:], ["stage 1"], [1.0], mask=[mask], **LISTS
        ),
        "Quality Report": lambda: report.execute(*both, denoise_mask=[mask], **LISTS),
    }


def stages(bench: Bench, picture: Tensor, mask: Tensor, defects: Tensor) -> dict[str, Callable[[], Any]]:
    """Both stages with an engine that does nothing."""
    stage1 = bench.part("grefine_core.refine.stages").stage1
    stage2 = bench.part("grefine_core.refine.stages").stage2
    settings = {"prompts": "", "strengths": 0.5, "steps": 1, "seed": 1, "keep_color": True}

    parts = (defects > 0.5).float()

    def first(denoise: Tensor) -> Callable[[], Any]:
        return lambda: stage1(picture, denoise, denoise, Idle(), **settings)

    return {
        f"Stage 1 around its engine, {bench.options['share']:.0%} masked": first(mask),
        "Stage 1 around its engine, all masked": first(torch.ones((), dtype=mask.dtype).expand_as(mask)),
        "Stage 1 around its engine, many parts": first(parts),
        "Stage 2 around its engine": lambda: stage2(picture, Idle(), **settings),
    }


def measured(task: Callable[[], Any], given: Sequence[Tensor]) -> dict[str, float]:
    """The peak of one task beyond what it was given, what of that it returns, and the rest, in megabytes."""
    held = {tensor.untyped_storage().data_ptr() for tensor in given}
    peak, result = peak_of(task)
    result = getattr(result, "result", result)
    kept = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors(result)}
    returned = sum(size for place, size in kept.items() if place not in held) / 1e6
    return {"peak_mb": peak, "returned_mb": returned, "beyond_mb": peak - returned}


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in a node's results."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Iterable) and not isinstance(value, str):
        for item in value:
            yield from tensors(item)
