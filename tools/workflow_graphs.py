"""The shipped workflows, one function each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from workflow_notes import (
    ABOUT_GATE,
    ABOUT_MAPS,
    ABOUT_MINIATURE,
    ABOUT_ORDINARY,
    ABOUT_REFINING,
    ABOUT_SCORES,
    FILES,
    PASD,
)
from workflow_notes_models import ABOUT_FLUX, ABOUT_SD15, ABOUT_SDXL, ABOUT_SDXL_PASD, ABOUT_SUPIR
from workflow_parts import (
    NEGATIVE,
    PICTURE,
    PROMPT,
    Conditions,
    Models,
    Way,
    mask_of,
    measure,
    one_by_one,
    previews,
    quality_loader,
    quality_note,
    repair,
    results,
    start,
    with_models,
)
from workflow_writer import Graph, Output

from grefine_core.cli.demo_run import node_settings
from grefine_core.miniature.loading import SHIPPED, load_choices
from grefine_core.miniature.world import EXAMPLE
from grefine_core.pictures import load_picture

NATIVE_1024 = Way(stage1={"crop_size": "native", "native_side": 1024})


def score_only(graph: Graph) -> None:
    """Two numbers and the phrases that are not in the picture."""
    image, prompt = start(graph, ABOUT_SCORES)
    with graph.group("2 · Quality model"):
        quality = quality_loader(graph)
        quality_note(graph)
    with graph.group("3 · Measure"):
        perceptual, alignment = measure(graph, quality, image, prompt)
    with graph.group("4 · Result"):
        graph.node("PreviewAny", "Perceptual quality", source=perceptual["score"], height=120)
        graph.node("PreviewAny", "Alignment quality", source=alignment["score"], height=120)
        graph.node("PreviewAny", "Phrases", source=alignment["summary"], height=220)


def maps_only(graph: Graph) -> None:
    """Where the picture is wrong, and the mask that follows from it."""
    image, prompt = start(graph, ABOUT_MAPS)
    with graph.group("2 · Quality model"):
        quality = quality_loader(graph)
        quality_note(graph)
    with graph.group("3 · Find what is wrong"):
        perceptual, alignment = measure(graph, quality, image, prompt)
        graph.column()
        mask = mask_of(graph, perceptual, alignment)
    with graph.group("4 · Result"):
        previews(graph, perceptual, alignment, mask)


def refine(
    graph: Graph,
    loaders: Callable[[], Models],
    about: str,
    way: Way | None = None,
    *,
    picture: str = PICTURE,
    words: str = PROMPT,
    unwanted: str = NEGATIVE,
) -> None:
    """The whole method; ``loaders`` adds the loaders and gives what they load."""
    image, prompt = start(graph, ABOUT_REFINING, picture, words)
    models = with_models(graph, loaders, about)
    results(graph, repair(graph, image, prompt, models, unwanted, way or Way()))


def checkpoint_models(graph: Graph, name: str, title: str = "Checkpoint") -> Models:
    """The quality model, and one checkpoint with everything inside."""
    quality = quality_loader(graph)
    checkpoint = graph.node("CheckpointLoaderSimple", title, ckpt_name=name)
    return Models(quality, checkpoint["model"], checkpoint["clip"], checkpoint["vae"])


def sdxl_models(graph: Graph) -> Models:
    """The quality model, and the inpainting model of the paper in its parts."""
    quality = quality_loader(graph)
    unet = graph.node("UNETLoader", "Inpainting model", unet_name=FILES["unet"])
    clip = graph.node(
        "DualCLIPLoader",
        "Text encoders",
        clip_name1=FILES["clip_l"],
        clip_name2=FILES["clip_g"],
        type="sdxl",
        device="default",
    )
    vae = graph.node("VAELoader", "VAE", vae_name=FILES["vae"])
    return Models(quality, unet["model"], clip["clip"], vae["vae"])


def sdxl_inpainting(graph: Graph) -> None:
    """The full graph with the inpainting model of the paper."""
    refine(graph, lambda: sdxl_models(graph), ABOUT_SDXL, NATIVE_1024)


def sdxl_inpainting_pasd(graph: Graph) -> None:
    """The full graph with both models of the paper: the inpainting model, and PASD for stage 2."""

    def loaders() -> Models:
        models = sdxl_models(graph)
        graph.column()
        pasd = graph.node("GRefineLoadPASD", pasd=PASD, base=FILES["sd15"], personalised="none")
        return models._replace(restorer=pasd["restorer"])

    refine(graph, loaders, ABOUT_SDXL_PASD, NATIVE_1024)


def ordinary_checkpoint(graph: Graph) -> None:
    """The full graph with any checkpoint that draws pictures, no inpainting model needed."""
    refine(graph, lambda: checkpoint_models(graph, FILES["checkpoint"]), ABOUT_ORDINARY)


def sd15_inpainting(graph: Graph) -> None:
    """The full graph with the small inpainting model: one file, fits into 4 GB of memory."""
    refine(graph, lambda: checkpoint_models(graph, FILES["sd15_inpainting"], "Inpainting model"), ABOUT_SD15)


def flux_fill(graph: Graph) -> None:
    """The full graph with Flux Fill. It is guided by a number in its conditioning, and knows no negative prompt."""

    def loaders() -> Models:
        quality = quality_loader(graph)
        unet = graph.node("UNETLoader", "Flux Fill", unet_name=FILES["flux_fill"])
        clip = graph.node(
            "DualCLIPLoader",
            "Text encoders",
            clip_name1=FILES["flux_clip_l"],
            clip_name2=FILES["t5"],
            type="flux",
            device="default",
        )
        vae = graph.node("VAELoader", "VAE", vae_name=FILES["flux_vae"])
        return Models(quality, unet["model"], clip["clip"], vae["vae"])

    def guided(graph: Graph, models: Models, emphasized: Output, unwanted: str | Output) -> Conditions:  # noqa: ARG001
        encoded = graph.node("CLIPTextEncode", "Emphasised prompt", clip=models.clip, text=emphasized)["conditioning"]
        positive = graph.node("FluxGuidance", "Guidance", conditioning=encoded, guidance=30.0)
        negative = graph.node("ConditioningZeroOut", "No negative prompt", conditioning=encoded)
        return Conditions(positive["conditioning"], negative["conditioning"])

    way = Way(
        stage1={"crop_size": "native", "native_side": 1024, "cfg": 1.0},
        emphasis={"style": "repeat"},
        restorer={"cfg": 1.0},
        encode=guided,
    )
    refine(graph, loaders, ABOUT_FLUX, way)


def sdxl_supir(graph: Graph) -> None:
    """The full graph with one SDXL checkpoint, in stage 2 guided by SUPIR as the host has it."""
    found: dict[str, Output] = {}

    def loaders() -> Models:
        models = checkpoint_models(graph, FILES["sdxl"])
        found["patch"] = graph.node("ModelPatchLoader", "SUPIR", name=FILES["supir"])["model_patch"]
        return models

    def guided(graph: Graph, models: Models, image: Output) -> Output:
        # Its picture is the one that stage 2 gets: what stage 1 gave and its guard let pass.
        parts = {"model": models.model, "model_patch": found["patch"], "vae": models.vae, "image": image}
        return graph.node("SUPIRApply", "Guide the model by the picture", **parts)["model"]

    refine(graph, loaders, ABOUT_SUPIR, replace(NATIVE_1024, restoring=guided))


def score_gated_batch(graph: Graph) -> None:
    """Several pictures, of which only those that need it are refined."""
    with graph.group("1 · Pictures and prompt"):
        first = graph.node("LoadImage", "Picture", image=PICTURE, preview=260)
        spoiled = graph.node(
            "ImageBlur", "A spoiled copy, to see the gate at work", image=first["image"], blur_radius=15, sigma=6.0
        )
        batch = graph.node("ImageBatch", "Both as a batch", image1=first["image"], image2=spoiled["image"])
        image, prompt = one_by_one(graph, batch["image"], ABOUT_GATE)
    models = with_models(graph, lambda: checkpoint_models(graph, FILES["checkpoint"]), ABOUT_ORDINARY)
    results(graph, repair(graph, image, prompt, models, NEGATIVE, Way(previews=False)), reasons=True)


def miniature(graph: Graph) -> None:
    """The full graph with the small models that come with the pack: nothing to download."""

    def loaders() -> Models:
        node = graph.node("GRefineLoadMiniature")
        return Models(node["quality_model"], node["model"], node["clip"], node["vae"], node["restorer"])

    graph.defaults = node_settings(load_choices(SHIPPED))
    words = load_picture(EXAMPLE).text["parameters"]
    # These models were trained on no words for what is unwanted.
    refine(graph, loaders, ABOUT_MINIATURE, picture=EXAMPLE.name, words=words, unwanted="")


GRAPHS: dict[str, Callable[[Graph], None]] = {
    "grefine_sdxl_inpainting": sdxl_inpainting,
    "grefine_sdxl_inpainting_pasd": sdxl_inpainting_pasd,
    "grefine_sdxl_supir": sdxl_supir,
    "grefine_sd15_inpainting": sd15_inpainting,
    "grefine_flux_fill": flux_fill,
    "grefine_ordinary_checkpoint": ordinary_checkpoint,
    "grefine_score_gated_batch": score_gated_batch,
    "grefine_miniature": miniature,
    "grefine_maps_only": maps_only,
    "grefine_score_only": score_only,
}
