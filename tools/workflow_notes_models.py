"""What the notes say of the model files: which, how large, where from, where to."""

from __future__ import annotations

from workflow_notes import ABOUT_QUALITY_MODEL, AFTERWARDS, FILES, PASD

_HUB = "https://huggingface.co"
_SDXL = f"{_HUB}/diffusers/stable-diffusion-xl-1.0-inpainting-0.1/tree/main"
_SDXL_BASE = f"{_HUB}/stabilityai/stable-diffusion-xl-base-1.0/tree/main"
_PASD = f"{_HUB}/yangtao9009/PASD/tree/main"
_SD15 = f"{_HUB}/Comfy-Org/stable-diffusion-v1-5-archive/tree/main"
_SD15_INPAINTING = f"{_HUB}/webui/stable-diffusion-inpainting/tree/main"
_SUPIR = f"{_HUB}/Kijai/SUPIR_pruned/tree/main"
_FLUX = f"{_HUB}/Comfy-Org/flux1-dev/tree/main/split_files/diffusion_models"
_FLUX_TEXT = f"{_HUB}/comfyanonymous/flux_text_encoders/tree/main"
_FLUX_VAE = f"{_HUB}/Comfy-Org/Lumina_Image_2.0_Repackaged/tree/main/split_files/vae"

_SDXL_FILES = f"""\
{ABOUT_QUALITY_MODEL}

All others come from [diffusers/stable-diffusion-xl-1.0-inpainting-0.1]({_SDXL}); ComfyUI reads them as they are.

**Inpainting model** → `ComfyUI/models/diffusion_models/`

`unet/diffusion_pytorch_model.fp16.safetensors` (5.1 GB), saved as `{FILES["unet"]}`

**Text encoders** → `ComfyUI/models/text_encoders/`

`text_encoder/model.fp16.safetensors` (0.25 GB), saved as `{FILES["clip_l"]}`

`text_encoder_2/model.fp16.safetensors` (1.4 GB), saved as `{FILES["clip_g"]}`

**VAE** → `ComfyUI/models/vae/`

`vae/diffusion_pytorch_model.fp16.safetensors` (0.17 GB), saved as `{FILES["vae"]}`"""

ABOUT_SDXL = f"""\
{_SDXL_FILES}

{AFTERWARDS}"""

ABOUT_SDXL_PASD = f"""\
{_SDXL_FILES.replace("All others come", "Those of Stage 1 come")}

**PASD** → `ComfyUI/models/pasd/`

The folder `{PASD}` of [yangtao9009/PASD]({_PASD}) with `unet` (4.4 GB) and `controlnet` (1.5 GB), as it is: \
`models/pasd/{PASD}/unet/…`. `pasd_light` is smaller.

**Stable Diffusion 1.5**, which PASD stands on → `ComfyUI/models/checkpoints/`

`{FILES["sd15"]}` (2.1 GB) of [Comfy-Org/stable-diffusion-v1-5-archive]({_SD15}), or any other checkpoint of it.

{AFTERWARDS}"""

ABOUT_SD15 = f"""\
{ABOUT_QUALITY_MODEL}

**Inpainting model** → `ComfyUI/models/checkpoints/`

`{FILES["sd15_inpainting"]}` (4.3 GB) of [webui/stable-diffusion-inpainting]({_SD15_INPAINTING}), or any other \
inpainting checkpoint of Stable Diffusion 1.5. UNet, text encoder and VAE are inside.

The smallest of the full workflows; stage 2 restores with the same model. For pictures of 1,000 pixels and more set \
Stage-1's `crop_size` to `native` and `native_side` to 512, if large parts come out doubled.

{AFTERWARDS}"""

ABOUT_FLUX = f"""\
{ABOUT_QUALITY_MODEL}

**Flux Fill** → `ComfyUI/models/diffusion_models/`

`{FILES["flux_fill"]}` (23.8 GB) of [Comfy-Org/flux1-dev]({_FLUX}). On cards with less memory set `weight_dtype` to \
`fp8_e4m3fn`. Its licence is non-commercial (FLUX.1 [dev]).

**Text encoders** → `ComfyUI/models/text_encoders/`

`{FILES["flux_clip_l"]}` (0.25 GB) and `{FILES["t5"]}` (9.8 GB) of \
[comfyanonymous/flux_text_encoders]({_FLUX_TEXT})

**VAE** → `ComfyUI/models/vae/`

`{FILES["flux_vae"]}` (0.34 GB) of [Comfy-Org/Lumina_Image_2.0_Repackaged]({_FLUX_VAE})

Flux takes its strictness from *Guidance* (30, as this model was made for), not from `cfg`, which stays 1; there is no \
negative prompt. Its text encoder ignores weights, so *Prompt Emphasis* says missed phrases once more (`repeat`).

{AFTERWARDS}"""

ABOUT_SUPIR = f"""\
**Needs ComfyUI 0.20 or newer**: older ones lack the node *SUPIRApply* and show it as missing. With those take \
*grefine_sdxl_inpainting_pasd*.

{ABOUT_QUALITY_MODEL}

**SDXL**, for both stages → `ComfyUI/models/checkpoints/`

`{FILES["sdxl"]}` (6.9 GB) of [stabilityai/stable-diffusion-xl-base-1.0]({_SDXL_BASE}), or any other SDXL checkpoint.

**SUPIR**, for stage 2 → `ComfyUI/models/model_patches/`

`{FILES["supir"]}` (2.7 GB) of [Kijai/SUPIR_pruned]({_SUPIR}); `SUPIR-v0F_fp16.safetensors` changes less. Its \
licence is non-commercial.

SUPIR is guided by the picture that stage 2 gets, so it may be stronger than a plain model: raise *Refine Plan*'s \
`stage2_strength`, up to 1 for the full pass that it was made for. The guard takes back what got worse.

{AFTERWARDS}"""
