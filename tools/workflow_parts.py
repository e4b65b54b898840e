"""The pieces that the shipped workflows are made of: diagnosis, decision, both stages, report; and their boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from workflow_models import FILES
from workflow_subgraphs import Port, add_subgraph
from workflow_writer import Graph, Node, Output, kind_of

NEGATIVE = "blurry, deformed, low quality, watermark, text"
PREFIX = "G-Refine"
#: The field with the quality model's file on a box: other boxes have a ``clip_name`` of their own.
QUALITY_FILE = "quality_model_name"
#: As suits the model's family, whatever model a user puts in.
SAMPLING = {"sampler_name": "auto", "scheduler": "auto"}
_DIAGNOSE = "Finds what is wrong with a picture, perceptually and against its prompt, and which parts are to be mended."
_DECIDE = "Decide what to do"
_REFINE = "Mends what was found in two stages, takes back what got worse, and reports it."


class Models(NamedTuple):
    """What the loaders give; without a restorer one is made of the model."""

    model: Output
    clip: Output
    vae: Output
    restorer: Output | None = None
    patch: Output | None = None
    control_net: Output | None = None
    restoring_model: Output | None = None
    restoring_vae: Output | None = None


class Conditions(NamedTuple):
    """The prompts, encoded."""

    positive: Output
    negative: Output


class Found(NamedTuple):
    """What the diagnosis gives for the repair, from its nodes or from an unpacked plan."""

    image: Output
    prompt: Output
    quality: Output
    plan: Output
    diagnosis: Output
    phrases: Output
    perceptual_score: Output
    alignment_score: Output
    worst_region: Output
    area: Output
    denoise_mask: Output
    composite_mask: Output
    perceptual_defects: Output
    alignment_defects: Output


class Decided(NamedTuple):
    """What *Decide what to do* gives for the stages."""

    plan: Node
    conditions: Conditions


def encode(graph: Graph, models: Models, emphasized: Output, unwanted: str | Output) -> Conditions:
    """What most models take: the emphasised prompt, and what is unwanted."""
    positive = emphasised(graph, models, emphasized)
    negative = graph.node("CLIPTextEncode", "Negative prompt", clip=models.clip, text=unwanted)
    return Conditions(positive, negative["conditioning"])


def emphasised(graph: Graph, models: Models, words: Output) -> Output:
    """The emphasised prompt, encoded."""
    title = "Emphasised prompt"
    return graph.node("CLIPTextEncode", title, clip=models.clip, text=words, collapsed=True)["conditioning"]


def as_encoded(graph: Graph, models: Models, found: Found, conditions: Conditions) -> Conditions:  # noqa: ARG001
    """The prompts for stage 1, where nothing else steers it."""
    return conditions


def same_model(graph: Graph, models: Models, image: Output) -> Output:  # noqa: ARG001 - another way looks at them
    """The model that restores in stage 2, where it is that of stage 1."""
    return models.model


class Repaired(NamedTuple):
    """What the method gives: the picture, its report as a picture and as JSON, the decision in words."""

    image: Output
    report: Output
    report_json: Output
    reason: Output


def one_by_one(graph: Graph, images: Output) -> Output:
    """Every picture on its own, so that each gets what was found in it."""
    return graph.node("RebatchImages", "One picture at a time", images=images, batch_size=1)["image"]


def prompt_of(graph: Graph, words: Output, title: str = "Prompt") -> Output:
    """The prompt, in one place for all that read it."""
    return graph.node("PrimitiveStringMultiline", title, value=words, height=130)["string"]


def quality_loader(graph: Graph, file: Output) -> Output:
    """The quality model."""
    choices = {"embeddings": "published", "calibration": "auto", "alignment_encoder": "CLIP"}
    return graph.node("GRefineLoadQualityModel", clip_name=file, **choices)["quality_model"]


class Measured(NamedTuple):
    """The nodes that look at the picture."""

    perceptual: Node
    alignment: Node


def measure(graph: Graph, quality: Output, image: Output, prompt: Output) -> Measured:
    """PQ-Map and AQ-Map of the picture."""
    perceptual = graph.node("GRefinePQMap", image=image, quality_model=quality)
    alignment = graph.node(
        "GRefineAQMap", image=image, quality_model=quality, prompt=prompt, diagnosis=perceptual["diagnosis"]
    )
    return Measured(perceptual, alignment)


def mask_of(graph: Graph, measured: Measured) -> Node:
    """The masks that follow from what looks bad, and from the verdicts on the phrases."""
    return graph.node(
        "GRefineBinarizeMap",
        defect_map=measured.perceptual["defect_map"],
        diagnosis=measured.alignment["diagnosis"],
    )


def find(graph: Graph, image: Output, prompt: Output, quality: Output) -> Found:
    """The whole diagnosis, node by node."""
    with graph.group("Find what is wrong"):
        measured = measure(graph, quality, image, prompt)
        mask = mask_of(graph, measured)
    perceptual, alignment = measured
    return Found(
        image,
        prompt,
        quality,
        mask["plan"],
        alignment["diagnosis"],
        alignment["phrases"],
        perceptual["score"],
        alignment["score"],
        perceptual["worst_region"],
        mask["area"],
        mask["denoise_mask"],
        mask["composite_mask"],
        perceptual["defect_map"],
        alignment["defect_map"],
    )


def unpack(graph: Graph, image: Output, quality: Output, plan: Output) -> Found:
    """The same, out of the plan that came through one link."""
    with graph.group(_DECIDE):
        parts = graph.node("GRefineUnpackPlan", plan=plan, collapsed=True)
    rest = [parts[name] for name in Found._fields[4:]]
    return Found(image, parts["prompt"], quality, plan, *rest)


def inpaint(graph: Graph, found: Found, models: Models, decided: Decided, way: Way) -> Output:
    """Stage 1 by *Stage-1 Inpaint*."""
    conditions = way.steering(graph, models, found, decided.conditions)
    redrawn = graph.node(
        "GRefineStage1Inpaint",
        image=found.image,
        denoise_mask=found.denoise_mask,
        composite_mask=found.composite_mask,
        model=models.model,
        vae=models.vae,
        quality_model=found.quality,
        diagnosis=found.diagnosis,
        plan=decided.plan["plan"],
        **conditions._asdict(),
        **SAMPLING,
        **way.stage1,
    )
    return redrawn["refined_image"]


def restore(graph: Graph, found: Found, models: Models, decided: Decided, image: Output, way: Way) -> Output:
    """Stage 2 by *Stage-2 Restore*, with the loaders' restorer or one that is made of the model."""
    caption: dict[str, Any] = {}
    restorer = models.restorer
    if restorer is None:
        restoring = way.restoring(graph, models, image)
        conditions = decided.conditions._asdict()
        made = graph.node(
            "GRefineRestorerFromModel", model=restoring, vae=models.vae, **conditions, **SAMPLING, **way.restorer
        )
        restorer = made["restorer"]
    else:
        caption["prompt"] = found.prompt
    restored = graph.node(
        "GRefineStage2Restore",
        image=image,
        restorer=restorer,
        quality_model=found.quality,
        diagnosis=found.diagnosis,
        plan=decided.plan["plan"],
        **caption,
        **way.stage2,
    )
    return restored["restored_image"]


@dataclass(frozen=True)
class Way:
    """What one workflow does otherwise than the others: inputs of its nodes, and steps."""

    stage1: Mapping[str, Any] = field(default_factory=dict)
    emphasis: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    restorer: Mapping[str, Any] = field(default_factory=dict)
    stage2: Mapping[str, Any] = field(default_factory=dict)
    encode: Callable[[Graph, Models, Output, str | Output], Conditions] = encode
    negative: bool = True
    """Whether the model reads what is unwanted."""
    steps: int = 20
    """Of both stages together, on the box."""
    steering: Callable[[Graph, Models, Found, Conditions], Conditions] = as_encoded
    """Adds to the prompts what else steers stage 1."""
    restoring: Callable[[Graph, Models, Output], Output] = same_model
    """Adds the model for stage 2, made for the very picture that stage 2 gets."""
    redraw: Callable[[Graph, Found, Models, Decided, Way], Output] = inpaint
    """Stage 1: gives the picture for its guard."""
    restore: Callable[[Graph, Found, Models, Decided, Output, Way], Output] = restore
    """Stage 2, of the picture that stage 1's guard let pass: gives the picture for its own guard."""


def repair(graph: Graph, found: Found, models: Models, unwanted: str | Output, way: Way) -> Repaired:
    """The method from the diagnosis to the report. Strengths and steps come with the plan, in one bundle."""
    image, prompt, quality = found.image, found.prompt, found.quality
    with graph.group(_DECIDE):
        emphasis = graph.node("GRefinePromptEmphasis", prompt=prompt, phrases=found.phrases, **way.emphasis)
        plan = graph.node(
            "GRefinePlan",
            perceptual_score=found.perceptual_score,
            alignment_score=found.alignment_score,
            area=found.area,
            worst_region=found.worst_region,
            plan=found.plan,
            emphasized_prompt=emphasis["emphasized_prompt"],
            **way.plan,
        )
    with graph.group("Stage 1: redraw what is wrong"):
        conditions = way.encode(graph, models, emphasis["emphasized_prompt"], unwanted)
        decided = Decided(plan, conditions)
        redrawn = way.redraw(graph, found, models, decided, way)
        guarded = graph.node(
            "GRefineNoHarmGuard",
            "No-Harm Guard: stage 1",
            after=redrawn,
            before=image,
            quality_model=quality,
            prompt=prompt,
            mask=found.composite_mask,
        )
    with graph.group("Stage 2: restore the whole"):
        restored = way.restore(graph, found, models, decided, guarded["image"], way)
        final = graph.node(
            "GRefineNoHarmGuard",
            "No-Harm Guard: stage 2",
            after=restored,
            before=guarded["image"],
            quality_model=quality,
            prompt=prompt,
            stage="stage 2",
        )
    with graph.group("Report"):
        report = graph.node(
            "GRefineQualityReport",
            before=image,
            after=final["image"],
            quality_model=quality,
            prompt=prompt,
            emphasized_prompt=emphasis["emphasized_prompt"],
            phrases=found.phrases,
            perceptual_defects=found.perceptual_defects,
            alignment_defects=found.alignment_defects,
            denoise_mask=found.denoise_mask,
            plan_reason=plan["reason"],
            stage1_guard=guarded["guard_report"],
            stage2_guard=final["guard_report"],
        )
    return Repaired(final["image"], report["sheet"], report["report_json"], plan["reason"])


def told(graph: Graph, repaired: Repaired) -> None:
    """The report as JSON, for whoever runs the workflow by its API; over the report, which ends the graph."""
    with graph.group("Report") as group:
        graph.node("PreviewAny", "Report as JSON", source=repaired.report_json, height=160, collapsed=True)
        # Nodes 2.0 counts what is collapsed as if it were open, when it fits the graph: under the report it would
        # make the graph higher.
        group.nodes.insert(0, group.nodes.pop())


# Boxes

#: Heights of *Diagnose* and *Refine* within a box, with room for what they show after a run.
FOUND, REPAIRED = 450, 680
#: What *Diagnose* takes where picture, prompt and quality model are there already.
LOOKING = (
    Port("image", "IMAGE"),
    Port("quality_model", "GREFINE_QUALITY_MODEL"),
    Port("prompt", "STRING", widget=True),
)


def looking(graph: Graph, images: Output, given: Node) -> tuple[Output, Output, Output]:
    """What every diagnosis begins with: the picture, its prompt, the quality model."""
    with graph.group("Picture, prompt, quality model"):
        image, prompt = one_by_one(graph, images), prompt_of(graph, given["prompt"])
        return image, prompt, quality_loader(graph, given[QUALITY_FILE])


def diagnose(
    graph: Graph,
    build: Callable[[Graph, Node], Mapping[str, Output]],
    words: str,
    images: Mapping[str, Output],
    **place: Any,
) -> Node:
    """The box that looks at pictures; ``build`` adds what is inside and says what it gives."""
    ports = [Port(name, "IMAGE") for name in images]
    ports += [Port(QUALITY_FILE, "COMBO", widget=True), Port("prompt", "STRING", widget=True)]
    values = {**images, "prompt": words, QUALITY_FILE: FILES["quality"]}
    return add_subgraph(graph, "Diagnose", ports, build, description=_DIAGNOSE, **place, **values)


def diagnosis(graph: Graph, given: Node) -> dict[str, Output]:
    """Inside *Diagnose*, where a repair follows: all that was found goes out as one plan."""
    return _diagnosis(graph, given["image"], given)


def diagnosis_of_two(graph: Graph, given: Node) -> dict[str, Output]:
    """The same for two pictures, which become a batch."""
    with graph.group("A batch of two"):
        batch = graph.node("ImageBatch", "Both as a batch", image1=given["image"], image2=given["another_image"])
    return _diagnosis(graph, batch["image"], given)


def _diagnosis(graph: Graph, images: Output, given: Node) -> dict[str, Output]:
    image, prompt, quality = looking(graph, images, given)
    return {"image": image, "quality_model": quality, "plan": find(graph, image, prompt, quality).plan}


def refine_box(
    graph: Graph,
    diagnosed: Mapping[str, Output],
    models: Models,
    way: Way,
    *,
    reasons: bool = False,
    fields: Mapping[str, Output] | None = None,
    **place: Any,
) -> Node:
    """The box that mends.

    ``diagnosed``: picture, quality model and plan, by the names of the box's inputs; ``reasons``: it gives the decision
    in words, too; ``fields``: where the box is in a box, what that one is asked for all in this one's place. The report
    as JSON then goes out, instead of being shown here.
    """
    given = {name: output for name, output in models._asdict().items() if output is not None}
    asked: dict[str, Any] = {"negative_prompt": NEGATIVE} if way.negative else {}
    asked |= {"steps": way.steps, "seed": 0, **(fields or {})}
    ports = [Port("image", "IMAGE"), Port("quality_model", "GREFINE_QUALITY_MODEL"), Port("plan", "GREFINE_PLAN")]
    ports += [Port(name, kind_of(output)) for name, output in given.items()]
    kinds = {"negative_prompt": "STRING", "steps": "INT", "seed": "INT"}
    kinds |= {name: kind_of(output) for name, output in (fields or {}).items()}
    ports += [Port(name, kinds[name], widget=True) for name in asked]

    def inside(inner: Graph, outside: Node) -> dict[str, Output]:
        found = unpack(inner, outside["image"], outside["quality_model"], outside["plan"])
        own = Models(**{name: outside[name] for name in given})
        chosen = _with(way, {name: outside[name] for name in asked})
        repaired = repair(inner, found, own, outside["negative_prompt"] if way.negative else "", chosen)
        result = {"report": repaired.report, "image": repaired.image}
        if fields is not None:
            return {**result, "report_json": repaired.report_json}
        told(inner, repaired)
        return {**result, "decision": repaired.reason} if reasons else result

    return add_subgraph(graph, "Refine", ports, inside, description=_REFINE, **place, **diagnosed, **given, **asked)


#: Fields of the box, by the step of the method that takes them.
_PLANNED, _SAMPLED = ("perceptual_bar", "alignment_bar", "steps"), ("seed", "cfg", "crop_size")


def _with(way: Way, asked: Mapping[str, Output]) -> Way:
    """The same way, with what is asked for outside."""

    def taken(names: Sequence[str]) -> dict[str, Output]:
        return {name: asked[name] for name in names if name in asked}

    return replace(
        way,
        plan={**way.plan, **taken(_PLANNED)},
        stage1={**way.stage1, **taken(_SAMPLED)},
        stage2={**way.stage2, **taken(("seed",))},
    )
