"""The diffusers nodes: Load Inpaint Pipeline and its Stage-1 Inpaint, for models that exist only in that layout."""

from __future__ import annotations

from pathlib import Path

import comfy.model_management
import torch
from comfy_api.latest import io
from torch import Tensor, nn

from ..grefine_core.errors import InputError
from ..grefine_core.refine.protocols import Inpainter, Progress, capabilities_of
from . import inputs
from .families import UNKNOWN
from .host import (
    DEVICES,
    adopt,
    compute_device,
    explained,
    known,
    model_files,
    model_path,
    model_roots,
    ready,
    schema,
    searched,
)
from .io_types import CATEGORY, InpaintPipelineType
from .stage1 import Values, shared_stage1, stage1_inputs, stage1_outputs

_FOLDERS, _FILES = "diffusers", "checkpoints"
_INDEX, _SUFFIXES = "model_index.json", (".safetensors",)
#: Memory that a crop needs beside the weights: the host's own estimate for decoding in float32, its hungriest moment.
_BYTES_PER_PIXEL = 2178 * 4


def pipelines(suffixes: tuple[str, ...] = _SUFFIXES) -> list[str]:
    """Names of what can be loaded: folders with a model index in `models/diffusers`, files in `models/checkpoints`."""
    found = {
        path.parent.relative_to(root).as_posix()
        for root in model_roots(_FOLDERS)
        for depth in ("*", "*/*")
        for path in root.glob(f"{depth}/{_INDEX}")
    }
    return [*sorted(found), *model_files(_FILES, suffixes)]


def pipeline_path(value: object, name: str, suffixes: tuple[str, ...] = _SUFFIXES) -> Path:
    """The folder or file of that name.

    Raises:
        InputError: not there; the folders searched are listed.
    """
    given = inputs.file_name(value, name)
    if any((root / given / _INDEX).is_file() for root in model_roots(_FOLDERS)):
        return model_path(_FOLDERS, given, name, folder=True)
    if given in model_files(_FILES, suffixes):
        return model_path(_FILES, given, name)
    raise InputError(
        f"{name}: {given!r} was not found. Searched for folders with a {_INDEX} in {searched(_FOLDERS)}, for "
        f"{' and '.join(suffixes)} files in {searched(_FILES)}. Put it there, then refresh the page (key R). Where it "
        "comes from: docs/models.md of this pack."
    )


class GRefineLoadInpaintPipeline(io.ComfyNode):
    """An inpainting pipeline in diffusers' layout, from the user's own folders."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        names = pipelines()
        return schema(
            node_id="GRefineLoadInpaintPipeline",
            display_name="Load Inpaint Pipeline (diffusers)",
            category=f"{CATEGORY}/refine",
            description="Loads an SDXL inpainting pipeline: a folder of models/diffusers, or a single file of "
            "models/checkpoints. Nothing is downloaded.",
            search_aliases=["diffusers", "sdxl inpainting"],
            inputs=[
                io.Combo.Input(
                    "pipeline",
                    options=names,
                    **({"default": names[0]} if names else {}),
                    tooltip="Folders of models/diffusers with a model_index.json, files of models/checkpoints.",
                ),
                io.Combo.Input(
                    "device",
                    options=list(DEVICES),
                    default="auto",
                    tooltip="auto leaves it to the host's memory manager.",
                    **known(io.Combo.Input, advanced=True),
                ),
            ],
            outputs=[
                InpaintPipelineType.Output(
                    "inpaint_pipeline", display_name="inpaint_pipeline", tooltip="For Stage-1 Inpaint (diffusers)."
                )
            ],
        )

    @classmethod
    def execute(cls, pipeline: str, device: str) -> io.NodeOutput:
        """Load it into memory; the host brings it onto the device when it is used."""
        from ..grefine_core.engines import load_inpaint_pipeline

        inputs.choice(device, "device", DEVICES)
        path = pipeline_path(pipeline, "pipeline")
        half = compute_device(device).type != "cpu"
        engine = load_inpaint_pipeline(path, device="cpu", dtype=torch.float16 if half else torch.float32)
        networks = {name: part for name, part in engine.pipe.components.items() if isinstance(part, nn.Module)}
        adopt(engine, nn.ModuleDict(networks), device)
        return io.NodeOutput(engine)


class _Sized:
    """An engine for one picture: the pipeline with this node's settings and sizes."""

    def __init__(self, engine: Inpainter, min_side: int, native_side: int) -> None:
        self._engine = engine
        self.size_multiple = engine.size_multiple
        self.min_side, self.native_side = min_side, native_side
        self.capabilities = capabilities_of(engine)

    def inpaint(
        self,
        image: Tensor,
        mask: Tensor,
        *,
        prompt: str,
        strength: float,
        steps: int,
        seed: int,
        index: int = 0,
        progress: Progress | None = None,
    ) -> Tensor:
        """Repaint the masked part of a crop; see the protocol."""
        return self._engine.inpaint(
            image, mask, prompt=prompt, strength=strength, steps=steps, seed=seed, index=index, progress=progress
        )


class GRefineStage1InpaintDiffusers(io.ComfyNode):
    """Repaints what is masked, crop by crop, with a diffusers pipeline."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return schema(
            node_id="GRefineStage1InpaintDiffusers",
            display_name="Stage-1 Inpaint (diffusers)",
            category=f"{CATEGORY}/refine",
            description="Repaints the masked regions, each in a crop with its surroundings, with a diffusers pipeline. "
            "Outside of the composite mask every byte stays as it was.",
            search_aliases=["inpaint", "diffusers"],
            is_input_list=True,
            inputs=stage1_inputs(
                [
                    InpaintPipelineType.Input(
                        "inpaint_pipeline",
                        lazy=True,
                        tooltip="From Load Inpaint Pipeline (diffusers). Loaded only if needed.",
                    ),
                    *(
                        io.String.Input(name, default="", multiline=True, dynamic_prompts=False, tooltip=tooltip)
                        for name, tooltip in (
                            ("prompt", "The emphasised prompt: one, or one per picture."),
                            ("negative_prompt", "What the pictures should not show: one, or one per picture."),
                        )
                    ),
                ],
                [],
                [],
            ),
            outputs=stage1_outputs(),
        )

    @classmethod
    def check_lazy_status(
        cls,
        image: Values,
        denoise_mask: Values,
        inpaint_pipeline: Values,
        prompt: Values,
        negative_prompt: Values,  # noqa: ARG003 - the host passes all inputs
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
        composite_mask: Values | None = None,
        quality_model: Values | None = None,
        diagnosis: Values | None = None,
        plan: Values | None = None,
        attempts: Values | None = None,
        keep: Values | None = None,
        second_opinion: Values | None = None,
    ) -> list[str]:
        """Ask for the pipeline if any picture has something to be repaired."""
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
        return inputs.unevaluated({"inpaint_pipeline": inpaint_pipeline})

    @classmethod
    def execute(
        cls,
        image: Values,
        denoise_mask: Values,
        inpaint_pipeline: Values,
        prompt: Values,
        negative_prompt: Values,
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
        composite_mask: Values | None = None,
        quality_model: Values | None = None,
        diagnosis: Values | None = None,
        plan: Values | None = None,
        attempts: Values | None = None,
        keep: Values | None = None,
        second_opinion: Values | None = None,
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
        from ..grefine_core.engines import DiffusersInpainter
        from ..grefine_core.engines.diffusers_sd import LatentSampler

        pictures = stage.work.pictures
        loaded = inputs.instance(
            inputs.single(inpaint_pipeline, "inpaint_pipeline"),
            "inpaint_pipeline",
            DiffusersInpainter,
            "a pipeline (from Load Inpaint Pipeline)",
        )
        prompts = inputs.prompts(prompt, "prompt", len(pictures))
        negatives = inputs.prompts(negative_prompt, "negative_prompt", len(pictures))

        def engine(place: int) -> _Sized:
            native, least = stage.native_side or loaded.native_side, stage.min_side or loaded.native_side
            cfg = stage.cfg if stage.cfg >= 0.0 else UNKNOWN.cfg
            side = max(least, native, *pictures.items[place].shape[1:3])
            with explained("bringing the pipeline onto its device", "Choose device cpu in Load Inpaint Pipeline."):
                ready(loaded, memory=side * side * _BYTES_PER_PIXEL)
            sampler = LatentSampler(loaded.pipe, guidance_scale=cfg, negative_prompt=negatives[place])
            return _Sized(DiffusersInpainter(sampler), least, native)

        try:
            return io.NodeOutput(*stage.refine(engine, prompts))
        finally:
            comfy.model_management.soft_empty_cache()
