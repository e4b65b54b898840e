"""Writes the shipped workflows, in the editor's format and in the queue's, from the descriptions in this file.

    python tools/build_workflows.py            write workflows/*.json and workflows/api/*.json
    python tools/build_workflows.py --check    change nothing; say what is out of date, and end with 1 if anything is

Needs no ComfyUI: what the nodes look like is recorded in tests/.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from workflow_notes import (
    ABOUT_MAPS,
    ABOUT_MINIATURE,
    ABOUT_ORDINARY,
    ABOUT_QUALITY_MODEL,
    ABOUT_REFINING,
    ABOUT_SCORES,
    ABOUT_SDXL,
    ABOUT_SDXL_PASD,
    FILES,
    PASD,
)
from workflow_writer import Graph, Node, Output

from grefine_core.demo import EXAMPLE
from grefine_core.demo.settings import node_settings
from grefine_core.miniature.choices import load_choices
from grefine_core.miniature.loading import SHIPPED
from grefine_core.pictures import load_picture

ROOT = Path(__file__).resolve().parents[1]
RECORDED = (ROOT / "tests/workflows/host_nodes.json", ROOT / "tests/host/object_info.json")

# ComfyUI's own example picture, which every installation has in its input folder, and what it shows.
PICTURE = "example.png"
PROMPT = "a girl with blonde hair and a pink dress, standing on a green hill, white clouds in a blue sky"
NEGATIVE = "blurry, deformed, low quality, watermark, text"
PREFIX = "G-Refine"
SAMPLING = {"sampler_name": "euler", "scheduler": "normal"}


def start(graph: Graph, about: str, picture: str = PICTURE, words: str = PROMPT) -> tuple[Output, Output]:
    """The picture, one at a time, and its prompt."""
    with graph.group("1 · Picture and prompt"):
        loaded = graph.node("LoadImage", "Picture", image=picture, preview=260)
        single = graph.node("RebatchImages", "One picture at a time", images=loaded["image"], batch_size=1)
        prompt = graph.node("PrimitiveStringMultiline", "Prompt", value=words, height=150)
        graph.note(about, "About this workflow", height=max(110, len(about) // 2))
    return single["image"], prompt["string"]


def measure(graph: Graph, quality: Output, image: Output, prompt: Output) -> tuple[Node, Node]:
    """PQ-Map and AQ-Map of the picture."""
    perceptual = graph.node("GRefinePQMap", image=image, quality_model=quality)
    alignment = graph.node("GRefineAQMap", image=image, quality_model=quality, prompt=prompt)
    return perceptual, alignment


def mask_of(graph: Graph, perceptual: Node, alignment: Node) -> Node:
    """The masks that follow from both maps."""
    merged = graph.node("GRefineMergeMaps", map_a=perceptual["defect_map"], map_b=alignment["defect_map"])
    return graph.node("GRefineBinarizeMap", defect_map=merged["merged_map"])


def previews(graph: Graph, perceptual: Node, alignment: Node, mask: Node) -> None:
    """Both maps over the picture, and the mask."""
    graph.node("PreviewImage", "Perceptual defects", images=perceptual["overlay"], height=230)
    graph.node("PreviewImage", "Alignment defects", images=alignment["overlay"], height=230)
    graph.node("MaskPreview", "What will be redrawn", mask=mask["denoise_mask"], height=230)


def quality_loader(graph: Graph) -> Output:
    """The quality model."""
    files = {"clip_name": FILES["quality"], "embeddings": "published", "calibration": "auto"}
    return graph.node("GRefineLoadQualityModel", **files, alignment_encoder="CLIP")["quality_model"]


def score_only(graph: Graph) -> None:
    """Two numbers and the phrases that are not in the picture."""
    image, prompt = start(graph, ABOUT_SCORES)
    with graph.group("2 · Quality model"):
        quality = quality_loader(graph)
        graph.note(ABOUT_QUALITY_MODEL, "Which file, and where it goes", height=170)
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
        graph.note(ABOUT_QUALITY_MODEL, "Which file, and where it goes", height=170)
    with graph.group("3 · Find what is wrong"):
        perceptual, alignment = measure(graph, quality, image, prompt)
        graph.column()
        mask = mask_of(graph, perceptual, alignment)
    with graph.group("4 · Result"):
        previews(graph, perceptual, alignment, mask)


class Models(NamedTuple):
    """What the loaders of a full graph give; without a restorer one is made of the model."""

    quality: Output
    model: Output
    clip: Output
    vae: Output
    restorer: Output | None = None


def refine(
    graph: Graph,
    loaders: Callable[[], Models],
    about: str,
    *,
    picture: str = PICTURE,
    words: str = PROMPT,
    unwanted: str = NEGATIVE,
    **stage1: Any,
) -> None:
    """The whole method; ``loaders`` adds the loaders and gives what they load."""
    image, prompt = start(graph, ABOUT_REFINING, picture, words)
    with graph.group("2 · Models"):
        models = loaders()
        quality, model, clip, vae = models[:4]
        graph.column()
        graph.note(about, "Which files, and where they go", width=400, height=max(500, len(about) // 3))
    with graph.group("3 · Find what is wrong"):
        perceptual, alignment = measure(graph, quality, image, prompt)
        graph.column()
        mask = mask_of(graph, perceptual, alignment)
        graph.column()
        previews(graph, perceptual, alignment, mask)
    with graph.group("4 · Decide what to do"):
        plan = graph.node(
            "GRefinePlan",
            perceptual_score=perceptual["score"],
            alignment_score=alignment["score"],
            area=mask["area"],
            worst_region=perceptual["worst_region"],
        )
        emphasis = graph.node("GRefinePromptEmphasis", prompt=prompt, phrases=alignment["phrases"])
        positive = graph.node("CLIPTextEncode", "Emphasised prompt", clip=clip, text=emphasis["emphasized_prompt"])
        negative = graph.node("CLIPTextEncode", "Negative prompt", clip=clip, text=unwanted)
    conditions = {"positive": positive["conditioning"], "negative": negative["conditioning"]}
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
            **conditions,
            **SAMPLING,
            **stage1,
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
        if models.restorer is None:
            made = graph.node("GRefineRestorerFromModel", model=model, vae=vae, **conditions, **SAMPLING)
            restorer = made["restorer"]
        else:
            restorer, caption["prompt"] = models.restorer, prompt
        restored = graph.node(
            "GRefineStage2Restore",
            image=guarded["image"],
            restorer=restorer,
            run=plan["run_stage2"],
            strength=plan["stage2_strength"],
            steps=plan["stage2_steps"],
            **caption,
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
    with graph.group("7 · Result"):
        graph.node(
            "SaveImage", "Refined picture", images=final["image"], filename_prefix="G-Refine/refined", height=340
        )
        report = graph.node(
            "GRefineQualityReport",
            before=image,
            after=final["image"],
            quality_model=quality,
            prompt=prompt,
            emphasized_prompt=emphasis["emphasized_prompt"],
            phrases=alignment["phrases"],
            perceptual_defects=perceptual["defect_map"],
            alignment_defects=alignment["defect_map"],
            denoise_mask=mask["denoise_mask"],
            plan_reason=plan["reason"],
            stage1_guard=guarded["guard_report"],
            stage2_guard=final["guard_report"],
            preview=260,
        )
        graph.column()
        graph.node("SaveImage", "Report", images=report["sheet"], filename_prefix=f"{PREFIX}/report", height=340)
        graph.node("PreviewAny", "Report as JSON", source=report["report_json"], height=360)


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
    refine(graph, lambda: sdxl_models(graph), ABOUT_SDXL, crop_size="native", native_side=1024)


def sdxl_inpainting_pasd(graph: Graph) -> None:
    """The full graph with both models of the paper: the inpainting model, and PASD for stage 2."""

    def loaders() -> Models:
        models = sdxl_models(graph)
        graph.column()
        pasd = graph.node("GRefineLoadPASD", pasd=PASD, base=FILES["sd15"], personalised="none")
        return models._replace(restorer=pasd["restorer"])

    refine(graph, loaders, ABOUT_SDXL_PASD, crop_size="native", native_side=1024)


def ordinary_checkpoint(graph: Graph) -> None:
    """The full graph with any checkpoint that draws pictures, no inpainting model needed."""

    def loaders() -> Models:
        quality = quality_loader(graph)
        checkpoint = graph.node("CheckpointLoaderSimple", "Checkpoint", ckpt_name=FILES["checkpoint"])
        return Models(quality, checkpoint["model"], checkpoint["clip"], checkpoint["vae"])

    refine(graph, loaders, ABOUT_ORDINARY)


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
    "grefine_ordinary_checkpoint": ordinary_checkpoint,
    "grefine_miniature": miniature,
    "grefine_maps_only": maps_only,
    "grefine_score_only": score_only,
}


def build(object_info: Mapping[str, Any]) -> dict[str, str]:
    """The text of every file, by its path inside ``workflows/``."""
    files = {}
    for name, describe in GRAPHS.items():
        graph = Graph(name, object_info)
        describe(graph)
        files[f"{name}.json"] = json.dumps(graph.ui(), indent=2, ensure_ascii=False) + "\n"
        files[f"api/{name}.json"] = json.dumps(graph.api(), indent=2, ensure_ascii=False) + "\n"
    return files


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or check them."""
    parser = argparse.ArgumentParser(description="Writes the shipped workflows.")
    parser.add_argument("--check", action="store_true", help="change nothing, say what is out of date")
    parser.add_argument("--output", type=Path, default=ROOT / "workflows", help="folder to write to")
    parser.add_argument("--object-info", type=Path, nargs="+", default=RECORDED, help="recorded /object_info files")
    options = parser.parse_args(arguments)
    object_info: dict[str, Any] = {}
    for path in options.object_info:
        object_info |= json.loads(path.read_text(encoding="utf-8"))
    stale = 0
    for name, text in build(object_info).items():
        path = options.output / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{'out of date' if options.check else 'written'}: {path}\n")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
