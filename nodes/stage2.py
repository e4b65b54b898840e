"""Restorer from Model and Stage-2 Restore: mild denoising of whole pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..grefine_core.engines.entry import Entry, Placement
from ..grefine_core.engines.registry import RESTORERS
from ..grefine_core.plan import RepairPlan
from ..grefine_core.refine.attempts import Attempts, repair_whole
from ..grefine_core.refine.protocols import Progress, Restorer, second_stage_seed
from ..grefine_core.refine.stages import stage2
from . import inputs
from .attempts import Judging, judging_of, shown_attempts
from .families import AUTO_NUMBER
from .host import SMALLER, check_interrupted, explained, known, progress, schema
from .inputs import MOST_STEPS, Shared, Work
from .io_types import (
    CATEGORY,
    QualityModelType,
    RestorerType,
    attempts_input,
    attempts_outputs,
    diagnosis_input,
    plan_input,
)
from .sampling import LARGEST_CFG, Follows, HostModels, HostRestorer, sampler_settings, with_guidance
from .stage1 import Values, guidance_input, references_input, sampler_inputs, seed_input

_TILE = (64, 8192)


class GRefineRestorerFromModel(io.ComfyNode):
    """A MODEL of the host as a restorer."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return schema(
            node_id="GRefineRestorerFromModel",
            display_name="Restorer from Model",
            category=f"{CATEGORY}/restore",
            description="Makes a restorer of any model: the whole picture once more, at the low strength that "
            "Stage-2 Restore gives. For when PASD is not at hand.",
            search_aliases=["img2img", "low denoise", "tiled"],
            inputs=[
                io.Model.Input("model", tooltip="Ordinary models and inpainting models."),
                io.Conditioning.Input("positive", tooltip="The prompt, encoded."),
                io.Conditioning.Input("negative", tooltip="What is unwanted, encoded."),
                io.Vae.Input("vae", tooltip="The model's VAE."),
                io.Float.Input(
                    "cfg",
                    default=AUTO_NUMBER,
                    min=AUTO_NUMBER,
                    max=LARGEST_CFG,
                    step=0.1,
                    tooltip="How strictly the prompt is followed. Lower than for drawing. -1: as suits the model's "
                    "family.",
                ),
                *sampler_inputs(),
                io.Int.Input(
                    "tile_size",
                    default=1024,
                    min=_TILE[0],
                    max=_TILE[1],
                    step=8,
                    tooltip="Larger pictures are restored in overlapping tiles of this side. Lower it when memory is "
                    "short.",
                    **known(io.Int.Input, advanced=True),
                ),
                references_input(),
                guidance_input(),
            ],
            outputs=[
                RestorerType.Output("restorer", display_name="restorer", tooltip="For Stage-2 Restore."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: Any,
        negative: Any,
        vae: Any,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        tile_size: int,
        whole_references: bool = False,
        guidance: float | None = None,
    ) -> io.NodeOutput:
        """Put them together; nothing is loaded or run yet."""
        return io.NodeOutput(
            restorer_from_model(
                model,
                positive,
                negative,
                vae,
                cfg,
                sampler_name,
                scheduler,
                tile_size,
                whole_references,
                guidance=guidance,
            )
        )


def restorer_from_model(
    model: Any,
    positive: Any,
    negative: Any,
    vae: Any,
    cfg: object,
    sampler_name: object,
    scheduler: object,
    tile_size: object,
    whole_references: object = False,
    *,
    guidance: object = None,
    place: Placement | None = None,  # noqa: ARG001 - the host places its models itself
) -> HostRestorer:
    """The host's own model as a restorer.

    Raises:
        InputError: something that is no conditioning, an unknown sampler or scheduler, or a number out of range.
    """
    models = HostModels(
        model,
        with_guidance(inputs.conditionings([positive], "positive", 1)[0], guidance, model),
        with_guidance(inputs.conditionings([negative], "negative", 1)[0], guidance, model),
        vae,
    )
    settings = sampler_settings(cfg, sampler_name, scheduler, model, mild=True)
    side = inputs.whole_number(tile_size, "tile_size", *_TILE)
    follows = Follows(inputs.flag(whole_references, "whole_references"))
    return HostRestorer(models, settings, tile_size=side, follows=follows)


RESTORERS.register(
    Entry("model", "the host's model", "any MODEL of the host", restorer_from_model, node="Restorer from Model")
)


@dataclass(frozen=True)
class Stage2:
    """The inputs of stage 2 but its restorer, checked and matched to the pictures: lists have one value for each.

    Where no picture is to be restored, nothing else is looked at.
    """

    work: Work
    prompts: Sequence[str] = ()
    seeds: Sequence[int] = ()
    keep_color: bool = True
    judging: Judging | None = None

    @explained("putting restored parts into pictures", SMALLER)
    def restore(self, restorers: Sequence[Restorer]) -> tuple[Any, ...]:
        """Restore the active pictures; every batch comes back as it came in. All outputs of the node."""
        tried: dict[int, Attempts] = {}

        def one(place: int, report: Progress | None) -> Tensor:
            picture = self.work.pictures.items[place]
            options: dict[str, Any] = {
                "prompts": self.prompts[place],
                "strengths": self.work.strengths[place],
                "steps": self.work.steps[place],
                "keep_color": self.keep_color,
            }
            seed = second_stage_seed(self.seeds[place])
            judging, restorer = self.judging, restorers[place]
            if isinstance(restorer, HostRestorer):
                restorer = restorer.of_picture(place, len(self.work.pictures))
            if judging is None:
                return stage2(picture, restorer, seed=seed, progress=report, **options)

            def paint(drawn: int, part: Progress | None) -> Tensor:
                return stage2(picture, restorer, seed=drawn, progress=part, **options)

            tried[place] = repair_whole(
                picture,
                paint,
                lambda before, after: judging.check(place, before, after, None, 0, stage=2),
                seed=seed,
                attempts=judging.attempts,
                calls=self.work.steps[place],
                progress=report,
                interrupt=check_interrupted,
            )
            return tried[place].image

        images = self.work.run(one, progress())
        return (images, *shown_attempts(images, tried, len(self.work.pictures)))

    def untouched(self) -> tuple[Any, ...]:
        """All outputs of the node where no picture is to be restored."""
        images = list(self.work.batches)
        return (images, *shown_attempts(images, {}, len(self.work.pictures)))


@explained("reading pictures", SMALLER)
def prepare_stage2(
    image: Values,
    run: Values,
    strength: Values,
    steps: Values,
    seed: Values,
    keep_color: Values,
    prompt: Values | None,
    quality_model: Values | None,
    diagnosis: Values | None,
    plan: Values | None,
    attempts: Values | None,
) -> Stage2:
    """Find the pictures that are to be restored, and check what stage 2 needs for them.

    Raises:
        InputError: wrong types, ranges or counts.
    """
    plans: list[RepairPlan | None] = []

    def planned(pictures: inputs.Pictures) -> list[tuple[bool, float, int] | None]:
        plans[:] = inputs.repair_plans(plan, "plan", pictures)
        return [_of_plan(each) for each in plans]

    work = inputs.find_work(image, run, strength, steps, planned=planned)
    if not work.active:
        return Stage2(work)
    count = len(work.pictures)
    return Stage2(
        work,
        prompts=inputs.prompts(prompt or [""], "prompt", count),
        seeds=inputs.seeds(seed, count),
        keep_color=inputs.flag(inputs.single(keep_color, "keep_color"), "keep_color"),
        judging=judging_of(count, quality_model, _asked(prompt), diagnosis, attempts, None, None, plans=plans),
    )


def _of_plan(plan: RepairPlan | None) -> tuple[bool, float, int] | None:
    """Whether stage 2 runs, its strength and its steps; None where no plan says so."""
    decided = None if plan is None else plan.plan
    return None if decided is None else (decided.run_stage2, decided.stage2_strength, decided.stage2_steps)


def _asked(prompt: Values | None) -> Values | None:
    """The prompt, if one was typed or linked: where a diagnosis knows it, the input stays empty."""
    return prompt if prompt is not None and any(value for value in prompt) else None


_shared = Shared(prepare_stage2)


class GRefineStage2Restore(io.ComfyNode):
    """Restores whole pictures, mildly."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return schema(
            node_id="GRefineStage2Restore",
            display_name="Stage-2 Restore",
            category=f"{CATEGORY}/restore",
            description="Redraws the whole picture mildly with a restorer. It changes all pixels, by design; the "
            "No-Harm Guard decides whether to keep the result.",
            search_aliases=["restore", "enhance", "img2img"],
            is_input_list=True,
            inputs=[
                io.Image.Input("image", tooltip="The picture, or several."),
                RestorerType.Input(
                    "restorer", lazy=True, tooltip="One, or one per picture. Made only if a picture needs it."
                ),
                io.Boolean.Input("run", default=True, tooltip="From Refine Plan. Off: the picture passes untouched."),
                io.Float.Input(
                    "strength",
                    default=0.2,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="From Refine Plan: how far the picture may change.",
                ),
                io.Int.Input(
                    "steps",
                    default=10,
                    min=1,
                    max=MOST_STEPS,
                    tooltip="Executed denoiser calls (for each tile of a large picture), whatever the strength.",
                ),
                seed_input(),
                io.Boolean.Input("keep_color", default=True, tooltip="Hold on to the picture's colours."),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    dynamic_prompts=False,
                    optional=True,
                    tooltip="For restorers that read a caption themselves (PASD). Restorer from Model has its own.",
                ),
                QualityModelType.Input(
                    "quality_model",
                    optional=True,
                    tooltip="From Load Quality Model: judges every attempt, if there are several.",
                ),
                diagnosis_input("From AQ-Map: prompt and way of measuring, for the judgement of attempts."),
                plan_input(
                    "From Refine Plan: whether stage 2 runs, its strength and steps. The inputs of these names "
                    "are not asked then."
                ),
                attempts_input(),
            ],
            outputs=[
                io.Image.Output(
                    "restored_image",
                    display_name="restored_image",
                    tooltip="The pictures, restored, in the batches that came in.",
                    is_output_list=True,
                ),
                *attempts_outputs(),
            ],
        )

    @classmethod
    def check_lazy_status(
        cls,
        image: Values,
        restorer: Values,
        run: Values,
        strength: Values,
        steps: Values,
        seed: Values,
        keep_color: Values,
        prompt: Values | None = None,
        quality_model: Values | None = None,
        diagnosis: Values | None = None,
        plan: Values | None = None,
        attempts: Values | None = None,
    ) -> list[str]:
        """Ask for the restorer if any picture is to be restored."""
        stage = _shared.look(
            image, run, strength, steps, seed, keep_color, prompt, quality_model, diagnosis, plan, attempts
        )
        return inputs.unevaluated({"restorer": restorer}) if stage.work.active else []

    @classmethod
    def execute(
        cls,
        image: Values,
        restorer: Values,
        run: Values,
        strength: Values,
        steps: Values,
        seed: Values,
        keep_color: Values,
        prompt: Values | None = None,
        quality_model: Values | None = None,
        diagnosis: Values | None = None,
        plan: Values | None = None,
        attempts: Values | None = None,
    ) -> io.NodeOutput:
        """Restore all pictures that are to be restored."""
        stage = _shared.take(
            image, run, strength, steps, seed, keep_color, prompt, quality_model, diagnosis, plan, attempts
        )
        if not stage.work.active:
            return io.NodeOutput(*stage.untouched())
        restorers = [
            inputs.instance(value, "restorer", Restorer, f"a restorer (from {' or '.join(RESTORERS.nodes)})")  # type: ignore[type-abstract]
            for value in inputs.per_picture(restorer, "restorer", len(stage.work.pictures))
        ]
        return io.NodeOutput(*stage.restore(restorers))
