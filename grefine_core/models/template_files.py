"""Files that some of the shipped workflows need beside the paper's models: other models for both stages."""

from __future__ import annotations

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

TEMPLATE_FILES: tuple[ModelEntry, ...] = (SD15_INPAINTING, SDXL, FLUX_FILL, FLUX_CLIP_L, T5, FLUX_VAE)
