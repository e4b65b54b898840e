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

ABOUT_GATE = """\
Refines a batch, but only those of its pictures that need it.

Every picture is measured. Those over both bars of *Refine Plan* pass **untouched, byte for byte**; only the others go \
through both stages. If all of them pass, the image model is not even loaded. *What was decided* says why, picture by \
picture; all of them are saved, in their order.

To see the gate at work, the second picture is a spoiled copy of the first. Put your own in its place: one loader more \
and *Batch Images* (pictures of one size), the *VAE Decode* of a batch that you generate, or a whole folder by *Load \
Image Dataset from Folder*, which newer versions of ComfyUI have: its output goes into *One picture at a time*.

All have the same prompt. For thousands of files: `grefine bulk`."""

ABOUT_SCORES = """\
Measures a picture: perceptual quality and alignment with its prompt, each between 0 and 1, and the prompt's phrases \
one by one. Nothing is changed and no image model is needed."""

# The names that `grefine models download` gives to the files; the checkpoint is the user's own, and SUPIR is not among
# those that it knows.
FILES = {
    "quality": "clip-vit-b-16-openai.safetensors",
    "unet": "sdxl-inpainting-unet.fp16.safetensors",
    "clip_l": "sdxl-text-encoder-l.fp16.safetensors",
    "clip_g": "sdxl-text-encoder-g.fp16.safetensors",
    "vae": "sdxl-vae.fp16.safetensors",
    "checkpoint": "your_checkpoint.safetensors",
    "sd15": "v1-5-pruned-emaonly-fp16.safetensors",
    "sd15_inpainting": "sd-v1-5-inpainting.safetensors",
    "sdxl": "sd_xl_base_1.0.safetensors",
    "supir": "SUPIR-v0Q_fp16.safetensors",
    "flux_fill": "flux1-fill-dev.safetensors",
    "flux_clip_l": "clip_l.safetensors",
    "t5": "t5xxl_fp16.safetensors",
    "flux_vae": "ae.safetensors",
}
# As its authors' repository names it: variant and checkpoint.
PASD = "pasd/checkpoint-100000"
_CLIP = "https://huggingface.co/timm/vit_base_patch16_clip_224.openai/tree/main"

ABOUT_QUALITY_MODEL = f"""\
**Quality model** → `ComfyUI/models/grefine/`

`open_clip_model.safetensors` (0.6 GB) of [timm/vit_base_patch16_clip_224.openai]({_CLIP}), saved as \
`{FILES["quality"]}`. The learned quality embeddings come with the pack."""

AFTERWARDS = "Other file names are fine: press **R** in ComfyUI after copying, and choose them in the loaders."

ABOUT_ORDINARY = f"""\
{ABOUT_QUALITY_MODEL}

**Checkpoint** → `ComfyUI/models/checkpoints/`

Any checkpoint that draws pictures, with its text encoder and VAE inside: SD 1.5, SDXL or one made from them. An \
inpainting model follows its surroundings better, but this works with what you have.

For SDXL checkpoints set Stage-1's `crop_size` to `native` (and `native_side` to 1024).

LoRAs and ControlNets go between the loader and the rest, as everywhere.

{AFTERWARDS}"""

ABOUT_MINIATURE = """\
**Nothing to download**: the small models come with the pack.

They know the miniature world and nothing else: drawn pictures of 128 × 128 pixels with coloured shapes and a few \
things on plain grounds. Any other picture runs through as well, but what is found in it and what is painted means \
nothing.

**Picture**: `miniature.png`, which the pack has put into ComfyUI's input folder. Its prompt is filled in already.

More such pictures, each with known defects, are drawn in a clone of the repository (what ComfyUI installs has only \
this one): `python -m grefine_core.cli demo --index 7`, in its folder.

For your own pictures take the templates *grefine_sdxl_inpainting* or *grefine_ordinary_checkpoint*."""
