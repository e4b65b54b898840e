"""What the notes inside the shipped workflows say."""

from __future__ import annotations

ABOUT_REFINING = """\
Finds what is wrong with a picture, perceptually and against its prompt, and repairs exactly that.

1. Choose a picture and write **the prompt it was made from**.
2. Put the model files in place (the note beside the loaders).
3. Queue.

A picture that is good already passes through untouched, and the image model is not even loaded. A change that makes \
the measured quality worse is taken back by the guards. The report shows what was found, done and kept.

Several pictures: give them as one batch, or run the workflow once for each; every picture is judged on its own."""

ABOUT_MAPS = """\
Shows **where** a picture is wrong: its perceptual defects, the parts that miss the prompt, and the mask that a repair \
would redraw. Nothing is changed and no image model is needed."""

ABOUT_SCORES = """\
Measures a picture: perceptual quality and alignment with its prompt, each between 0 and 1, and the prompt's phrases \
one by one. Nothing is changed and no image model is needed."""

# The names that `grefine models download` gives to the files; the checkpoint is the user's own.
FILES = {
    "quality": "clip-vit-b-16-openai.safetensors",
    "unet": "sdxl-inpainting-unet.fp16.safetensors",
    "clip_l": "sdxl-text-encoder-l.fp16.safetensors",
    "clip_g": "sdxl-text-encoder-g.fp16.safetensors",
    "vae": "sdxl-vae.fp16.safetensors",
    "checkpoint": "your_checkpoint.safetensors",
    "sd15": "v1-5-pruned-emaonly-fp16.safetensors",
}
# As its authors' repository names it: variant and checkpoint.
PASD = "pasd/checkpoint-100000"
_SDXL = "https://huggingface.co/diffusers/stable-diffusion-xl-1.0-inpainting-0.1/tree/main"
_PASD = "https://huggingface.co/yangtao9009/PASD/tree/main"
_SD15 = "https://huggingface.co/Comfy-Org/stable-diffusion-v1-5-archive/tree/main"
_CLIP = "https://huggingface.co/timm/vit_base_patch16_clip_224.openai/tree/main"

ABOUT_QUALITY_MODEL = f"""\
**Quality model** → `ComfyUI/models/grefine/`

`open_clip_model.safetensors` (0.6 GB) of [timm/vit_base_patch16_clip_224.openai]({_CLIP}), saved as \
`{FILES["quality"]}`. The learned quality embeddings come with the pack."""

_AFTERWARDS = "Other file names are fine: press **R** in ComfyUI after copying, and choose them in the loaders."

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

{_AFTERWARDS}"""

ABOUT_SDXL_PASD = f"""\
{_SDXL_FILES.replace("All others come", "Those of Stage 1 come")}

**PASD** → `ComfyUI/models/pasd/`

The folder `{PASD}` of [yangtao9009/PASD]({_PASD}) with `unet` (4.4 GB) and `controlnet` (1.5 GB), as it is: \
`models/pasd/{PASD}/unet/…`. `pasd_light` is smaller.

**Stable Diffusion 1.5**, which PASD stands on → `ComfyUI/models/checkpoints/`

`{FILES["sd15"]}` (2.1 GB) of [Comfy-Org/stable-diffusion-v1-5-archive]({_SD15}), or any other checkpoint of it.

{_AFTERWARDS}"""

ABOUT_ORDINARY = f"""\
{ABOUT_QUALITY_MODEL}

**Checkpoint** → `ComfyUI/models/checkpoints/`

Any checkpoint that draws pictures, with its text encoder and VAE inside: SD 1.5, SDXL or one made from them. An \
inpainting model follows its surroundings better, but this works with what you have.

For SDXL checkpoints set Stage-1's `crop_size` to `native` (and `native_side` to 1024).

LoRAs and ControlNets go between the loader and the rest, as everywhere.

{_AFTERWARDS}"""

ABOUT_MINIATURE = """\
**Nothing to download**: the small models come with the pack.

They know the miniature world and nothing else: drawn pictures of 128 × 128 pixels with coloured shapes and a few \
things on plain grounds. Any other picture runs through as well, but what is found in it and what is painted means \
nothing.

**Picture**: press *choose file to upload* and take `miniature.png` from the folder `grefine_core/demo` of this pack \
(`ComfyUI/custom_nodes/…`). Its prompt is filled in already.

More such pictures, each with known defects:

`grefine demo --index 7`

For your own pictures take the templates *grefine_sdxl_inpainting* or *grefine_ordinary_checkpoint*."""
