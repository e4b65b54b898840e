"""The model files that the project knows, and which of them each shipped workflow asks for.

Those of other models than the paper's: ``template_files.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import InputError
from .entry import HUB, ModelEntry
from .template_files import TEMPLATE_FILES

SHIPPED_EMBEDDINGS = Path(__file__).parents[1] / "data" / "pq_embeddings.safetensors"


CLIP = ModelEntry(
    id="clip-vit-b-16",
    title="CLIP ViT-B/16 (OpenAI)",
    used_for="the quality model (PQ-Map and AQ-Map)",
    licence="MIT",
    source="https://github.com/openai/CLIP",
    names=("open_clip_model.safetensors", "clip-vit-b-16-openai.safetensors", "ViT-B-16.safetensors"),
    repository="timm/vit_base_patch16_clip_224.openai",
    file="open_clip_model.safetensors",
    size=598_500_000,
    shapes={
        "visual.conv1.weight": (768, 3, 16, 16),
        "visual.proj": (768, 512),
        "visual.positional_embedding": (197, 768),
        "visual.transformer.resblocks.11.attn.in_proj_weight": (2304, 768),
        "token_embedding.weight": (49408, 512),
        "text_projection": (512, 512),
    },
)

EMBEDDINGS = ModelEntry(
    id="pq-embeddings",
    title="PQ embeddings (published by the authors)",
    used_for="the quality model (PQ-Map)",
    licence="Apache-2.0",
    source="https://github.com/Q-Future/Q-Refine",
    names=("pq_embeddings.safetensors",),
    size=1_262_648,
    sha256="bb7b4713925c512139561364f777049afbf6127363d0168c9d0d8aee3ae5d12f",
    shapes=dict.fromkeys(("overall", "technical", "rational", "natural"), (2, 77, 512)),
    shipped=SHIPPED_EMBEDDINGS,
)

IMAGE_REWARD = ModelEntry(
    id="imagereward",
    title="ImageReward 1.0",
    used_for="another encoder for AQ-Map, beside the quality model's CLIP (needs bert-base-uncased-vocab, too)",
    licence="Apache-2.0",
    source="https://github.com/THUDM/ImageReward",
    names=("ImageReward.pt", "ImageReward.safetensors"),
    repository="THUDM/ImageReward",
    file="ImageReward.pt",
    size=1_790_000_000,
    shapes={
        "blip.visual_encoder.pos_embed": (1, 197, 1024),
        "blip.visual_encoder.blocks.23.attn.qkv.weight": (3072, 1024),
        "blip.text_encoder.embeddings.word_embeddings.weight": (30524, 768),
        "blip.text_encoder.encoder.layer.11.crossattention.self.key.weight": (768, 1024),
        "mlp.layers.0.weight": (1024, 768),
        "mlp.layers.7.weight": (1, 16),
    },
)

BERT_VOCABULARY = ModelEntry(
    id="bert-base-uncased-vocab",
    title="Vocabulary of bert-base-uncased",
    used_for="ImageReward's tokenizer",
    licence="Apache-2.0",
    source=f"{HUB}/google-bert/bert-base-uncased",
    names=("bert-base-uncased-vocab.txt",),
    repository="google-bert/bert-base-uncased",
    file="vocab.txt",
    size=231_508,
    sha256="07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
)


def _sdxl(
    part: str,
    title: str,
    used_for: str,
    names: tuple[str, ...],
    file: str,
    size: int,
    folder: str,
    shapes: Mapping[str, tuple[int, ...]],
) -> ModelEntry:
    """One file of SDXL-inpainting, all from one repository under one licence."""
    repository = "diffusers/stable-diffusion-xl-1.0-inpainting-0.1"
    return ModelEntry(
        id=f"sdxl-{part}",
        title=title,
        used_for=used_for,
        licence="CreativeML Open RAIL++-M",
        source=f"{HUB}/{repository}",
        names=names,
        repository=repository,
        file=file,
        size=size,
        shapes=shapes,
        folder=folder,
    )


SD15 = ModelEntry(
    id="sd15-checkpoint",
    title="Stable Diffusion 1.5 (half precision)",
    used_for="Stage-2: what PASD stands on; any other Stable Diffusion 1.5 does as well (ComfyUI: models/checkpoints)",
    licence="CreativeML Open RAIL-M",
    source=f"{HUB}/Comfy-Org/stable-diffusion-v1-5-archive",
    names=("v1-5-pruned-emaonly-fp16.safetensors", "v1-5-pruned-emaonly.safetensors"),
    repository="Comfy-Org/stable-diffusion-v1-5-archive",
    file="v1-5-pruned-emaonly-fp16.safetensors",
    size=2_130_000_000,
    folder="checkpoints",
    shapes={
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (49408, 768),
        "first_stage_model.encoder.conv_in.weight": (128, 3, 3, 3),
        "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
    },
)


def _pasd(variant: str, checkpoint: str) -> tuple[ModelEntry, ModelEntry]:
    """UNet and ControlNet of one of PASD's variants; both go into the folder that its authors chose."""
    light, rrdb = "light" in variant, "rrdb" in variant
    own = ("up_blocks.1.attentions.0.proj_in_plus" if light else "up_blocks.1.pixel_attentions.0.proj_in") + ".weight"
    dense = {"controlnet_cond_embedding.preprocesser.0.rdb1.conv1.weight": (16, 16, 3, 3)} if rrdb else {}
    unet: dict[str, tuple[int, ...]] = {"conv_in.weight": (320, 4, 3, 3), own: (1280, 1280, 1, 1)}
    controlnet: dict[str, tuple[int, ...]] = {"controlnet_mid_block.weight": (1280, 1280, 1, 1), **dense}

    def entry(part: str, size: int, shapes: Mapping[str, tuple[int, ...]]) -> ModelEntry:
        repository = "yangtao9009/PASD"
        file = f"{variant}/{checkpoint}/{part.lower()}/diffusion_pytorch_model.safetensors"
        return ModelEntry(
            id=f"{variant.replace('_', '-')}-{part.lower()}",
            title=f"PASD ({variant}), {part}",
            used_for=f"Stage-2, with the {'ControlNet' if part == 'UNet' else 'UNet'} beside it and a Stable Diffusion "
            "1.5 (ComfyUI: models/pasd)",
            licence="Apache-2.0",
            source=f"{HUB}/{repository}",
            names=(file,),
            repository=repository,
            file=file,
            size=size,
            shapes=shapes,
            folder="pasd",
        )

    size = 3_550_000_000 if light else 4_430_000_000
    return entry("UNet", size, unet), entry("ControlNet", 1_450_000_000, controlnet)


REGISTRY: tuple[ModelEntry, ...] = (
    CLIP,
    EMBEDDINGS,
    IMAGE_REWARD,
    BERT_VOCABULARY,
    _sdxl(
        part="inpainting-unet",
        title="SDXL inpainting 0.1, UNet (half precision)",
        used_for="Stage-1 (ComfyUI: models/diffusion_models; diffusers: folder unet)",
        names=("diffusion_pytorch_model.fp16.safetensors", "sdxl-inpainting-unet.fp16.safetensors"),
        file="unet/diffusion_pytorch_model.fp16.safetensors",
        size=5_140_000_000,
        folder="diffusion_models",
        shapes={"conv_in.weight": (320, 9, 3, 3), "conv_out.weight": (4, 320, 3, 3)},
    ),
    _sdxl(
        part="text-encoder-l",
        title="SDXL text encoder CLIP-L (half precision)",
        used_for="Stage-1 (ComfyUI: models/text_encoders; diffusers: folder text_encoder)",
        names=("sdxl-text-encoder-l.fp16.safetensors", "clip_l.safetensors"),
        file="text_encoder/model.fp16.safetensors",
        size=246_000_000,
        folder="text_encoders",
        shapes={"text_model.embeddings.token_embedding.weight": (49408, 768)},
    ),
    _sdxl(
        part="text-encoder-g",
        title="SDXL text encoder OpenCLIP bigG (half precision)",
        used_for="Stage-1 (ComfyUI: models/text_encoders; diffusers: folder text_encoder_2)",
        names=("sdxl-text-encoder-g.fp16.safetensors", "clip_g.safetensors"),
        file="text_encoder_2/model.fp16.safetensors",
        size=1_390_000_000,
        folder="text_encoders",
        shapes={"text_model.embeddings.token_embedding.weight": (49408, 1280), "text_projection.weight": (1280, 1280)},
    ),
    _sdxl(
        part="vae",
        title="SDXL VAE (half precision)",
        used_for="Stage-1 and Stage-2 (ComfyUI: models/vae; diffusers: folder vae)",
        names=("sdxl-vae.fp16.safetensors", "sdxl_vae.safetensors"),
        file="vae/diffusion_pytorch_model.fp16.safetensors",
        size=167_000_000,
        folder="vae",
        shapes={"encoder.conv_in.weight": (128, 3, 3, 3), "decoder.conv_out.weight": (3, 128, 3, 3)},
    ),
    SD15,
    *_pasd("pasd", "checkpoint-100000"),
    *_pasd("pasd_light", "checkpoint-120000"),
    *_pasd("pasd_rrdb", "checkpoint-100000"),
    *_pasd("pasd_light_rrdb", "checkpoint-100000"),
    *TEMPLATE_FILES,
)


def entry_of(name: str) -> ModelEntry:
    """The entry with an id.

    Raises:
        InputError: there is none; lists the ids.
    """
    for entry in REGISTRY:
        if entry.id == name:
            return entry
    raise InputError(f"model: {name!r} is not known; choose one of {', '.join(entry.id for entry in REGISTRY)}.")


# Which known files each of the shipped workflows asks for, by their ids in the registry.

_SDXL = ("sdxl-inpainting-unet", "sdxl-base")
_Z_IMAGE = ("z-image-turbo", "qwen3-4b", "flux-vae")
_QWEN_TEXT = ("qwen25-vl-7b", "qwen-image-vae")

NEEDED: dict[str, tuple[str, ...]] = {
    "grefine_1_start_here": (),
    "grefine_score_only": (CLIP.id,),
    "grefine_maps_only": (CLIP.id,),
    "grefine_ordinary_checkpoint": (CLIP.id,),
    "grefine_sdxl_inpainting": (CLIP.id, *_SDXL),
    "grefine_sdxl_inpainting_pasd": (CLIP.id, *_SDXL, "pasd-unet", "pasd-controlnet", "sd15-checkpoint"),
    "grefine_sdxl_supir": (CLIP.id, "sdxl-base"),
    "grefine_sd15_inpainting": (CLIP.id, "sd15-inpainting"),
    "grefine_flux_fill": (CLIP.id, "flux-fill", "flux-clip-l", "flux-t5xxl", "flux-vae"),
    "grefine_z_image_turbo": (CLIP.id, *_Z_IMAGE),
    "grefine_z_image_turbo_seedvr2": (CLIP.id, *_Z_IMAGE, "seedvr2-3b", "seedvr2-vae"),
    "grefine_qwen_image_inpainting": (
        CLIP.id,
        "qwen-image",
        "qwen-image-lightning",
        *_QWEN_TEXT,
        "qwen-image-inpainting",
    ),
    "grefine_qwen_image_edit": (CLIP.id, "qwen-image-edit", "qwen-image-edit-lightning", *_QWEN_TEXT),
    "grefine_flux2_klein_edit": (CLIP.id, "flux2-klein-4b", "qwen3-4b", "flux2-vae"),
    "grefine_score_gated_batch": (CLIP.id,),
}
#: Names that workflows had before.
_FORMER = {"miniature": "grefine_1_start_here"}
#: What a user brings himself.
OWN: dict[str, str] = {
    "grefine_ordinary_checkpoint": "any checkpoint of yours, in models/checkpoints",
    "grefine_score_gated_batch": "any checkpoint of yours, in models/checkpoints",
    "grefine_sdxl_supir": "SUPIR-v0Q_fp16.safetensors of Kijai/SUPIR_pruned, in models/model_patches",
}


def needed_by(workflow: str) -> list[ModelEntry]:
    """The files that a shipped workflow asks for, beside what comes with the pack and what is the user's own.

    Args:
        workflow: its name, with or without ``grefine_`` in front and ``.json`` behind.

    Raises:
        InputError: there is no such workflow; lists those that there are.
    """
    return [entry_of(each) for each in NEEDED[_name(workflow)]]


def own_of(workflow: str) -> str | None:
    """What the user brings himself for a shipped workflow, in words, if anything. Argument and error: ``needed_by``."""
    return OWN.get(_name(workflow))


def _name(workflow: str) -> str:
    name = workflow.removesuffix(".json")
    name = _FORMER.get(name.removeprefix("grefine_"), name)
    for known in NEEDED:
        if name in (known, known.removeprefix("grefine_")):
            return known
    raise InputError(f"--for: {workflow!r} is no workflow of this pack; there are {', '.join(NEEDED)}.")
