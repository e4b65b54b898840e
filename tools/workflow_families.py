"""The shipped workflows for families that came after SDXL and Flux Fill, one function each.

Settings and files are those of ComfyUI's own templates for the same models. Text encoders that are language models
know no weights of words: emphasis repeats them there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from workflow_boxes import AT_NATIVE_SIZE, models_box, paragraphs, refine
from workflow_models import FILES
from workflow_notes import (
    ABOUT_EDITING,
    ABOUT_REFINING,
    ABOUT_SEEDVR2,
    ABOUT_TURBO,
    ABOUT_WITH_CONTROL,
    NEEDS_HOST,
    files,
)
from workflow_parts import Conditions, Decided, Found, Models, Way, emphasised
from workflow_subgraphs import Port, add_subgraph
from workflow_writer import Graph, Node, Output, kind_of

#: An edit model shows its reference at a million pixels, whatever its own native side is; crops of that size fit it.
_EDITED_SIDE = 1024
#: Of models that were distilled to few steps: as many in each stage, and nothing that is unwanted.
_FEW_STEPS, _DISTILLED = 4, {"cfg": 1.0}
_FAMILY_FILES = ("unet_name", "clip_name", "vae_name")


def _one_prompt(graph: Graph, models: Models, emphasized: Output, unwanted: str | Output) -> Conditions:  # noqa: ARG001
    """For distilled models: cfg 1 asks for no negative prompt, but the nodes for one."""
    encoded = emphasised(graph, models, emphasized)
    nothing = graph.node("ConditioningZeroOut", "No negative prompt", conditioning=encoded, collapsed=True)
    return Conditions(encoded, nothing["conditioning"])


def _distilled(steps: int, **more: Any) -> Way:
    """How a model is used that was distilled to so many steps."""
    return replace(
        AT_NATIVE_SIZE,
        emphasis={"style": "repeat"},
        encode=_one_prompt,
        negative=False,
        steps=2 * steps,
        **more,
    )


def _three_loaders(graph: Graph, given: Mapping[str, Output], title: str, kind: str) -> dict[str, Output]:
    """Network, text encoder and VAE, each in a file of its own."""
    unet = graph.node("UNETLoader", title, unet_name=given["unet_name"])
    clip = graph.node("CLIPLoader", "Text encoder", clip_name=given["clip_name"], type=kind)
    vae = graph.node("VAELoader", "VAE", vae_name=given["vae_name"])
    return {"model": unet["model"], "clip": clip["clip"], "vae": vae["vae"]}


def _z_image(graph: Graph, given: Mapping[str, Output]) -> dict[str, Output]:
    with graph.group("Z-Image-Turbo"):
        return _three_loaders(graph, given, "Z-Image-Turbo", "lumina2")


_Z_IMAGE_FILES = dict(zip(_FAMILY_FILES, (FILES["z_image"], FILES["qwen3"], FILES["flux_vae"]), strict=True))
_Z_IMAGE_IDS = ("clip-vit-b-16", "z-image-turbo", "qwen3-4b", "flux-vae")
_TURBO_STEPS = 8


def z_image_turbo(graph: Graph) -> None:
    """The full graph with Z-Image-Turbo, an ordinary model: sampler, cfg and size are those of its family."""
    about = paragraphs(ABOUT_REFINING, NEEDS_HOST.format("0.8"), ABOUT_TURBO, files(*_Z_IMAGE_IDS))
    refine(graph, models_box(_Z_IMAGE_FILES, _z_image), about, _distilled(_TURBO_STEPS))


def z_image_turbo_seedvr2(graph: Graph) -> None:
    """Z-Image-Turbo for stage 1, SeedVR2 for stage 2 through ComfyUI's own nodes."""

    def build(inner: Graph, given: Mapping[str, Output]) -> dict[str, Output]:
        models = _z_image(inner, given)
        with inner.group("SeedVR2"):
            unet = inner.node("UNETLoader", "SeedVR2", unet_name=given["seedvr2_name"])
            vae = inner.node("VAELoader", "VAE of SeedVR2", vae_name=given["seedvr2_vae_name"])
        return {**models, "restoring_model": unet["model"], "restoring_vae": vae["vae"]}

    named = {**_Z_IMAGE_FILES, "seedvr2_name": FILES["seedvr2"], "seedvr2_vae_name": FILES["seedvr2_vae"]}
    listed = files(*_Z_IMAGE_IDS, "seedvr2-3b", "seedvr2-vae")
    about = paragraphs(ABOUT_REFINING, NEEDS_HOST.format("0.28"), ABOUT_SEEDVR2, listed)
    refine(graph, models_box(named, build), about, _distilled(_TURBO_STEPS, restore=_seedvr2))


def _seedvr2(graph: Graph, found: Found, models: Models, decided: Decided, image: Output, way: Way) -> Output:  # noqa: ARG001
    """Stage 2 in one step of SeedVR2, which looks at the picture as a whole.

    *Split Regions* with all of the picture as its only region: nothing is loaded unless the plan says so, and the sides
    are filled up to what SeedVR2 takes.
    """
    model, vae = models.restoring_model, models.restoring_vae
    assert model is not None
    assert vae is not None
    size = graph.node("GetImageSize", image=image, collapsed=True)
    everything = graph.node("SolidMask", "All of the picture", value=1.0, inputs=_sides(size), collapsed=True)
    split = graph.node(
        "GRefineSplitRegions",
        "The picture, if stage 2 runs",
        image=image,
        run=decided.plan["run_stage2"],
        denoise_mask=everything["mask"],
        crop_size="source",
        min_side=16,
        context=0.0,
        own_phrases=False,
        size_multiple=16,
        **way.stage2,
    )

    def inside(inner: Graph, given: Node) -> dict[str, Output]:
        with inner.group("One step of SeedVR2"):
            return {"restored": _one_step(inner, given)}

    given = {"model": model, "vae": vae, "crops": split["crops"], "seeds": split["seeds"]}
    restored = _box(graph, "SeedVR2", inside, "One step of SeedVR2, in tiles.", given)
    merged = graph.node(
        "GRefineMergeRegions",
        image=image,
        regions=split["regions"],
        repaired=restored["restored"],
        color_match=False,  # SeedVR2's own node has done that
    )
    return merged["merged_image"]


def _one_step(graph: Graph, given: Node) -> Output:
    padded = graph.node("SeedVR2Preprocess", resized_images=given["crops"])
    tiles = {"tile_size": 512, "overlap": 128, "temporal_size": 4096, "temporal_overlap": 8, "vae": given["vae"]}
    latent = graph.node("VAEEncodeTiled", pixels=padded["images"], **tiles)["latent"]
    shown = graph.node("SeedVR2Conditioning", model=given["model"], vae_conditioning=latent)
    sampled = graph.node(
        "KSampler",
        "One step",
        model=given["model"],
        positive=shown["positive"],
        negative=shown["negative"],
        latent_image=latent,
        seed=given["seeds"],
        steps=1,
        cfg=1.0,
        sampler_name="euler",
        scheduler="simple",
        denoise=1.0,
    )
    decoded = graph.node("VAEDecodeTiled", samples=sampled["latent"], **tiles)["image"]
    return graph.node("SeedVR2PostProcessing", images=decoded, original_resized_images=given["crops"])["images"]


def _sides(size: Node) -> dict[str, Output]:
    """Of a picture, for nodes that ask for them."""
    return {side: size[side] for side in ("width", "height")}


def _lightning(graph: Graph, given: Mapping[str, Output], title: str) -> dict[str, Output]:
    """Qwen-Image or Qwen-Image-Edit with its LoRA for four steps, and the shift that ComfyUI's own templates give."""
    models = _three_loaders(graph, given, title, "qwen_image")
    fast = graph.node(
        "LoraLoaderModelOnly", "In four steps", model=models["model"], lora_name=given["lora_name"], strength_model=1.0
    )
    shifted = graph.node("ModelSamplingAuraFlow", model=fast["model"], shift=3.1)
    return {**models, "model": shifted["model"]}


_QWEN_TEXT = {"clip_name": FILES["qwen25"], "vae_name": FILES["qwen_vae"]}
_QWEN_TEXT_IDS = ("qwen25-vl-7b", "qwen-image-vae")


def qwen_image_inpainting(graph: Graph) -> None:
    """The full graph with Qwen-Image, which a ControlNet shows what is around the hidden part."""

    def build(inner: Graph, given: Mapping[str, Output]) -> dict[str, Output]:
        with inner.group("Qwen-Image"):
            models = _lightning(inner, given, "Qwen-Image")
        with inner.group("ControlNet"):
            loaded = inner.node("ControlNetLoader", "Inpainting", control_net_name=given["control_net_name"])
        return {**models, "control_net": loaded["control_net"]}

    def steering(graph: Graph, models: Models, found: Found, conditions: Conditions) -> Conditions:
        # Made for the whole picture; what every crop is shown of it is cut by Stage-1 Inpaint.
        assert models.control_net is not None
        shown = graph.node(
            "ControlNetInpaintingAliMamaApply",
            "What is around the hidden part",
            collapsed=True,
            control_net=models.control_net,
            vae=models.vae,
            image=found.image,
            mask=found.denoise_mask,
            **conditions._asdict(),
        )
        return Conditions(shown["positive"], shown["negative"])

    named = {
        "unet_name": FILES["qwen_image"],
        "lora_name": FILES["qwen_lightning"],
        **_QWEN_TEXT,
        "control_net_name": FILES["qwen_control"],
    }
    listed = files("clip-vit-b-16", "qwen-image", "qwen-image-lightning", *_QWEN_TEXT_IDS, "qwen-image-inpainting")
    way = _distilled(_FEW_STEPS, steering=steering, restorer=_DISTILLED)
    way = replace(way, stage1={**way.stage1, **_DISTILLED})
    refine(graph, models_box(named, build), paragraphs(ABOUT_REFINING, ABOUT_WITH_CONTROL, listed), way)


#: What stands between *Split Regions* and *Merge Regions*: (graph, models, split, instructions) -> the crops, edited.
Edit = Callable[[Graph, Models, Node, Output], Output]


def _editing(edit: Edit) -> Callable[[Graph, Found, Models, Decided, Way], Output]:
    """Stage 1 by a model that edits by words: every region is told what was found there."""

    def redraw(graph: Graph, found: Found, models: Models, decided: Decided, way: Way) -> Output:
        split = graph.node(
            "GRefineSplitRegions",
            image=found.image,
            plan=decided.plan["plan"],
            model=models.model,
            vae=models.vae,
            **{**way.stage1, "native_side": _EDITED_SIDE},
        )

        def inside(inner: Graph, given: Node) -> dict[str, Output]:
            with inner.group("Edit each part"):
                told = inner.node("GRefineRepairInstruction", regions=given["regions"])
                own = Models(given["model"], given["clip"], given["vae"])
                return {"edited": edit(inner, own, given, told["region_instructions"])}

        given = {"model": models.model, "clip": models.clip, "vae": models.vae}
        given |= {name: split[name] for name in ("crops", "crop_masks", "regions", "seeds", "steps")}
        edited = _box(graph, "Edit by words", inside, "Tells the model what to do about each part.", given)
        parts = {"regions": split["regions"], "repaired": edited["edited"]}
        return graph.node("GRefineMergeRegions", image=found.image, **parts)["merged_image"]

    return redraw


def _box(
    graph: Graph,
    title: str,
    inside: Callable[[Graph, Node], Mapping[str, Output]],
    description: str,
    given: Mapping[str, Output],
) -> Node:
    """A box in a box, all of whose inputs are linked: numbers are widgets of the nodes inside."""
    kinds = {name: kind_of(output) for name, output in given.items()}
    ports = [Port(name, kind, widget=kind == "INT") for name, kind in kinds.items()]
    return add_subgraph(graph, title, ports, inside, description=description, **given)


def _hidden(graph: Graph, models: Models, split: Node) -> tuple[Output, Output]:
    """The crops as latents, as they are, and with the part that is to be edited."""
    latent = graph.node("VAEEncode", "The crop", pixels=split["crops"], vae=models.vae)["latent"]
    hidden = graph.node("SetLatentNoiseMask", "Edit only there", samples=latent, mask=split["crop_masks"])
    return latent, hidden["latent"]


def _edit_by_qwen(graph: Graph, models: Models, split: Node, words: Output) -> Output:
    told = graph.node(
        "TextEncodeQwenImageEditPlus",
        "What to do, with the crop",
        clip=models.clip,
        vae=models.vae,
        image1=split["crops"],
        prompt=words,
    )
    method = graph.node(
        "FluxKontextMultiReferenceLatentMethod",
        "How it is shown the crop",  # older hosts call it by its class, which is wider than a column
        conditioning=told["conditioning"],
        reference_latents_method="index_timestep_zero",
    )
    nothing = graph.node("ConditioningZeroOut", "No negative prompt", conditioning=method["conditioning"])
    _, hidden = _hidden(graph, models, split)
    sampled = graph.node(
        "KSampler",
        model=models.model,
        positive=method["conditioning"],
        negative=nothing["conditioning"],
        latent_image=hidden,
        seed=split["seeds"],
        steps=split["steps"],
        cfg=1.0,
        sampler_name="euler",
        scheduler="simple",
        denoise=1.0,
    )
    return graph.node("VAEDecode", samples=sampled["latent"], vae=models.vae)["image"]


def qwen_image_edit(graph: Graph) -> None:
    """The full graph with Qwen-Image-Edit between *Split Regions* and *Merge Regions*."""

    def build(inner: Graph, given: Mapping[str, Output]) -> dict[str, Output]:
        with inner.group("Qwen-Image-Edit"):
            return _lightning(inner, given, "Qwen-Image-Edit")

    named = {"unet_name": FILES["qwen_edit"], "lora_name": FILES["qwen_edit_lightning"], **_QWEN_TEXT}
    listed = files("clip-vit-b-16", "qwen-image-edit", "qwen-image-edit-lightning", *_QWEN_TEXT_IDS)
    about = paragraphs(ABOUT_REFINING, NEEDS_HOST.format("0.8"), ABOUT_EDITING, listed)
    way = _distilled(_FEW_STEPS, redraw=_editing(_edit_by_qwen), restorer=_DISTILLED)
    refine(graph, models_box(named, build), about, way)


def _edit_by_klein(graph: Graph, models: Models, split: Node, words: Output) -> Output:
    told = graph.node("CLIPTextEncode", "What to do", clip=models.clip, text=words)["conditioning"]
    nothing = graph.node("ConditioningZeroOut", "No negative prompt", conditioning=told)["conditioning"]
    latent, hidden = _hidden(graph, models, split)
    positive, negative = (
        graph.node("ReferenceLatent", title, conditioning=conditioning, latent=latent)["conditioning"]
        for title, conditioning in (("With the crop", told), ("Without words", nothing))
    )
    guider = graph.node("CFGGuider", "Guider", model=models.model, positive=positive, negative=negative, cfg=1.0)
    size = graph.node("GetImageSize", image=split["crops"])
    levels = graph.node("Flux2Scheduler", "Noise levels", steps=split["steps"], inputs=_sides(size))
    noise = graph.node("RandomNoise", "Noise", noise_seed=split["seeds"])
    sampler = graph.node("KSamplerSelect", "Euler", sampler_name="euler")
    sampled = graph.node(
        "SamplerCustomAdvanced",
        "Sampler",
        noise=noise["noise"],
        guider=guider["guider"],
        sampler=sampler["sampler"],
        sigmas=levels["sigmas"],
        latent_image=hidden,
    )
    return graph.node("VAEDecode", samples=sampled["output"], vae=models.vae)["image"]


def flux2_klein_edit(graph: Graph) -> None:
    """The full graph with Flux.2 Klein, distilled, between *Split Regions* and *Merge Regions*."""

    def build(inner: Graph, given: Mapping[str, Output]) -> dict[str, Output]:
        with inner.group("Flux.2 Klein"):
            return _three_loaders(inner, given, "Flux.2 Klein", "flux2")

    named = dict(zip(_FAMILY_FILES, (FILES["klein"], FILES["qwen3"], FILES["flux2_vae"]), strict=True))
    listed = files("clip-vit-b-16", "flux2-klein-4b", "qwen3-4b", "flux2-vae")
    about = paragraphs(ABOUT_REFINING, NEEDS_HOST.format("0.10"), ABOUT_EDITING, listed)
    way = _distilled(_FEW_STEPS, redraw=_editing(_edit_by_klein), restorer=_DISTILLED)
    refine(graph, models_box(named, build), about, way)


FAMILIES: dict[str, Callable[[Graph], None]] = {
    "grefine_z_image_turbo": z_image_turbo,
    "grefine_z_image_turbo_seedvr2": z_image_turbo_seedvr2,
    "grefine_qwen_image_inpainting": qwen_image_inpainting,
    "grefine_qwen_image_edit": qwen_image_edit,
    "grefine_flux2_klein_edit": flux2_klein_edit,
}
