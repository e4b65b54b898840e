"""Split Regions and Merge Regions: any graph between the two repairs; and Repair Instruction, for models that edit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker
from torch import Tensor

from ..grefine_core.alignment.results import PhraseQuality
from ..grefine_core.diagnosis import Diagnosis
from ..grefine_core.errors import InputError
from ..grefine_core.instructions import TEMPLATES, instruct
from ..grefine_core.plan import RegionPlan, RepairPlan
from ..grefine_core.refine.crops import CropOptions, CropSizes, RegionCrop, Regions
from ..grefine_core.refine.open_regions import cut_regions, diagnosis_of, merge_regions, open_regions, told_by
from . import families, inputs, latents, preview
from .host import SMALLER, explained, known, progress, schema
from .inputs import MOST_STEPS, Pictures
from .io_types import CATEGORY, PhrasesType, RegionsType, diagnosis_input, plan_input
from .scores import refuse_scores
from .stage1 import CONTEXT, CROP_SIZES, MIN_SIDES, NATIVE_SIDES, Values, crop_inputs, seed_input

#: Where no model says what its sides have to be multiples of: a cell of 8 pixels and a patch of 2, or a cell of 16.
_MULTIPLE = 16
_MOST_MULTIPLE = 128


class GRefineSplitRegions(io.ComfyNode):
    """Takes pictures apart into the crops that Stage 1 would repaint."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return schema(
            node_id="GRefineSplitRegions",
            display_name="Split Regions",
            category=f"{CATEGORY}/refine",
            description="Takes a picture apart into crops around what is to be repaired, each with its mask, prompt, "
            "strength, steps and seed. Any sampler, edit model or detailer can repaint them; Merge Regions puts them "
            "back. With nothing to repair, what hangs on the lists does not run.",
            search_aliases=["crop and stitch", "inpaint crop", "detailer", "segs", "regions"],
            is_input_list=True,
            inputs=[
                io.Image.Input("image", tooltip="The picture, or several."),
                io.Boolean.Input("run", default=True, tooltip="From Refine Plan. Off: no crops."),
                io.Float.Input(
                    "strength",
                    default=0.7,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="From Refine Plan, for the list of this name. A plan has one for each region.",
                ),
                io.Int.Input(
                    "steps",
                    default=10,
                    min=1,
                    max=MOST_STEPS,
                    tooltip="For the list of this name. A plan has them for each region.",
                ),
                seed_input(),
                *crop_inputs(
                    "native",
                    crop_size="source: crops at the picture's own scale. native: scaled to the model's resolution.",
                    min_side="For source: a crop takes in surroundings until its shorter side is this long. 0: the "
                    "model's own resolution, or 512 without one.",
                    native_side="For native: the model's own resolution. 0: as the model says, or 1024 without one.",
                ),
                io.Boolean.Input(
                    "own_phrases",
                    default=True,
                    tooltip="Put a region's own phrases in front of its prompt: those of the plan, or of AQ-Map.",
                ),
                io.Int.Input(
                    "size_multiple",
                    default=0,
                    min=0,
                    max=_MOST_MULTIPLE,
                    tooltip="Sides of crops are multiples of it. 0: as model and VAE ask, or 16 without them.",
                    **known(io.Int.Input, advanced=True),
                ),
                io.Mask.Input(
                    "denoise_mask",
                    optional=True,
                    tooltip="What is to be repaired: one mask per picture, or one for all. Not asked where there is a "
                    "plan.",
                ),
                io.Mask.Input(
                    "composite_mask",
                    optional=True,
                    tooltip="What Merge Regions pastes back, usually softer. Without it the denoise mask.",
                ),
                plan_input("From Refine Plan: masks, strength, steps, phrases and prompt of every region."),
                RegionsType.Input(
                    "regions",
                    optional=True,
                    tooltip="From Stage-1 Inpaint, in place of masks and plan: the same crops once more.",
                ),
                PhrasesType.Input(
                    "phrases", optional=True, tooltip="From AQ-Map, where there is no plan: what is mended where."
                ),
                io.String.Input(
                    "prompt",
                    optional=True,
                    force_input=True,
                    tooltip="What the regions are painted by. Without it that of the plan.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    lazy=True,
                    tooltip="The model that will repaint: sizes of crops are asked of it. Loaded only if needed.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    lazy=True,
                    tooltip="Its VAE: sizes are asked of it, and masks cover whole cells of its latents. Loaded only "
                    "if needed.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "crops",
                    display_name="crops",
                    tooltip="One for each region. They may have different sizes.",
                    is_output_list=True,
                ),
                io.Mask.Output(
                    "crop_masks",
                    display_name="crop_masks",
                    tooltip="What is to be repaired in it.",
                    is_output_list=True,
                ),
                io.String.Output(
                    "prompts", display_name="prompts", tooltip="Each region's own prompt.", is_output_list=True
                ),
                io.Float.Output("strengths", display_name="strengths", tooltip="Of each region.", is_output_list=True),
                io.Int.Output("steps_out", display_name="steps", tooltip="Of each region.", is_output_list=True),
                io.Int.Output(
                    "seeds",
                    display_name="seeds",
                    tooltip="Of each region, as Stage-1 Inpaint has them.",
                    is_output_list=True,
                ),
                RegionsType.Output(
                    "regions_out",
                    display_name="regions",
                    tooltip="For Merge Regions and Repair Instruction: where the crops lie. One for each picture.",
                    is_output_list=True,
                ),
            ],
        )

    @classmethod
    @explained("reading pictures and masks", SMALLER)
    def check_lazy_status(
        cls,
        image: Values,
        run: Values,
        strength: Values,
        steps: Values,  # noqa: ARG003 - the host passes all inputs
        seed: Values,  # noqa: ARG003
        crop_size: Values,  # noqa: ARG003
        min_side: Values,  # noqa: ARG003
        native_side: Values,  # noqa: ARG003
        context: Values,  # noqa: ARG003
        own_phrases: Values,  # noqa: ARG003
        size_multiple: Values,  # noqa: ARG003
        denoise_mask: Values | None = None,
        composite_mask: Values | None = None,  # noqa: ARG003
        plan: Values | None = None,
        regions: Values | None = None,
        phrases: Values | None = None,  # noqa: ARG003
        prompt: Values | None = None,  # noqa: ARG003
        model: Values | None = None,
        vae: Values | None = None,
    ) -> list[str]:
        """Ask for model and VAE, where they are connected, if any picture has something to be repaired."""
        linked = {name: value for name, value in (("model", model), ("vae", vae)) if value is not None}
        missing = inputs.unevaluated(linked)
        if not missing:
            return []
        pictures = inputs.flatten_images(image, "image", canvas=True)
        if regions is not None:
            found = any(one is not None and one.crops for one in _handles(regions, pictures))
        else:
            found = any(_work(pictures, run, strength, denoise_mask, plan).active)
        return missing if found else []

    @classmethod
    @explained("cutting pictures into crops", SMALLER)
    def execute(
        cls,
        image: Values,
        run: Values,
        strength: Values,
        steps: Values,
        seed: Values,
        crop_size: Values,
        min_side: Values,
        native_side: Values,
        context: Values,
        own_phrases: Values,
        size_multiple: Values,
        denoise_mask: Values | None = None,
        composite_mask: Values | None = None,
        plan: Values | None = None,
        regions: Values | None = None,
        phrases: Values | None = None,
        prompt: Values | None = None,
        model: Values | None = None,
        vae: Values | None = None,
    ) -> io.NodeOutput:
        """Split all pictures; the lists run over the regions of all of them."""
        pictures = inputs.flatten_images(image, "image", canvas=True)
        unet = inputs.single(model, "model") if inputs.given(model) else None
        autoencoder = inputs.single(vae, "vae") if inputs.given(vae) else None
        sizes = _sizes(
            inputs.whole_number(inputs.single(size_multiple, "size_multiple"), "size_multiple", 0, _MOST_MULTIPLE),
            inputs.whole_number(inputs.single(min_side, "min_side"), "min_side", *MIN_SIDES),
            inputs.whole_number(inputs.single(native_side, "native_side"), "native_side", *NATIVE_SIDES),
            unet,
            autoencoder,
        )
        crop = CropOptions(
            crop_size=inputs.choice(inputs.single(crop_size, "crop_size"), "crop_size", CROP_SIZES),
            context=inputs.number(inputs.single(context, "context"), "context", *CONTEXT),
        )
        if regions is not None:  # connected, though it may hold nothing: of pictures that passed untouched
            found = _handles(regions, pictures)
        else:
            found = _planned(
                pictures,
                _Settings(sizes, crop, inputs.flag(inputs.single(own_phrases, "own_phrases"), "own_phrases")),
                run,
                strength,
                steps,
                seed,
                denoise_mask,
                composite_mask,
                plan,
                phrases,
                prompt,
            )
        cell = 1 if autoencoder is None else latents.size_multiple(autoencoder)
        crops = [
            (*each, region)
            for picture, one in zip(pictures.items, found, strict=True)
            if one is not None
            for each, region in zip(cut_regions(picture, one, cell), one.crops, strict=True)
        ]
        told = [_line(region) for _, _, region in crops] or [preview.line("Nothing to repair.", "faint")]
        lists: list[list[Any]] = [
            [picture for picture, _, _ in crops],
            [mask for _, mask, _ in crops],
            [region.prompt for _, _, region in crops],
            [region.strength for _, _, region in crops],
            [region.steps for _, _, region in crops],
            [region.seed for _, _, region in crops],
        ]
        # The host cannot run a node on an empty list; what is blocked does not run, and Merge Regions does not ask.
        outputs = [values or [ExecutionBlocker(None)] for values in lists]
        return io.NodeOutput(*outputs, found, ui=preview.cards([told]))


@dataclass(frozen=True)
class _Settings:
    sizes: CropSizes
    crop: CropOptions
    own_phrases: bool


def _sizes(multiple: int, min_side: int, native_side: int, model: Any, vae: Any) -> CropSizes:
    """What is typed in, as far as model and VAE can take it; what is left open as they ask."""
    cell = 1 if vae is None else latents.size_multiple(vae)
    patch = 1 if model is None else families.patch_of(model)
    least = _MULTIPLE if model is None or vae is None else 1
    own = None if model is None else families.native_side_of(model)
    return CropSizes(
        math.lcm(multiple or least, cell * patch),
        min_side or own or CropSizes.min_side,
        native_side or own or CropSizes.native_side,
    )


def _handles(values: Values | None, pictures: Pictures) -> list[Regions | None]:
    """One for each picture; nothing for one that passes untouched."""
    listed = list(values or [])
    if len(listed) != len(pictures):
        raise InputError(
            f"regions: {len(listed)} for {len(pictures)} pictures. Connect both from the same pictures, in one order."
        )
    for value in listed:
        if value is not None and not isinstance(value, Regions):
            inputs.instance(value, "regions", Regions, "what Split Regions or Stage-1 Inpaint gives")
    return [value if isinstance(value, Regions) else None for value in listed]


@dataclass(frozen=True)
class _Work:
    """For each picture its plan, its mask `(H, W)`, its own strength, and whether there is anything to be repaired."""

    plans: list[RepairPlan | None]
    masks: list[Tensor | None]
    strengths: list[float]
    active: list[bool]


def _work(pictures: Pictures, run: Values, strength: Values, denoise_mask: Values | None, plan: Values | None) -> _Work:
    count = len(pictures)
    plans = inputs.repair_plans(plan, "plan", pictures)
    if not inputs.given(denoise_mask) and any(each is None for each in plans):
        raise InputError("denoise_mask: nothing says what is to be repaired. Connect a mask, a plan, or regions.")
    hard: list[Tensor | None] = [None] * count
    if inputs.given(denoise_mask):
        hard = [mask[0] for mask in inputs.flatten_masks(denoise_mask, "denoise_mask", pictures, "image")]
    runs = [inputs.flag(value, "run") for value in inputs.per_picture(run, "run", count)]
    refuse_scores([value for value in strength if value is not None], "strength")
    strengths = [
        inputs.number(value, "strength", 0.0, 1.0) for value in inputs.per_picture(strength, "strength", count)
    ]
    masks = [mask if repairs is None else repairs.denoise for mask, repairs in zip(hard, plans, strict=True)]
    decided = [
        on and strong > 0.0 if repairs is None else repairs.run_stage1
        for on, strong, repairs in zip(runs, strengths, plans, strict=True)
    ]
    active = [on and mask is not None and bool((mask > 0).any()) for on, mask in zip(decided, masks, strict=True)]
    return _Work(plans, masks, strengths, active)


def _planned(
    pictures: Pictures,
    settings: _Settings,
    run: Values,
    strength: Values,
    steps: Values,
    seed: Values,
    denoise_mask: Values | None,
    composite_mask: Values | None,
    plan: Values | None,
    phrases: Values | None,
    prompt: Values | None,
) -> list[Regions | None]:
    """Where the crops of every picture lie, from masks or plans."""
    count = len(pictures)
    work = _work(pictures, run, strength, denoise_mask, plan)
    soft: list[Tensor | None] = [None] * count
    if inputs.given(composite_mask):
        soft = [mask[0] for mask in inputs.flatten_masks(composite_mask, "composite_mask", pictures, "image")]
    groups: list[tuple[PhraseQuality, ...]] = []
    if inputs.given(phrases):
        groups = inputs.flatten_groups(phrases, "phrases", PhraseQuality, "the phrases that AQ-Map gives")
        if len(groups) not in (1, count):
            raise InputError(f"phrases: of {len(groups)} pictures, but there are {count}. Connect the same pictures.")
        groups = groups * count if len(groups) == 1 else groups
    words = inputs.prompts(prompt, "prompt", count) if prompt is not None and inputs.given(prompt) else [None] * count
    calls = [inputs.whole_number(value, "steps", 1, MOST_STEPS) for value in inputs.per_picture(steps, "steps", count)]
    seeds = inputs.seeds(seed, count)
    found: list[Regions | None] = []
    for place, picture in enumerate(pictures.items):
        repairs, denoise = work.plans[place], work.masks[place]
        size = (picture.shape[1], picture.shape[2])
        if not work.active[place] or denoise is None:
            found.append(None)
            continue
        found.append(
            open_regions(
                size,
                denoise,
                soft[place] if repairs is None else repairs.composite,
                settings.sizes,
                prompt=words[place],
                strength=work.strengths[place],
                steps=calls[place],
                seed=seeds[place],
                crop=settings.crop,
                repairs=repairs,
                diagnosis=diagnosis_of(groups[place], size) if groups and repairs is None else None,
                own_phrases=settings.own_phrases,
            )
        )
    return found


def _line(region: RegionCrop) -> Any:
    height, width = region.crop.sample
    return preview.line(f"Region {region.number}: {width}×{height}, strength {region.strength:.2f}. {region.prompt}")


class GRefineMergeRegions(io.ComfyNode):
    """Puts repaired crops back into their pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return schema(
            node_id="GRefineMergeRegions",
            display_name="Merge Regions",
            category=f"{CATEGORY}/refine",
            description="Pastes repaired crops back into the picture that Split Regions took apart. Outside of the "
            "composite mask every byte stays as it was.",
            search_aliases=["stitch", "uncrop", "paste", "composite"],
            is_input_list=True,
            inputs=[
                io.Image.Input("image", tooltip="The pictures that went into Split Regions."),
                RegionsType.Input("regions", tooltip="From Split Regions."),
                io.Image.Input(
                    "repaired",
                    lazy=True,
                    tooltip="The crops, repaired, in their order: one for each, of any size. Made only if there are "
                    "some.",
                ),
                io.Boolean.Input(
                    "color_match",
                    default=True,
                    tooltip="Keep the colour level of the surroundings (VAEs shift it a little).",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "merged_image",
                    display_name="merged_image",
                    tooltip="The pictures, repaired, in the batches that came in.",
                    is_output_list=True,
                )
            ],
        )

    @classmethod
    def check_lazy_status(
        cls,
        image: Values,
        regions: Values,
        repaired: Values,
        color_match: Values,  # noqa: ARG003 - the host passes all inputs
    ) -> list[str]:
        """Ask for the crops if there are any."""
        found = _handles(regions, inputs.flatten_images(image, "image", canvas=True))
        return inputs.unevaluated({"repaired": repaired}) if any(one and one.crops for one in found) else []

    @classmethod
    @explained("putting crops into pictures", SMALLER)
    def execute(cls, image: Values, regions: Values, repaired: Values, color_match: Values) -> io.NodeOutput:
        """Merge all pictures; batches come out as they came in."""
        pictures = inputs.flatten_images(image, "image", canvas=True)
        found = _handles(regions, pictures)
        keep_color = inputs.flag(inputs.single(color_match, "color_match"), "color_match")
        counts = [0 if one is None else len(one.crops) for one in found]
        if not any(counts):
            return io.NodeOutput([batch for batch in image if batch is not None])
        crops = inputs.flatten_images(repaired, "repaired").items
        if len(crops) != sum(counts):
            raise InputError(
                f"repaired: {len(crops)} crops, but Split Regions made {sum(counts)}. Give exactly one for each, in "
                "their order: no batches, and nothing in between that joins or drops some."
            )
        report = progress(len(pictures))
        merged, start = [], 0
        for place, (picture, one, count) in enumerate(zip(pictures.items, found, counts, strict=True)):
            report(place, len(pictures))
            own = crops[start : start + count]
            start += count
            merged.append(picture if one is None else merge_regions(picture, one, own, keep_color=keep_color))
        report(len(pictures), len(pictures))
        return io.NodeOutput(pictures.regroup(merged))


class GRefineRepairInstruction(io.ComfyNode):
    """What was found, as an instruction in words."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return schema(
            node_id="GRefineRepairInstruction",
            display_name="Repair Instruction",
            category=f"{CATEGORY}/prompt",
            description="Writes what was found as an instruction for models that edit by words (Qwen-Image-Edit, "
            "Flux.2, Kontext): what is missing, what is not as described, what looks bad, and nothing else.",
            search_aliases=["edit prompt", "instruction", "kontext", "qwen edit"],
            is_input_list=True,
            inputs=[
                io.Boolean.Input(
                    "keep_rest",
                    default=True,
                    tooltip="End with the wish that everything else stays as it is.",
                ),
                diagnosis_input("From AQ-Map (with PQ-Map's linked into it): what was found in the pictures."),
                plan_input("From Binarize Map or Refine Plan, in place of the diagnosis."),
                RegionsType.Input(
                    "regions", optional=True, tooltip="From Split Regions: an instruction for each of its crops."
                ),
            ],
            outputs=[
                io.String.Output(
                    "instruction",
                    display_name="instruction",
                    tooltip="For each picture, of all that was found in it.",
                    is_output_list=True,
                ),
                io.String.Output(
                    "region_instructions",
                    display_name="region_instructions",
                    tooltip="For each region, of what was found there: of Split Regions' crops, or of the plan.",
                    is_output_list=True,
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        keep_rest: Values,
        diagnosis: Values | None = None,
        plan: Values | None = None,
        regions: Values | None = None,
    ) -> io.NodeOutput:
        """Write them all."""
        rest = inputs.flag(inputs.single(keep_rest, "keep_rest"), "keep_rest")
        plans = [
            None if one is None else inputs.instance(one, "plan", RepairPlan, "what Binarize Map gives")
            for one in plan or []
        ]
        handles = [
            None if one is None else inputs.instance(one, "regions", Regions, "what Split Regions gives")
            for one in regions or []
        ]
        found = _found(diagnosis, plans, handles)
        if not any(found):
            if regions is None or inputs.given(regions):
                raise InputError(
                    "diagnosis: nothing says what was found. Connect AQ-Map's diagnosis, a plan, or regions that were "
                    "split by a plan."
                )
            return io.NodeOutput([ExecutionBlocker(None)], [ExecutionBlocker(None)])
        whole = [
            TEMPLATES["nothing"] if one is None else instruct(one, bad=bad or None, rest=rest)
            for one, bad in zip_longest(found, [_bad(each) for each in plans[: len(found)]])
        ]
        places: list[tuple[Diagnosis, RegionCrop | RegionPlan]] = [
            (one.diagnosis, region) for one in plans if one is not None for region in one.regions
        ]
        if handles:
            places = _crops(handles, found)
        parts = [instruct(one, where.phrases, bad=where.bad, rest=rest) for one, where in places]
        lines = [[preview.line(text)] for text in [*whole, *parts]]
        return io.NodeOutput(whole, parts or [ExecutionBlocker(None)], ui=preview.cards(lines))


def _found(
    diagnosis: Values | None, plans: Sequence[RepairPlan | None], handles: Sequence[Regions | None]
) -> list[Diagnosis | None]:
    """What was found in each picture, by whichever says so; None of one that had nothing to be repaired."""
    if diagnosis is not None and inputs.given(diagnosis):
        return [one for value in diagnosis if value is not None for one in inputs.diagnoses(value)]
    if plans:
        return [None if one is None else one.diagnosis for one in plans]
    if any(one is not None and one.diagnosis is None for one in handles):
        return []
    return [None if one is None else one.diagnosis for one in handles]


def _crops(
    handles: Sequence[Regions | None], found: Sequence[Diagnosis | None]
) -> list[tuple[Diagnosis, RegionCrop | RegionPlan]]:
    """Every crop with what was found in its picture: as it was split, or, of masks alone, by what is told here."""
    crops: list[tuple[Diagnosis, RegionCrop | RegionPlan]] = []
    for place, one in enumerate(handles):
        if one is None:
            continue
        known, own = one.diagnosis, one
        if known is None:
            if len(found) != len(handles):
                raise InputError(
                    f"diagnosis: of {len(found)} pictures, but regions are of {len(handles)}. Connect both from the "
                    "same pictures, in one order."
                )
            known = found[place]
            if known is None:
                raise InputError(
                    f"diagnosis: nothing says what was found in picture {place + 1}, which was split by a mask. "
                    "Connect the diagnosis that AQ-Map makes of all pictures."
                )
            own = told_by(known, one)
        crops += [(known, crop) for crop in own.crops]
    return crops


def _bad(plan: RepairPlan | None) -> bool:
    return plan is not None and (plan.perceptual_left or any(region.bad for region in plan.regions))
