"""Files that some of the shipped workflows need beside the paper's models: other models for both stages."""

from __future__ import annotations

from collections.abc import Mapping

from .entry import HUB, ModelEntry

_FLUX_TEXT = "comfyanonymous/flux_text_encoders"

SD15_INPAINTING = ModelEntry(
    id="sd15-inpainting",
    title="Stable Diffusion 1.5 inpainting",
    used_for="Stage-1 and Stage-2, the smallest of the inpainting models (ComfyUI: models/checkpoints)",
    licence="CreativeML Open RAIL-M",
    source=f"{HUB}/webui/stable-diffusion-inpainting",
    names=("sd-v1-5-inpainting.safetensors", "sd-v1-5-inpainting.ckpt"),
    repository="webui/stable-diffusion-inpainting",
    file="sd-v1-5-inpainting.safetensors",
    size=4_270_000_000,
    folder="checkpoints",
    shapes={
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (49408, 768),
        "first_stage_model.encoder.conv_in.weight": (128, 3, 3, 3),
        "model.diffusion_model.input_blocks.0.0.weight": (320, 9, 3, 3),
    },
)

SDXL = ModelEntry(
    id="sdxl-base",
    title="SDXL 1.0",
    used_for="Stage-1 and, with SUPIR, Stage-2; any other SDXL does as well (ComfyUI: models/checkpoints)",
    licence="CreativeML Open RAIL++-M",
    source=f"{HUB}/stabilityai/stable-diffusion-xl-base-1.0",
    names=("sd_xl_base_1.0.safetensors",),
    repository="stabilityai/stable-diffusion-xl-base-1.0",
    file="sd_xl_base_1.0.safetensors",
    size=6_940_000_000,
    folder="checkpoints",
    shapes={
        "first_stage_model.encoder.conv_in.weight": (128, 3, 3, 3),
        "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
        "model.diffusion_model.label_emb.0.0.weight": (1280, 2816),
    },
)

FLUX_FILL = ModelEntry(
    id="flux-fill",
    title="FLUX.1 Fill [dev]",
    used_for="Stage-1 and Stage-2 by Flux (ComfyUI: models/diffusion_models)",
    licence="FLUX.1 [dev] Non-Commercial License",
    source=f"{HUB}/black-forest-labs/FLUX.1-Fill-dev",
    names=("flux1-fill-dev.safetensors",),
    repository="Comfy-Org/flux1-dev",
    file="split_files/diffusion_models/flux1-fill-dev.safetensors",
    size=23_800_000_000,
    folder="diffusion_models",
    shapes={"img_in.weight": (3072, 384), "txt_in.weight": (3072, 4096)},
)

FLUX_CLIP_L = ModelEntry(
    id="flux-clip-l",
    title="Text encoder CLIP-L (half precision)",
    used_for="Flux (ComfyUI: models/text_encoders)",
    licence="MIT",
    source=f"{HUB}/{_FLUX_TEXT}",
    names=("clip_l.safetensors",),
    repository=_FLUX_TEXT,
    file="clip_l.safetensors",
    size=246_000_000,
    folder="text_encoders",
    shapes={"text_model.embeddings.token_embedding.weight": (49408, 768)},
)

T5 = ModelEntry(
    id="flux-t5xxl",
    title="Text encoder T5-XXL (half precision)",
    used_for="Flux (ComfyUI: models/text_encoders)",
    licence="Apache-2.0",
    source=f"{HUB}/{_FLUX_TEXT}",
    names=("t5xxl_fp16.safetensors",),
    repository=_FLUX_TEXT,
    file="t5xxl_fp16.safetensors",
    size=9_790_000_000,
    folder="text_encoders",
    shapes={"encoder.block.23.layer.1.DenseReluDense.wi_1.weight": (10240, 4096)},
)

FLUX_VAE = ModelEntry(
    id="flux-vae",
    title="VAE of Flux",
    used_for="Flux (ComfyUI: models/vae)",
    licence="Apache-2.0",
    source=f"{HUB}/Comfy-Org/Lumina_Image_2.0_Repackaged",
    names=("ae.safetensors",),
    repository="Comfy-Org/Lumina_Image_2.0_Repackaged",
    file="split_files/vae/ae.safetensors",
    size=335_000_000,
    folder="vae",
    shapes={"encoder.conv_in.weight": (128, 3, 3, 3), "decoder.conv_in.weight": (512, 16, 3, 3)},
)


def _repackaged(
    id_: str,
    title: str,
    used_for: str,
    folder: str,
    repository: str,
    file: str,
    size: int,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    *,
    source: str = "",
    licence: str = "Apache-2.0",
) -> ModelEntry:
    """A file as ComfyUI's own templates name it; ``source``: the page of its authors, where that is another one."""
    return ModelEntry(
        id=id_,
        title=title,
        used_for=f"{used_for} (ComfyUI: models/{folder})",
        licence=licence,
        source=f"{HUB}/{source or repository}",
        names=(file.rpartition("/")[2],),
        repository=repository,
        file=file,
        size=size,
        folder=folder,
        shapes=shapes or {},
    )


_Z_IMAGE, _QWEN, _QWEN_EDIT = (
    "Comfy-Org/z_image_turbo",
    "Comfy-Org/Qwen-Image_ComfyUI",
    "Comfy-Org/Qwen-Image-Edit_ComfyUI",
)
_LIGHT = "lightx2v/Qwen-Image"
_QWEN_SHAPES = {"img_in.weight": (3072, 64), "txt_in.weight": (3072, 3584)}

#: Of those without shapes nobody here has seen the tensors.
_NEWER = (
    _repackaged(
        "z-image-turbo",
        "Z-Image-Turbo (half precision)",
        "Stage-1 and Stage-2 in eight steps each",
        "diffusion_models",
        _Z_IMAGE,
        "split_files/diffusion_models/z_image_turbo_bf16.safetensors",
        12_310_000_000,
        {"cap_embedder.1.weight": (3840, 2560)},
        source="Tongyi-MAI/Z-Image-Turbo",
    ),
    _repackaged(
        "qwen3-4b",
        "Text encoder Qwen3 4B (half precision)",
        "Z-Image and Flux.2 Klein",
        "text_encoders",
        _Z_IMAGE,
        "split_files/text_encoders/qwen_3_4b.safetensors",
        8_045_000_000,
        {"model.embed_tokens.weight": (151936, 2560)},
        source="Qwen/Qwen3-4B",
    ),
    _repackaged(
        "qwen-image",
        "Qwen-Image (8 bits)",
        "Stage-1 and Stage-2 by Qwen-Image",
        "diffusion_models",
        _QWEN,
        "split_files/diffusion_models/qwen_image_fp8_e4m3fn.safetensors",
        20_430_000_000,
        _QWEN_SHAPES,
        source="Qwen/Qwen-Image",
    ),
    _repackaged(
        "qwen-image-lightning",
        "Lightning for Qwen-Image, a LoRA",
        "Qwen-Image in four steps",
        "loras",
        f"{_LIGHT}-Lightning",
        "Qwen-Image-Lightning-4steps-V1.0.safetensors",
        1_700_000_000,
    ),
    _repackaged(
        "qwen25-vl-7b",
        "Text encoder Qwen2.5-VL 7B (8 bits)",
        "Qwen-Image and Qwen-Image-Edit",
        "text_encoders",
        _QWEN,
        "split_files/text_encoders/qwen_2.5_vl_7b_fp8_scaled.safetensors",
        9_380_000_000,
        {"model.embed_tokens.weight": (152064, 3584)},
        source="Qwen/Qwen2.5-VL-7B-Instruct",
    ),
    _repackaged(
        "qwen-image-vae",
        "VAE of Qwen-Image",
        "Qwen-Image and Qwen-Image-Edit",
        "vae",
        _QWEN,
        "split_files/vae/qwen_image_vae.safetensors",
        254_000_000,
        source="Qwen/Qwen-Image",
    ),
    _repackaged(
        "qwen-image-inpainting",
        "Inpainting ControlNet of Qwen-Image, by InstantX",
        "Stage-1 by Qwen-Image",
        "controlnet",
        "Comfy-Org/Qwen-Image-InstantX-ControlNets",
        "split_files/controlnet/Qwen-Image-InstantX-ControlNet-Inpainting.safetensors",
        4_235_000_000,
        {"controlnet_x_embedder.weight": (3072, 68)},
        source="InstantX/Qwen-Image-ControlNet-Inpainting",
    ),
    _repackaged(
        "qwen-image-edit",
        "Qwen-Image-Edit 2511 (8 bits)",
        "Stage-1 by words, and Stage-2",
        "diffusion_models",
        "Comfy-Org/Qwen-Image-Edit_ComfyUI",
        "split_files/diffusion_models/qwen_image_edit_2511_fp8mixed.safetensors",
        20_500_000_000,
        _QWEN_SHAPES,
        source="Qwen/Qwen-Image-Edit-2511",
    ),
    _repackaged(
        "qwen-image-edit-lightning",
        "Lightning for Qwen-Image-Edit 2511, a LoRA",
        "Qwen-Image-Edit in four steps",
        "loras",
        f"{_LIGHT}-Edit-2511-Lightning",
        "Qwen-Image-Edit-2511-Lightning-4steps-V1.0-bf16.safetensors",
        850_000_000,
    ),
    _repackaged(
        "flux2-klein-4b",
        "FLUX.2 [klein] 4B, distilled (8 bits)",
        "Stage-1 by words, and Stage-2",
        "diffusion_models",
        "black-forest-labs/FLUX.2-klein-4b-fp8",
        "flux-2-klein-4b-fp8.safetensors",
        3_900_000_000,
        source="black-forest-labs/FLUX.2-klein-4B",
    ),
    _repackaged(
        "flux2-vae",
        "VAE of FLUX.2",
        "Flux.2 Klein",
        "vae",
        "Comfy-Org/flux2-dev",
        "split_files/vae/flux2-vae.safetensors",
        336_000_000,
        {"bn.running_mean": (128,)},
        source="black-forest-labs/FLUX.2-klein-4B",
    ),
    _repackaged(
        "seedvr2-3b",
        "SeedVR2 3B (8 bits)",
        "Stage-2",
        "diffusion_models",
        "Comfy-Org/SeedVR2",
        "diffusion_models/seedvr2_3b_int8_convrot.safetensors",
        3_400_000_000,
        source="ByteDance-Seed/SeedVR2-3B",
    ),
    _repackaged(
        "seedvr2-vae",
        "VAE of SeedVR2 (half precision)",
        "Stage-2 by SeedVR2",
        "vae",
        "Comfy-Org/SeedVR2",
        "vae/seedvr2_ema_vae_fp16.safetensors",
        501_000_000,
        {"decoder.up_blocks.2.upsamplers.0.upscale_conv.weight": (1024, 256, 1, 1, 1)},
        source="ByteDance-Seed/SeedVR2-3B",
    ),
)

TEMPLATE_FILES: tuple[ModelEntry, ...] = (SD15_INPAINTING, SDXL, FLUX_FILL, FLUX_CLIP_L, T5, FLUX_VAE, *_NEWER)
