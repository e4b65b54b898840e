"""The pieces that the shipped workflows are made of: picture and prompt, maps, decision, both stages, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from workflow_notes import ABOUT_QUALITY_MODEL, FILES
from workflow_writer import Graph, Node, Output

# ComfyUI's own example picture, which every installation has in its input folder, and what it shows.
PICTURE = "example.png"
PROMPT = "a girl with blonde hair and a pink dress, standing on a green hill, white clouds in a blue sky"
NEGATIVE = "blurry, deformed, low quality, watermark, text"
PREFIX = "G-Refine"
SAMPLING = {"sampler_name": "euler", "scheduler": "normal"}


class Models(NamedTuple):
    """What the loaders of a full graph give; without a restorer one is made of the model."""

    quality: Output
    model: Output
    clip: Output
    vae: Output
    restorer: Output | None = None


class Conditions(NamedTuple):
    """The prompts, encoded."""

    positive: Output
    negative: Output


def encode(graph: Graph, models: Models, emphasized: Output, unwanted: str | Output) -> Conditions:
    """What most models take: the emphasised prompt, and what is unwanted."""
    positive = graph.node("CLIPTextEncode", "Emphasised prompt", clip=models.clip, text=emphasized)
    negative = graph.node("CLIPTextEncode", "Negative prompt", clip=models.clip, text=unwanted)
    return Conditions(positive["conditioning"], negative["conditioning"])


def same_model(graph: Graph, models: Models, image: Output) -> Output:  # noqa: ARG001 - another way looks at them
    """The model that restores in stage 2, where it is that of stage 1."""
    return models.model


@dataclass(frozen=True)
class Way:
    """What one workflow does otherwise than the others: inputs of its nodes, and two steps."""

    stage1: Mapping[str, Any] = field(default_factory=dict)
    emphasis: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    restorer: Mapping[str, Any] = field(default_factory=dict)
    stage2: Mapping[str, Any] = field(default_factory=dict)
    encode: Callable[[Graph, Models, Output, str | Output], Conditions] = encode
    restoring: Callable[[Graph, Models, Output], Output] = same_model
    """Adds the model for stage 2, made for the very picture that stage 2 gets."""
    previews: bool = True
    """Whether maps and mask are shown on nodes of their own."""


class Repaired(NamedTuple):
    """What the method gives: the picture, the plan, and the inputs of its report."""

    image: Output
    plan: Node
    report: dict[str, Any]


def start(graph: Graph, about: str, picture: str = PICTURE, words: str = PROMPT) -> tuple[Output, Output]:
    """The picture, one at a time, and its prompt."""
    with graph.group("1 · Picture and prompt"):
        loaded = graph.node("LoadImage", "Picture", image=picture, preview=260)
        return one_by_one(graph, loaded["image"], about, words)


def one_by_one(graph: Graph, images: Output, about: str, words: str = PROMPT) -> tuple[Output, Output]:
    """Every picture on its own, and the prompt; in the current group."""
    single = graph.node("RebatchImages", "One picture at a time", images=images, batch_size=1)
    prompt = graph.node("PrimitiveStringMultiline", "Prompt", value=words, height=150)
    graph.note(about, "About this workflow", height=max(110, len(about) // 2))
    return single["image"], prompt["string"]


def measure(graph: Graph, quality: Output, image: Output, prompt: Output) -> tuple[Node, Node]:
    """PQ-Map and AQ-Map of the picture."""
    perceptual = graph.node("GRefinePQMap", image=image, quality_model=quality)
    alignment = graph.node(
        "GRefineAQMap", image=image, quality_model=quality, prompt=prompt, diagnosis=perceptual["diagnosis"]
    )
    return perceptual, alignment


def mask_of(graph: Graph, perceptual: Node, alignment: Node) -> Node:
    """The masks that follow from what looks bad, and from the verdicts on the phrases."""
    return graph.node("GRefineBinarizeMap", defect_map=perceptual["defect_map"], diagnosis=alignment["diagnosis"])


def previews(graph: Graph, perceptual: Node, alignment: Node, mask: Node) -> None:
    """Both maps over the picture, and the mask."""
    graph.node("PreviewImage", "Perceptual defects", images=perceptual["overlay"], height=230)
    graph.node("PreviewImage", "Alignment defects", images=alignment["overlay"], height=230)
    graph.node("MaskPreview", "What will be redrawn", mask=mask["denoise_mask"], height=230)


def quality_loader(graph: Graph) -> Output:
    """The quality model."""
    files = {"clip_name": FILES["quality"], "embeddings": "published", "calibration": "auto"}
    return graph.node("GRefineLoadQualityModel", **files, alignment_encoder="CLIP")["quality_model"]


def quality_note(graph: Graph) -> None:
    """Which file the quality model is."""
    graph.note(ABOUT_QUALITY_MODEL, "Which file, and where it goes", height=170)


def with_models(graph: Graph, loaders: Callable[[], Models], about: str) -> Models:
    """The group of the loaders, and the note on their files."""
    with graph.group("2 · Models"):
        models = loaders()
        graph.column()
        graph.note(about, "Which files, and where they go", width=400, height=max(500, len(about) // 3))
    return models


def repair(graph: Graph, image: Output, prompt: Output, models: Models, unwanted: str | Output, way: Way) -> Repaired:
    """The whole method from maps to guarded result."""
    quality, model, _, vae, restorer = models
    with graph.group("3 · Find what is wrong"):
        perceptual, alignment = measure(graph, quality, image, prompt)
        graph.column()
        mask = mask_of(graph, perceptual, alignment)
        if way.previews:
            graph.column()
            previews(graph, perceptual, alignment, mask)
    with graph.group("4 · Decide what to do"):
        emphasis = graph.node("GRefinePromptEmphasis", prompt=prompt, phrases=alignment["phrases"], **way.emphasis)
        plan = graph.node(
            "GRefinePlan",
            perceptual_score=perceptual["score"],
            alignment_score=alignment["score"],
            area=mask["area"],
            worst_region=perceptual["worst_region"],
            plan=mask["plan"],
            emphasized_prompt=emphasis["emphasized_prompt"],
            **way.plan,
        )
        conditions = way.encode(graph, models, emphasis["emphasized_prompt"], unwanted)._asdict()
    with graph.group("5 · Stage 1: redraw what is wrong", new_row=True):
        redrawn = graph.node(
            "GRefineStage1Inpaint",
            image=image,
            denoise_mask=mask["denoise_mask"],
            composite_mask=mask["composite_mask"],
            model=model,
            vae=vae,
            run=plan["run_stage1"],
            strength=plan["stage1_strength"],
            steps=plan["stage1_steps"],
            quality_model=quality,
            diagnosis=alignment["diagnosis"],
            plan=plan["plan"],
            **conditions,
            **SAMPLING,
            **way.stage1,
        )
        graph.column()
        guarded = graph.node(
            "GRefineNoHarmGuard",
            "No-Harm Guard: stage 1",
            after=redrawn["refined_image"],
            before=image,
            quality_model=quality,
            prompt=prompt,
            mask=mask["composite_mask"],
        )
    with graph.group("6 · Stage 2: restore the whole"):
        caption: dict[str, Any] = {}
        if restorer is None:
            restoring = way.restoring(graph, models, guarded["image"])
            made = graph.node(
                "GRefineRestorerFromModel", model=restoring, vae=vae, **conditions, **SAMPLING, **way.restorer
            )
            restorer = made["restorer"]
        else:
            caption["prompt"] = prompt
        restored = graph.node(
            "GRefineStage2Restore",
            image=guarded["image"],
            restorer=restorer,
            run=plan["run_stage2"],
            strength=plan["stage2_strength"],
            steps=plan["stage2_steps"],
            quality_model=quality,
            diagnosis=alignment["diagnosis"],
            plan=plan["plan"],
            **caption,
            **way.stage2,
        )
        graph.column()
        final = graph.node(
            "GRefineNoHarmGuard",
            "No-Harm Guard: stage 2",
            after=restored["restored_image"],
            before=guarded["image"],
            quality_model=quality,
            prompt=prompt,
            stage="stage 2",
        )
    report = {
        "before": image,
        "after": final["image"],
        "quality_model": quality,
        "prompt": prompt,
        "emphasized_prompt": emphasis["emphasized_prompt"],
        "phrases": alignment["phrases"],
        "perceptual_defects": perceptual["defect_map"],
        "alignment_defects": alignment["defect_map"],
        "denoise_mask": mask["denoise_mask"],
        "plan_reason": plan["reason"],
        "stage1_guard": guarded["guard_report"],
        "stage2_guard": final["guard_report"],
    }
    return Repaired(final["image"], plan, report)


def results(graph: Graph, repaired: Repaired, *, reasons: bool = False) -> None:
    """What is saved and shown; ``reasons``: the decision on every picture, too."""
    with graph.group("7 · Result"):
        prefix = f"{PREFIX}/refined"
        graph.node("SaveImage", "Refined picture", images=repaired.image, filename_prefix=prefix, height=340)
        report = graph.node("GRefineQualityReport", **repaired.report, preview=260)
        graph.column()
        graph.node("SaveImage", "Report", images=report["sheet"], filename_prefix=f"{PREFIX}/report", height=340)
        graph.node("PreviewAny", "Report as JSON", source=report["report_json"], height=360)
        if reasons:
            graph.node("PreviewAny", "What was decided", source=repaired.plan["reason"], height=200)
