"""Stage-1 Inpaint: masked refinement with the host's own models; and what every Stage-1 node shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import comfy.samplers
from comfy_api.latest import io
from torch import Tensor

from ..grefine_core.plan import RepairPlan
from ..grefine_core.refine.attempts import Attempts, repair
from ..grefine_core.refine.crops import CropOptions, Regions
from ..grefine_core.refine.protocols import Inpainter, PhasedInpainter, Progress
from ..grefine_core.refine.stages import crops_of, stage1
from . import inputs
from .attempts import Judging, judging_of, shown_attempts
from .families import AUTO, AUTO_NUMBER
from .host import SMALLER, check_interrupted, explained, known, progress, schema
from .inputs import MOST_STEPS, Shared, Work
from .io_types import (
    CATEGORY,
    QualityModelType,
    RegionsType,
    attempts_input,
    attempts_outputs,
    diagnosis_input,
    keep_input,
    plan_input,
    second_opinion_input,
)
from .sampling import LARGEST_CFG, Follows, HostInpainter, HostModels, sampler_settings, with_guidance

#: An input of a node that takes lists.
Values = Sequence[object]
CROP_SIZES: tuple[Literal["source", "native"], ...] = ("source", "native")
MIN_SIDES = NATIVE_SIDES = (0, 4096)
CONTEXT = (0.0, 4.0)


def stage1_inputs(engine: list[Any], sampling: list[Any], prompts: list[Any]) -> list[Any]:
    """The node's inputs in their order; `engine`, `sampling` and `prompts` are those that differ between engines."""
    return [
        io.Image.Input("image", tooltip="The picture, or several."),
        io.Mask.Input(
            "denoise_mask",
            tooltip="What is sampled anew: one mask per picture, or one for all. Soft values change later and less. "
            "A picture with an empty mask passes untouched.",
        ),
        *engine,
        io.Boolean.Input("run", default=True, tooltip="From Refine Plan. Off: the picture passes untouched."),
        io.Float.Input(
            "strength",
            default=0.7,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="From Refine Plan: the noise level at which denoising starts; 1 is pure noise.",
        ),
        io.Int.Input(
            "steps",
            default=10,
            min=1,
            max=MOST_STEPS,
            tooltip="Executed denoiser calls for each masked region, whatever the strength.",
        ),
        seed_input(),
        io.Float.Input(
            "cfg",
            default=AUTO_NUMBER,
            min=AUTO_NUMBER,
            max=LARGEST_CFG,
            step=0.1,
            tooltip="How strictly the prompt is followed. -1: as suits the model's family. Distilled models (Turbo, "
            "Lightning, Schnell) want 1.",
        ),
        *sampling,
        *crop_inputs(
            "source",
            crop_size="source: sample at the picture's own scale. native: scale the crop to the model's resolution, "
            "for more detail in small regions.",
            min_side="For source: what is sampled takes in surroundings until its shorter side is this long. 0: the "
            "model's own resolution.",
            native_side="For native: the model's own resolution. 0: as the model says (1024 for SDXL and Flux, 512 for "
            "SD 1.5).",
        ),
        io.Boolean.Input(
            "color_match", default=True, tooltip="Keep the colour level of the surroundings (VAEs shift it a little)."
        ),
        io.Mask.Input(
            "composite_mask",
            optional=True,
            tooltip="What is pasted back, usually softer than the denoise mask. Outside of it every byte stays as it "
            "was. Without it the denoise mask.",
        ),
        QualityModelType.Input(
            "quality_model",
            optional=True,
            tooltip="From Load Quality Model: judges every attempt, if there are several.",
        ),
        *prompts,
        diagnosis_input("From AQ-Map: prompt and way of measuring, for the judgement of attempts."),
        plan_input(
            "From Refine Plan: masks, strength and steps of every region. The inputs of these names are not asked then."
        ),
        attempts_input(),
        keep_input(),
        second_opinion_input(),
    ]


def crop_inputs(size: str, *, crop_size: str, min_side: str, native_side: str) -> list[Any]:
    """How a region is cut out: `crop_size`, which is `size` by default, `min_side` and `native_side` with the tooltips
    given here, and `context`."""
    fine = known(io.Int.Input, advanced=True)
    return [
        io.Combo.Input(
            "crop_size",
            options=list(CROP_SIZES),
            default=size,
            tooltip=crop_size,
        ),
        io.Int.Input(
            "min_side",
            default=0,
            min=MIN_SIDES[0],
            max=MIN_SIDES[1],
            tooltip=min_side,
            **fine,
        ),
        io.Int.Input(
            "native_side",
            default=0,
            min=NATIVE_SIDES[0],
            max=NATIVE_SIDES[1],
            tooltip=native_side,
            **fine,
        ),
        io.Float.Input(
            "context",
            default=0.25,
            min=CONTEXT[0],
            max=CONTEXT[1],
            step=0.05,
            tooltip="Surroundings of a region that the model sees, as a share of the region's size.",
        ),
    ]


def judged_prompt_input() -> Any:
    """The optional `prompt` of a stage whose model does not read it."""
    return io.String.Input(
        "prompt",
        optional=True,
        force_input=True,
        tooltip="What the picture was meant to show, for the judgement of attempts. Without it that of the diagnosis.",
    )


def seed_input() -> Any:
    """The `seed` input."""
    return io.Int.Input(
        "seed",
        default=0,
        min=0,
        max=2**64 - 1,
        control_after_generate=True,
        tooltip="Same seed, same inputs: the same picture. Several pictures get seeds derived from it.",
    )


def references_input() -> Any:
    """The optional `whole_references` of nodes that work with a model of the host's."""
    return io.Boolean.Input(
        "whole_references",
        default=False,
        optional=True,
        tooltip="Reference latents of the picture's own size are cut like the picture. On: every crop or tile is shown "
        "all of them. References of another size always stay whole.",
        **known(io.Boolean.Input, advanced=True),
    )


def sampler_inputs() -> list[Any]:
    """`sampler_name` and `scheduler`: the host's, and what suits the model's family."""
    return [
        io.Combo.Input(
            "sampler_name",
            options=[AUTO, *comfy.samplers.KSampler.SAMPLERS],
            default=AUTO,
            tooltip="auto: as suits the model's family. Samplers that call the model twice a step get half as many "
            "steps. dpm_adaptive cannot be used.",
        ),
        io.Combo.Input(
            "scheduler",
            options=[AUTO, *comfy.samplers.KSampler.SCHEDULERS],
            default=AUTO,
            tooltip="How the noise levels are spaced. auto: as suits the model's family.",
        ),
    ]


def guidance_input() -> Any:
    """The optional `guidance` input."""
    return io.Float.Input(
        "guidance",
        default=AUTO_NUMBER,
        min=AUTO_NUMBER,
        max=LARGEST_CFG,
        step=0.1,
        optional=True,
        tooltip="For models that take it beside the prompt (Flux). -1: as suits the model's family, unless a node has "
        "set it.",
        **known(io.Float.Input, advanced=True),
    )


def stage1_outputs() -> list[Any]:
    """The node's outputs."""
    return [
        io.Image.Output(
            "refined_image",
            display_name="refined_image",
            tooltip="The pictures, repaired, in the batches that came in.",
            is_output_list=True,
        ),
        *attempts_outputs(),
        RegionsType.Output(
            "regions",
            display_name="regions",
            tooltip="For each picture where its crops lie. Nothing for one that passes untouched.",
            is_output_list=True,
        ),
    ]


@dataclass(frozen=True)
class Stage1:
    """The inputs that the Stage-1 nodes share, checked and matched to the pictures: lists have one value for each.

    Where no picture has anything to be repaired, nothing else is looked at.
    """

    work: Work
    denoise: Sequence[Tensor] = ()
    composite: Sequence[Tensor] | None = None
    seeds: Sequence[int] = ()
    cfg: float = 1.0
    crop: CropOptions = field(default_factory=CropOptions)
    min_side: int = 1
    native_side: int = 1
    keep_color: bool = True
    plans: Sequence[RepairPlan | None] = ()
    judging: Judging | None = None

    @explained("putting crops into pictures", SMALLER)
    def refine(self, engine: Callable[[int], Inpainter], prompts: Sequence[str] | None = None) -> tuple[Any, ...]:
        """Refine the active pictures; every batch comes back as it came in. All outputs of the node.

        engine: gives the `Inpainter` of a picture by its place.
        """
        tried: dict[int, Attempts] = {}
        regions: list[Regions | None] = [None] * len(self.work.pictures)

        def one(place: int, report: Progress | None) -> Tensor:
            picture, inpainter = self.work.pictures.items[place], engine(place)
            soft = None if self.composite is None else self.composite[place]
            plan = self.plans[place] if self.plans else None
            words = "" if prompts is None else prompts[place]
            common: dict[str, Any] = {"crop": self.crop, "keep_color": self.keep_color, "progress": report}
            own: dict[str, Any] = {
                "prompt": words,
                "strength": self.work.strengths[place],
                "steps": self.work.steps[place],
                "seed": self.seeds[place],
            }
            regions[place] = crops_of(
                (picture.shape[1], picture.shape[2]),
                self.denoise[place][0],
                None if soft is None else soft[0],
                inpainter,
                **own,
                crop=self.crop,
                repairs=plan,
            )
            if self.judging is not None:
                tried[place] = repair(
                    picture,
                    self.denoise[place],
                    soft,
                    inpainter,
                    self.judging.judge(place, self.crop.join if plan is None else plan.join),
                    **own,
                    **common,
                    attempts=self.judging.attempts,
                    keep=self.judging.keep[place],
                    repairs=plan,
                    interrupt=check_interrupted,
                )
                return tried[place].image
            return stage1(
                picture,
                self.denoise[place],
                soft,
                inpainter,
                prompts=own["prompt"],
                strengths=own["strength"],
                steps=own["steps"],
                seed=own["seed"],
                **common,
                repairs=[plan],
                independent=isinstance(inpainter, PhasedInpainter),
            )

        images = self.work.run(one, progress())
        return (images, *shown_attempts(images, tried, len(self.work.pictures)), regions)

    def untouched(self) -> tuple[Any, ...]:
        """All outputs of the node where no picture has anything to be repaired."""
        images = list(self.work.batches)
        count = len(self.work.pictures)
        return (images, *shown_attempts(images, {}, count), [None] * count)


@explained("reading pictures and masks", SMALLER)
def prepare_stage1(
    image: Values,
    denoise_mask: Values,
    composite_mask: Values | None,
    run: Values,
    strength: Values,
    steps: Values,
    seed: Values,
    cfg: Values,
    crop_size: Values,
    min_side: Values,
    native_side: Values,
    context: Values,
    color_match: Values,
    judging: Sequence[Values | None],
    plan: Values | None,
) -> Stage1:
    """Find the pictures that stage 1 has something to do for, and check what it needs for them.

    judging: see `judging_of`.

    Raises:
        InputError: wrong types, sizes, ranges, counts or choices, or different values of what is one for all.
    """
    plans: list[RepairPlan | None] = []

    def planned(pictures: inputs.Pictures) -> list[tuple[bool, float, int] | None]:
        plans[:] = inputs.repair_plans(plan, "plan", pictures)
        return [None if each is None else _of_plan(each) for each in plans]

    def masks(pictures: inputs.Pictures) -> list[list[Tensor]]:
        hard, soft = (
            [None if each is None else getattr(each, name).unsqueeze(0) for each in plans]
            for name in ("denoise", "composite")
        )
        if all(each is not None for each in hard):
            return [[each for each in both if each is not None] for both in (hard, soft)]
        found = [inputs.flatten_masks(denoise_mask, "denoise_mask", pictures, "image")]
        if inputs.given(composite_mask) or any(each is not None for each in soft):
            linked = composite_mask if inputs.given(composite_mask) else denoise_mask
            found.append(inputs.flatten_masks(linked, "composite_mask", pictures, "image"))
        pairs = zip((hard, soft), found, strict=False)
        return [[own if own is not None else other for own, other in zip(*pair, strict=True)] for pair in pairs]

    work = inputs.find_work(image, run, strength, steps, masks, planned)
    if not work.active:
        return Stage1(work)
    return Stage1(
        work,
        denoise=work.masks[0],
        composite=work.masks[1] if len(work.masks) > 1 else None,
        seeds=inputs.seeds(seed, len(work.pictures)),
        cfg=inputs.number(inputs.single(cfg, "cfg"), "cfg", AUTO_NUMBER, LARGEST_CFG),
        crop=CropOptions(
            crop_size=inputs.choice(inputs.single(crop_size, "crop_size"), "crop_size", CROP_SIZES),
            context=inputs.number(inputs.single(context, "context"), "context", *CONTEXT),
        ),
        min_side=inputs.whole_number(inputs.single(min_side, "min_side"), "min_side", *MIN_SIDES),
        native_side=inputs.whole_number(inputs.single(native_side, "native_side"), "native_side", *NATIVE_SIDES),
        keep_color=inputs.flag(inputs.single(color_match, "color_match"), "color_match"),
        plans=tuple(plans),
        judging=judging_of(len(work.pictures), *judging, plans=plans),
    )


def _of_plan(plan: RepairPlan) -> tuple[bool, float, int]:
    """Whether stage 1 runs, its largest strength, and its steps."""
    strength = max((region.strength for region in plan.regions), default=0.0)
    steps = max((region.steps for region in plan.regions), default=0)
    return plan.run_stage1, strength, steps


shared_stage1 = Shared(prepare_stage1)


class GRefineStage1Inpaint(io.ComfyNode):
    """Repaints what is masked, crop by crop, with any MODEL of the host."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return schema(
            node_id="GRefineStage1Inpaint",
            display_name="Stage-1 Inpaint",
            category=f"{CATEGORY}/refine",
            description="Repaints the masked regions, each in a crop with its surroundings, with an inpainting model "
            "or an ordinary one. Outside of the composite mask every byte stays as it was.",
            search_aliases=["inpaint", "detailer", "refine", "crop and stitch"],
            is_input_list=True,
            inputs=[
                *stage1_inputs(
                    [
                        io.Model.Input(
                            "model", lazy=True, tooltip="Inpainting models and ordinary ones. Loaded only if needed."
                        ),
                        io.Conditioning.Input(
                            "positive", lazy=True, tooltip="The emphasised prompt, encoded: one, or one per picture."
                        ),
                        io.Conditioning.Input("negative", lazy=True, tooltip="One, or one per picture."),
                        io.Vae.Input("vae", lazy=True, tooltip="The model's VAE. Loaded only if needed."),
                    ],
                    sampler_inputs(),
                    [judged_prompt_input()],
                ),
                references_input(),
                guidance_input(),
            ],
            outputs=stage1_outputs(),
        )

    @classmethod
    def check_lazy_status(
        cls,
        image: Values,
        denoise_mask: Values,
        model: Values,
        positive: Values,
        negative: Values,
        vae: Values,
        run: Values,
        strength: Values,
        steps: Values,
        seed: Values,
        cfg: Values,
        sampler_name: Values,  # noqa: ARG003 - the host passes all inputs
        scheduler: Values,  # noqa: ARG003 - the host passes all inputs
        crop_size: Values,
        min_side: Values,
        native_side: Values,
        context: Values,
        color_match: Values,
        composite_mask: Values | None = None,
        quality_model: Values | None = None,
        prompt: Values | None = None,
        diagnosis: Values | None = None,
        plan: Values | None = None,
        attempts: Values | None = None,
        keep: Values | None = None,
        second_opinion: Values | None = None,
        whole_references: Values | None = None,  # noqa: ARG003 - the host passes all inputs
        guidance: Values | None = None,  # noqa: ARG003 - the host passes all inputs
    ) -> list[str]:
        """Ask for the models if any picture has something to be repaired."""
        stage = shared_stage1.look(
            image,
            denoise_mask,
            composite_mask,
            run,
            strength,
            steps,
            seed,
            cfg,
            crop_size,
            min_side,
            native_side,
            context,
            color_match,
            (quality_model, prompt, diagnosis, attempts, keep, second_opinion),
            plan,
        )
        if not stage.work.active:
            return []
        return inputs.unevaluated({"model": model, "positive": positive, "negative": negative, "vae": vae})

    @classmethod
    def execute(
        cls,
        image: Values,
        denoise_mask: Values,
        model: Values,
        positive: Values,
        negative: Values,
        vae: Values,
        run: Values,
        strength: Values,
        steps: Values,
        seed: Values,
        cfg: Values,
        sampler_name: Values,
        scheduler: Values,
        crop_size: Values,
        min_side: Values,
        native_side: Values,
        context: Values,
        color_match: Values,
        composite_mask: Values | None = None,
        quality_model: Values | None = None,
        prompt: Values | None = None,
        diagnosis: Values | None = None,
        plan: Values | None = None,
        attempts: Values | None = None,
        keep: Values | None = None,
        second_opinion: Values | None = None,
        whole_references: Values | None = None,
        guidance: Values | None = None,
    ) -> io.NodeOutput:
        """Repaint all pictures that have something to be repaired."""
        stage = shared_stage1.take(
            image,
            denoise_mask,
            composite_mask,
            run,
            strength,
            steps,
            seed,
            cfg,
            crop_size,
            min_side,
            native_side,
            context,
            color_match,
            (quality_model, prompt, diagnosis, attempts, keep, second_opinion),
            plan,
        )
        if not stage.work.active:
            return io.NodeOutput(*stage.untouched())
        count = len(stage.work.pictures)
        unet, autoencoder = inputs.single(model, "model"), inputs.single(vae, "vae")
        driven = inputs.single(guidance, "guidance") if inputs.given(guidance) else None
        wanted, unwanted = (
            [with_guidance(each, driven, unet) for each in inputs.conditionings(values, name, count)]
            for values, name in ((positive, "positive"), (negative, "negative"))
        )
        settings = sampler_settings(
            stage.cfg,
            inputs.single(sampler_name, "sampler_name"),
            inputs.single(scheduler, "scheduler"),
            unet,
        )

        whole = inputs.flag(inputs.single(whole_references or [False], "whole_references"), "whole_references")

        def engine(place: int) -> HostInpainter:
            models = HostModels(unet, wanted[place], unwanted[place], autoencoder)
            follows = Follows(whole, place, count)
            return HostInpainter(
                models, settings, min_side=stage.min_side, native_side=stage.native_side, follows=follows
            )

        return io.NodeOutput(*stage.refine(engine))
