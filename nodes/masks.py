"""From defect maps to masks: Merge Maps and Binarize Map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..grefine_core.diagnosis import Diagnosis
from ..grefine_core.errors import InputError
from ..grefine_core.masks import METHODS, MODES, Mask, binarize_map, merge_maps
from ..grefine_core.plan import RepairPlan, plan_repairs
from ..grefine_core.regions import MOST_PHRASES, PhraseRegion, RegionOptions, find_regions
from . import inputs, preview
from .host import SMALLER, check_interrupted, explained, known, schema, to_host
from .io_types import CATEGORY, PlanType, diagnosis_input, score_output
from .scores import scores

_MAPS = ("map_a", "map_b", "map_c", "map_d")
_WEIGHTS = ("weight_a", "weight_b", "weight_c", "weight_d")


class GRefineMergeMaps(io.ComfyNode):
    """Several defect maps become one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return schema(
            node_id="GRefineMergeMaps",
            display_name="Merge Maps",
            category=f"{CATEGORY}/mask",
            description="Merges up to four defect maps of the same pictures into one.",
            search_aliases=["combine masks", "defect map"],
            inputs=[
                io.Mask.Input("map_a", tooltip="A defect map: 1 where something is wrong."),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default="max",
                    tooltip="max: the worst map counts. mean: weighted mean. noisy_or: defects add up, "
                    "1 - (1 - a)(1 - b)…",
                ),
                *(
                    io.Float.Input(
                        weight,
                        default=1.0,
                        min=0.0,
                        max=1.0,
                        step=0.05,
                        tooltip=f"Scales {name} before merging; for mean, its share.",
                    )
                    for weight, name in zip(_WEIGHTS, _MAPS, strict=True)
                ),
                *(
                    io.Mask.Input(name, optional=True, tooltip="Another map of the same pictures, or one for all.")
                    for name in _MAPS[1:]
                ),
            ],
            outputs=[io.Mask.Output("merged_map", display_name="merged_map", tooltip="The maps as one.")],
        )

    @classmethod
    @explained("making masks", SMALLER)
    def execute(
        cls,
        map_a: Tensor,
        mode: str,
        weight_a: float,
        weight_b: float,
        weight_c: float,
        weight_d: float,
        map_b: Tensor | None = None,
        map_c: Tensor | None = None,
        map_d: Tensor | None = None,
    ) -> io.NodeOutput:
        """Merge the connected maps."""
        rows = zip(_MAPS, (map_a, map_b, map_c, map_d), _WEIGHTS, (weight_a, weight_b, weight_c, weight_d), strict=True)
        there = [row for row in rows if row[1] is not None or row[0] == "map_a"]
        connected = [name for name, *_ in there]
        used = [
            (inputs.masks(value, name), inputs.number(weight, weight_name, 0.0, 1.0))
            for name, value, weight_name, weight in there
        ]
        first = next((place for place, (value, _) in enumerate(used) if bool(value.any())), 0)
        for (value, _), name in zip(used, connected, strict=True):
            inputs.same_size(value, name, used[first][0], connected[first])
        merged = merge_maps([value for value, _ in used], inputs.choice(mode, "mode", MODES), [w for _, w in used])
        return io.NodeOutput(to_host(merged))


def _share(name: str, default: float, maximum: float, step: float, tooltip: str, **more: Any) -> Any:
    return io.Float.Input(name, default=default, min=0.0, max=maximum, step=step, tooltip=tooltip, **more)


class GRefineBinarizeMap(io.ComfyNode):
    """A defect map becomes what is sampled anew, and how softly it is pasted back."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        fine = known(io.Float.Input, advanced=True)
        return schema(
            node_id="GRefineBinarizeMap",
            display_name="Binarize Map",
            category=f"{CATEGORY}/mask",
            description="Turns a defect map into masks. A clean picture gives an empty mask, not its worst part. With "
            "a diagnosis every phrase that is not matched gets a region of its own.",
            search_aliases=["threshold mask", "otsu", "grow mask", "feather mask"],
            is_output_node=True,  # it shows its mask itself
            inputs=[
                io.Mask.Input("defect_map", tooltip="1 where something is wrong."),
                io.Combo.Input(
                    "method",
                    options=list(METHODS),
                    default="threshold",
                    tooltip="threshold: all above a fixed value. otsu: a value found for each picture. top: the worst "
                    "share of the area.",
                ),
                _share("threshold", 0.5, 1.0, 0.01, "For threshold: what is above it is repaired."),
                _share("top_share", 0.2, 1.0, 0.01, "For top: share of the picture's area."),
                _share(
                    "floor",
                    0.3,
                    1.0,
                    0.01,
                    "For otsu and top: nothing under it is ever taken, so that a clean picture gives an empty mask.",
                ),
                _share("min_area", 0.001, 1.0, 0.0005, "Smaller specks are dropped; share of the picture.", **fine),
                _share("grow", 0.02, 0.5, 0.005, "By how much the mask grows; share of the shorter side."),
                _share("feather", 0.02, 0.5, 0.005, "Width of the soft edge; share of the shorter side."),
                io.Boolean.Input(
                    "fill_holes",
                    default=True,
                    tooltip="Repair what is enclosed by defects with them.",
                    **known(io.Boolean.Input, advanced=True),
                ),
                io.Mask.Input("protect", optional=True, tooltip="What Stage 1 never repaints: faces, lettering."),
                diagnosis_input(
                    "From AQ-Map. With it defect_map is PQ-Map's, and each unmatched phrase gets a region of its own."
                ),
                io.Int.Input(
                    "most_phrases",
                    default=RegionOptions().phrases,
                    min=1,
                    max=MOST_PHRASES,
                    optional=True,
                    tooltip="With a diagnosis: so many phrases are mended in one pass, the worst first.",
                    **known(io.Int.Input, advanced=True),
                ),
                _share(
                    "max_area",
                    RegionOptions().max_area,
                    1.0,
                    0.01,
                    "With a diagnosis: where more of the picture than this looks bad, that is left to stage 2.",
                    optional=True,
                    **fine,
                ),
                io.Boolean.Input(
                    "calibrated",
                    default=True,
                    optional=True,
                    tooltip="With a diagnosis: take the threshold that was measured for the quality model, where there "
                    "is one.",
                    **known(io.Boolean.Input, advanced=True),
                ),
                io.Boolean.Input(
                    "whole_picture",
                    default=False,
                    optional=True,
                    tooltip="With a diagnosis: mask everything for a thing that is missing and belongs to nothing that "
                    "is there, as the paper does. Off: the place that suits it best.",
                    **known(io.Boolean.Input, advanced=True),
                ),
            ],
            outputs=[
                io.Mask.Output("denoise_mask", display_name="denoise_mask", tooltip="Hard: what is sampled anew."),
                io.Mask.Output("composite_mask", display_name="composite_mask", tooltip="Soft: what is pasted back."),
                score_output("area", "Share of each picture in the denoise mask; 0 is nothing to do."),
                PlanType.Output(
                    "plan",
                    display_name="plan",
                    tooltip="With a diagnosis: what is mended where, for Refine Plan.",
                    is_output_list=True,
                ),
            ],
        )

    @classmethod
    @explained("making masks", SMALLER)
    def execute(
        cls,
        defect_map: Tensor,
        method: str,
        threshold: float,
        top_share: float,
        floor: float,
        min_area: float,
        grow: float,
        feather: float,
        fill_holes: bool,
        protect: Tensor | None = None,
        diagnosis: object = None,
        most_phrases: int = RegionOptions().phrases,
        max_area: float = RegionOptions().max_area,
        calibrated: bool = True,
        whole_picture: bool = False,
    ) -> io.NodeOutput:
        """Binarise every picture's map by itself; with a diagnosis, its phrases' regions as well."""
        maps = inputs.masks(defect_map, "defect_map")
        shield = None if protect is None else inputs.masks(protect, "protect")
        if shield is not None:
            inputs.same_size(shield, "protect", maps, "defect_map")
        choices: dict[str, Any] = {
            "method": inputs.choice(method, "method", METHODS),
            "threshold": inputs.number(threshold, "threshold", 0.0, 1.0),
            "top": inputs.number(top_share, "top_share", 0.0, 1.0),
            "floor": inputs.number(floor, "floor", 0.0, 1.0),
            "min_area": inputs.number(min_area, "min_area", 0.0, 1.0),
            "grow": inputs.number(grow, "grow", 0.0, 0.5),
            "feather": inputs.number(feather, "feather", 0.0, 0.5),
            "fill_holes": inputs.flag(fill_holes, "fill_holes"),
        }
        regions = RegionOptions(
            phrases=inputs.whole_number(most_phrases, "most_phrases", 1, MOST_PHRASES),
            max_area=inputs.number(max_area, "max_area", 0.0, 1.0),
            calibrated=inputs.flag(calibrated, "calibrated"),
            whole=inputs.flag(whole_picture, "whole_picture"),
        )
        if diagnosis is None:
            mask = binarize_map(maps, protect=shield, interrupt=check_interrupted, **choices)
            plans: list[RepairPlan | None] = [None] * len(maps)
        else:
            mask, plans = _by_regions(maps, inputs.diagnoses(diagnosis), shield, regions, choices)
        areas = mask.area.tolist()
        denoise, composite = to_host(mask.denoise), to_host(mask.composite)
        both = ((hard + soft).div_(2) for hard, soft in zip(denoise, composite, strict=True))
        lines = map(_plan_lines, areas, plans)
        marked = scores(areas, "Binarize Map's area")
        return io.NodeOutput(denoise, composite, marked, plans, ui=preview.cards(lines, both))


def _by_regions(
    maps: Tensor,
    found: Sequence[Diagnosis],
    shield: Tensor | None,
    options: RegionOptions,
    choices: dict[str, Any],
) -> tuple[Mask, list[RepairPlan | None]]:
    """The masks of a batch, and the plan of each picture."""
    if len(found) != len(maps):
        raise InputError(
            f"diagnosis: of {len(found)} pictures, but defect_map is of {len(maps)}. Make both from the same pictures."
        )
    masks, plans = [], []
    for index, one in enumerate(found):
        looks = maps[index]
        if tuple(looks.shape) != one.size:
            if bool(looks.any()):
                raise InputError(
                    f"defect_map: {looks.shape[1]}×{looks.shape[0]} pixels, but the diagnosis is of "
                    f"{one.size[1]}×{one.size[0]}. Make both from the same pictures."
                )
            looks = looks.new_zeros(one.size)
        protect = None if shield is None else shield[index if len(shield) > 1 else 0]
        regions = find_regions(
            one, options, perceptual_map=looks, protect=protect, interrupt=check_interrupted, **choices
        )
        masks.append(regions.mask)
        plans.append(plan_repairs(one, regions))
    joined = Mask(*(torch.cat([getattr(mask, name) for mask in masks]) for name in ("denoise", "composite", "area")))
    return joined, list(plans)


def _plan_lines(area: float, plan: RepairPlan | None) -> list[preview.Line]:
    """What is masked, which phrase where, and what waits for another pass."""
    lines = _area_lines(area)
    if plan is None:
        return lines
    if plan.perceptual_left:
        lines.append(preview.line("Too much looks bad for stage 1: left to stage 2.", "warn"))
    names = [phrase.phrase.text for phrase in plan.diagnosis.phrases]
    for region in plan.regions:
        what = ", ".join([*(["looks bad"] if region.bad else []), *(f"'{names[index]}'" for index in region.phrases)])
        lines.append(preview.line(f"region {region.number}: {what or 'cleaned up'}"))
    return [*lines, *_waiting(plan.left_out, names)]


def _waiting(left_out: Iterable[PhraseRegion], names: Sequence[str]) -> list[preview.Line]:
    return [preview.line(f"'{names[each.phrase]}' waits: {each.left_out}", "faint") for each in left_out]


def _area_lines(area: float) -> list[preview.Line]:
    if not area:
        return [preview.line("Nothing is masked: stage 1 has nothing to do.", "faint", main=True)]
    return [
        preview.line(f"{area:.1%} of the picture", main=True),
        preview.line("white: redrawn, grey: blended with the old", "faint"),
    ]
