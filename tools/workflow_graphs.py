"""The shipped workflows, one function each: few boxes, from left to right, results in a row at the end.

Those of families that came after SDXL and Flux Fill: ``workflow_families.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from workflow_boxes import AT_NATIVE_SIZE, STEP, checkpoint, models_box, paragraphs, refine, saved_picture, saved_report
from workflow_families import FAMILIES
from workflow_models import FILES, PASD
from workflow_notes import (
    ABOUT_FLUX,
    ABOUT_GATE,
    ABOUT_MAPS,
    ABOUT_MINIATURE,
    ABOUT_ORDINARY,
    ABOUT_PASD,
    ABOUT_REFINING,
    ABOUT_SCORES,
    ABOUT_SUPIR,
    SUPIR_FILE,
    files,
)
from workflow_parts import (
    FOUND,
    LOOKING,
    QUALITY_FILE,
    REPAIRED,
    Conditions,
    Models,
    Way,
    diagnose,
    emphasised,
    find,
    looking,
    mask_of,
    measure,
    one_by_one,
    prompt_of,
    refine_box,
)
from workflow_subgraphs import Port, add_subgraph
from workflow_writer import Graph, Node, Output

from grefine_core.cli.demo_run import node_settings
from grefine_core.examples import EXAMPLES, MINIATURE, PHOTOGRAPH, PHOTOGRAPH_PROMPT
from grefine_core.miniature.loading import SHIPPED, load_choices
from grefine_core.pictures import load_picture


def _sdxl(graph: Graph, given: Mapping[str, Output]) -> dict[str, Output]:
    """The paper's inpainting model; text encoders and VAE are those of SDXL."""
    with graph.group("SDXL inpainting"):
        unet = graph.node("UNETLoader", "Inpainting model", unet_name=given["unet_name"])
        base = graph.node("CheckpointLoaderSimple", "Text encoders and VAE", ckpt_name=given["ckpt_name"])
    return {"model": unet["model"], "clip": base["clip"], "vae": base["vae"]}


_SDXL_FILES = {"unet_name": FILES["unet"], "ckpt_name": FILES["sdxl"]}
_SDXL_IDS = ("clip-vit-b-16", "sdxl-inpainting-unet", "sdxl-base")


def sdxl_inpainting(graph: Graph) -> None:
    """The full graph with the inpainting model of the paper."""
    refine(graph, models_box(_SDXL_FILES, _sdxl), paragraphs(ABOUT_REFINING, files(*_SDXL_IDS)), AT_NATIVE_SIZE)


def sdxl_inpainting_pasd(graph: Graph) -> None:
    """The full graph with both models of the paper: the inpainting model, and PASD for stage 2."""

    def build(inner: Graph, given: Mapping[str, Output]) -> dict[str, Output]:
        models = _sdxl(inner, given)
        with inner.group("PASD"):
            pasd = inner.node("GRefineLoadPASD", pasd=given["pasd"], base=given["base"], personalised="none")
        return {**models, "restorer": pasd["restorer"]}

    named = {**_SDXL_FILES, "pasd": PASD, "base": FILES["sd15"]}
    listed = files(*_SDXL_IDS, "sd15-checkpoint", more=(ABOUT_PASD,))
    refine(graph, models_box(named, build), paragraphs(ABOUT_REFINING, listed), AT_NATIVE_SIZE)


def ordinary_checkpoint(graph: Graph) -> None:
    """The full graph with any checkpoint that draws pictures, no inpainting model needed."""
    refine(graph, checkpoint(FILES["checkpoint"]), paragraphs(ABOUT_REFINING, ABOUT_ORDINARY, files("clip-vit-b-16")))


def sd15_inpainting(graph: Graph) -> None:
    """The full graph with the small inpainting model: one file, fits into 4 GB of memory."""
    note = paragraphs(ABOUT_REFINING, files("clip-vit-b-16", "sd15-inpainting"))
    refine(graph, checkpoint(FILES["sd15_inpainting"], "Inpainting model"), note)


def flux_fill(graph: Graph) -> None:
    """The full graph with Flux Fill. It is guided by a number in its conditioning, and knows no negative prompt."""

    def build(inner: Graph, given: Mapping[str, Output]) -> dict[str, Output]:
        with inner.group("Flux Fill"):
            unet = inner.node("UNETLoader", "Flux Fill", unet_name=given["unet_name"])
            clip = inner.node(
                "DualCLIPLoader",
                "Text encoders",
                clip_name1=given["clip_name1"],
                clip_name2=given["clip_name2"],
                type="flux",
                device="default",
            )
            vae = inner.node("VAELoader", "VAE", vae_name=given["vae_name"])
        return {"model": unet["model"], "clip": clip["clip"], "vae": vae["vae"]}

    def guided(graph: Graph, models: Models, emphasized: Output, unwanted: str | Output) -> Conditions:  # noqa: ARG001
        encoded = emphasised(graph, models, emphasized)
        positive = graph.node("FluxGuidance", "Guidance", conditioning=encoded, guidance=30.0)
        negative = graph.node("ConditioningZeroOut", "No negative prompt", conditioning=encoded, collapsed=True)
        return Conditions(positive["conditioning"], negative["conditioning"])

    way = Way(
        stage1={"crop_size": "native", "native_side": 0},
        emphasis={"style": "repeat"},
        encode=guided,
        negative=False,
    )
    named = {
        "unet_name": FILES["flux_fill"],
        "clip_name1": FILES["flux_clip_l"],
        "clip_name2": FILES["t5"],
        "vae_name": FILES["flux_vae"],
    }
    listed = files("clip-vit-b-16", "flux-fill", "flux-clip-l", "flux-t5xxl", "flux-vae")
    refine(graph, models_box(named, build), paragraphs(ABOUT_REFINING, ABOUT_FLUX, listed), way)


def sdxl_supir(graph: Graph) -> None:
    """The full graph with one SDXL checkpoint, in stage 2 guided by SUPIR as the host has it."""

    def build(inner: Graph, given: Mapping[str, Output]) -> dict[str, Output]:
        with inner.group("SDXL and SUPIR"):
            base = inner.node("CheckpointLoaderSimple", "Checkpoint", ckpt_name=given["ckpt_name"])
            patch = inner.node("ModelPatchLoader", "SUPIR", name=given["name"])
        return {"model": base["model"], "clip": base["clip"], "vae": base["vae"], "patch": patch["model_patch"]}

    def guided(graph: Graph, models: Models, image: Output) -> Output:
        # Its picture is the one that stage 2 gets: what stage 1 gave and its guard let pass.
        assert models.patch is not None
        parts = {"model": models.model, "model_patch": models.patch, "vae": models.vae, "image": image}
        return graph.node("SUPIRApply", "Guide the model by the picture", **parts)["model"]

    named = {"ckpt_name": FILES["sdxl"], "name": FILES["supir"]}
    listed = files("clip-vit-b-16", "sdxl-base", more=SUPIR_FILE)
    note = paragraphs(ABOUT_SUPIR, ABOUT_REFINING, listed)
    refine(graph, models_box(named, build), note, replace(AT_NATIVE_SIZE, restoring=guided))


def score_gated_batch(graph: Graph) -> None:
    """Several pictures, of which only those that need it are refined."""
    note = paragraphs(ABOUT_GATE, ABOUT_ORDINARY, files("clip-vit-b-16"))
    refine(graph, checkpoint(FILES["checkpoint"]), note, batch=True)


def miniature(graph: Graph) -> None:
    """The whole method in one box, with the small models that come with the pack: nothing to download."""
    graph.defaults = node_settings(load_choices(SHIPPED))
    words = load_picture(EXAMPLES[MINIATURE]).text["parameters"]

    def inside(inner: Graph, given: Node) -> dict[str, Output]:
        with inner.group("Picture, prompt, models"):
            image, prompt = one_by_one(inner, given["image"]), prompt_of(inner, given["prompt"])
            node = inner.node("GRefineLoadMiniature")
        models = Models(node["model"], node["clip"], node["vae"], node["restorer"])
        looked_at = {"image": image, "quality_model": node["quality_model"]}
        with inner.group("Find what is wrong"):
            found = add_subgraph(inner, "Diagnose", LOOKING, looking_at, height=FOUND, **looked_at, prompt=prompt)
        with inner.group("Repair it"):
            # These models were trained on no words for what is unwanted.
            way = Way(negative=False)
            refined = refine_box(inner, {**looked_at, "plan": found["plan"]}, models, way, height=REPAIRED)
        return {name: refined[name] for name in ("report", "image")}

    def looking_at(inner: Graph, given: Node) -> dict[str, Output]:
        return {"plan": find(inner, given["image"], given["prompt"], given["quality_model"]).plan}

    with graph.group("1 · Picture"):
        loaded = graph.node("LoadImage", "Picture", image=MINIATURE, width=256, height=350, at=(0, 0))
        graph.note(ABOUT_MINIATURE, "Start here", width=256, height=230, at=(0, 410))
    with graph.group("2 · Find and repair"):
        box = add_subgraph(
            graph,
            "G-Refine",
            [Port("image", "IMAGE"), Port("prompt", "STRING", widget=True)],
            inside,
            description="The whole method with miniature models.",
            width=300,
            height=640,
            at=(300, 0),
            image=loaded["image"],
            prompt=words,
        )
    with graph.group("3 · Result"):
        picture = saved_picture(graph, box["image"], (644, STEP), 256, 340)
        report = saved_report(graph, box["report"], (930, 0), 480, 640)
    graph.in_app((loaded, "image"), (box, "prompt"), shown=(picture, report))


def _results(graph: Graph, box: Node, boxes: Sequence[tuple[str, str, str, str]], height: int) -> list[Node]:
    """Results in a row: (kind, title, input, output of the box), the farthest first, as the box gives them."""
    width, gap = 240, 30
    nodes = []
    with graph.group("2 · Result"):
        for place, (kind, title, key, output) in enumerate(boxes):
            left = 580 + (len(boxes) - 1 - place) * (width + gap)
            at = (left, place * STEP)
            nodes.append(graph.node(kind, title, **{key: box[output]}, width=width, height=height, at=at))
    return nodes


def _looked(graph: Graph, build: Callable[[Graph, Node], Mapping[str, Output]], about: str) -> tuple[Node, Node]:
    """Picture, note and diagnosis of the workflows that change nothing."""
    with graph.group("1 · Measure"):
        loaded = graph.node("LoadImage", "Picture", image=PHOTOGRAPH, width=240, height=310, at=(0, 0))
        note = paragraphs(about, files("clip-vit-b-16"))
        graph.note(note, "Start here", width=240, height=200, at=(0, 370))
        images = {"image": loaded["image"]}
        box = diagnose(graph, build, PHOTOGRAPH_PROMPT, images, width=264, height=310, at=(280, 0))
    return loaded, box


def maps_only(graph: Graph) -> None:
    """Where the picture is wrong, and the mask that follows from it."""

    def inside(inner: Graph, given: Node) -> dict[str, Output]:
        image, prompt, quality = looking(inner, given["image"], given)
        with inner.group("Find what is wrong"):
            measured = measure(inner, quality, image, prompt)
            mask = mask_of(inner, measured)
        return {
            "mask": mask["denoise_mask"],
            "alignment_overlay": measured.alignment["overlay"],
            "perceptual_overlay": measured.perceptual["overlay"],
        }

    loaded, box = _looked(graph, inside, ABOUT_MAPS)
    shown = _results(
        graph,
        box,
        (
            ("MaskPreview", "What will be redrawn", "mask", "mask"),
            ("PreviewImage", "Alignment defects", "images", "alignment_overlay"),
            ("PreviewImage", "Perceptual defects", "images", "perceptual_overlay"),
        ),
        height=300,
    )
    graph.in_app((loaded, "image"), (box, "prompt"), (box, QUALITY_FILE), shown=tuple(reversed(shown)))


def score_only(graph: Graph) -> None:
    """Two numbers and the phrases that are not in the picture."""

    def inside(inner: Graph, given: Node) -> dict[str, Output]:
        image, prompt, quality = looking(inner, given["image"], given)
        with inner.group("Measure"):
            measured = measure(inner, quality, image, prompt)
        return {
            "phrases": measured.alignment["summary"],
            "alignment_score": measured.alignment["score"],
            "perceptual_score": measured.perceptual["score"],
        }

    loaded, box = _looked(graph, inside, ABOUT_SCORES)
    shown = _results(
        graph,
        box,
        (
            ("PreviewAny", "Phrases", "source", "phrases"),
            ("PreviewAny", "Alignment quality", "source", "alignment_score"),
            ("PreviewAny", "Perceptual quality", "source", "perceptual_score"),
        ),
        height=200,
    )
    graph.in_app((loaded, "image"), (box, "prompt"), (box, QUALITY_FILE), shown=tuple(reversed(shown)))


#: The first of them sorts first, and says so.
GRAPHS: dict[str, Callable[[Graph], None]] = {
    "grefine_sdxl_inpainting": sdxl_inpainting,
    "grefine_sdxl_inpainting_pasd": sdxl_inpainting_pasd,
    "grefine_sdxl_supir": sdxl_supir,
    "grefine_sd15_inpainting": sd15_inpainting,
    "grefine_flux_fill": flux_fill,
    **FAMILIES,
    "grefine_ordinary_checkpoint": ordinary_checkpoint,
    "grefine_score_gated_batch": score_gated_batch,
    "grefine_1_start_here": miniature,
    "grefine_maps_only": maps_only,
    "grefine_score_only": score_only,
}
