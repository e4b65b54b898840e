"""Small model files that an unmodified host loads, written by the host's own classes with weights seeded by name.

- a nine-channel SDXL UNet for UNETLoader: 320 channels at every level (what the host's detection wants) and few blocks;
- a TAESD for VAELoader;
- an SD 1.5 checkpoint for CheckpointLoaderSimple: shallow UNet, TAESD, the text encoder at its full size; the same with
  nine channels.

They are written under the names that the shipped workflows ask for; the VAE stands for that of an SDXL checkpoint,
which the host loads in one size only.
"""

from __future__ import annotations

UNET_FILE = "diffusion_models/diffusion_pytorch_model.fp16.safetensors"
VAE_FILE = "vae/sdxl-vae.fp16.safetensors"
CHECKPOINT_FILE = "checkpoints/your_checkpoint.safetensors"
INPAINTING_FILE = "checkpoints/sd-v1-5-inpainting.safetensors"
FILES = (UNET_FILE, VAE_FILE, CHECKPOINT_FILE)

COMMON = """
import hashlib, math, os, torch
from pathlib import Path
from safetensors.torch import save_file
import comfy.ops
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.taesd.taesd import TAESD

torch.set_num_threads(1)

def seeded(name, value):
    "Norms keep everything, other weights are small and depend on the name alone."
    if value.ndim < 2:
        return torch.full(value.shape, 1.0 if name.endswith("weight") else 0.0, dtype=torch.float16)
    generator = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big"))
    fan_in = math.prod(value.shape[1:])
    return (torch.rand(value.shape, generator=generator) - 0.5).mul_(3.4 / math.sqrt(fan_in)).half()

def weights(module, prefix=""):
    return {prefix + key: seeded(prefix + key, value) for key, value in module.state_dict().items()}

def unet(**config):
    with torch.device("meta"):
        return UNetModel(
            image_size=32, out_channels=4, model_channels=320, use_spatial_transformer=True, legacy=False,
            dtype=torch.float32, device="meta", operations=comfy.ops.disable_weight_init, **config,
        )

def taesd(prefix=""):
    sd = weights(TAESD(latent_channels=4), prefix)
    return {k: v for k, v in sd.items() if "taesd_" in k} | {
        prefix + "vae_scale": torch.tensor(0.13025), prefix + "vae_shift": torch.tensor(0.0)
    }

def save(sd, name):
    path = Path(FOLDER) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in sd.items()}, path)
"""

SDXL = """
model = unet(
    in_channels=9, num_res_blocks=[2, 2, 2], channel_mult=[1, 1, 1], transformer_depth=[0, 0, 1, 1, 2, 2],
    transformer_depth_output=[0, 0, 0, 1, 1, 1, 2, 2, 2], transformer_depth_middle=2, context_dim=2048,
    num_classes="sequential", adm_in_channels=2816, num_head_channels=64, use_linear_in_transformer=True,
)
save(weights(model), UNET)
save(taesd(), VAE)
"""

SD15 = """
from comfy.clip_model import CLIPTextModel
import json, comfy.sd1_clip

sd = weights(unet(
    in_channels=4, num_res_blocks=[1, 1], channel_mult=[1, 1], transformer_depth=[0, 1],
    transformer_depth_output=[0, 0, 1, 1], transformer_depth_middle=1, context_dim=768,
    num_heads=8, use_linear_in_transformer=False,
), "model.diffusion_model.")
config = Path(comfy.sd1_clip.__file__).with_name("sd1_clip_config.json")
text = CLIPTextModel(json.loads(config.read_text()), torch.float32, "meta", comfy.ops.disable_weight_init)
sd |= {k: v for k, v in weights(text, "cond_stage_model.transformer.").items() if "text_projection" not in k}
save(sd | taesd("first_stage_model."), CHECKPOINT)
"""


SD15_INPAINTING = SD15.replace("in_channels=4", "in_channels=9").replace("CHECKPOINT)", "INPAINTING)")


def code(kind: str, folder: str) -> str:
    """Python for ``host_run`` that writes the ``"sdxl"``, ``"sd15"`` or ``"sd15_inpainting"`` files into the models
    folder."""
    names = f"FOLDER, UNET, VAE, CHECKPOINT = {folder!r}, {UNET_FILE!r}, {VAE_FILE!r}, {CHECKPOINT_FILE!r}\n"
    names += f"INPAINTING = {INPAINTING_FILE!r}\n"
    return names + COMMON + {"sdxl": SDXL, "sd15": SD15, "sd15_inpainting": SD15_INPAINTING}[kind]
