"""The files that the full workflow asks for, as the host sees them: by their keys and shapes alone, no weights needed.

The state dicts hold tensors without storage of their own (one element, expanded), so that five gigabytes cost nothing.
"""

from __future__ import annotations

import json

import pytest

# The architecture of diffusers/stable-diffusion-xl-1.0-inpainting-0.1: its unet/config.json.
UNET = """
import json, sys, torch, logging
from diffusers import UNet2DConditionModel

CONFIG = dict(
    in_channels=9, out_channels=4, sample_size=128, block_out_channels=[320, 640, 1280], layers_per_block=2,
    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    transformer_layers_per_block=[1, 2, 10], attention_head_dim=[5, 10, 20], cross_attention_dim=2048,
    use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256,
    projection_class_embeddings_input_dim=2816,
)

def weightless(shapes, dtype=torch.float16):
    return {key: torch.zeros((), dtype=dtype).expand(shape) for key, shape in shapes.items()}

def diffusers_unet():
    with torch.device("meta"):
        unet = UNet2DConditionModel(**CONFIG)
    return {key: tuple(value.shape) for key, value in unet.state_dict().items()}
"""

DETECT = """
import comfy.model_detection, comfy.utils, comfy.supported_models

shapes = diffusers_unet()
sd = weightless(shapes)
if LAYOUT == "single file":
    # The same tensors under the names of the original layout, by the host's own table.
    config = comfy.model_detection.model_config_from_diffusers_unet(sd)
    table = comfy.utils.unet_to_diffusers(config.unet_config)
    sd = {"model.diffusion_model." + table[key]: value for key, value in sd.items()}
    prefix = comfy.model_detection.unet_prefix_from_state_dict(sd)
    config = comfy.model_detection.model_config_from_unet(sd, prefix)
else:
    # What comfy.sd.load_diffusion_model_state_dict does: the original layout first, diffusers' after that.
    assert comfy.model_detection.model_config_from_unet(sd, "") is None
    config = comfy.model_detection.model_config_from_diffusers_unet(sd)
    table = comfy.utils.unet_to_diffusers(config.unet_config)
print("RESULT", json.dumps({
    "class": type(config).__name__,
    "in_channels": config.unet_config["in_channels"],
    "adm": config.unet_config["adm_in_channels"],
    "inpaint": config.inpaint_model(),
    "parameters": comfy.utils.calculate_parameters(weightless(shapes)),
    "without a place": sorted(set(shapes) - set(table)),
}))
"""

LOAD = """
# The whole loader, with the weights left out: the model is built on the meta device.
import comfy.sd, comfy.model_base, comfy.model_management

comfy.model_management.unet_offload_device = lambda: torch.device("meta")
missing = []

class Recorder(logging.Handler):
    def emit(self, record):
        missing.append(record.getMessage())

logging.getLogger().addHandler(Recorder())
with torch.device("meta"):
    patcher = comfy.sd.load_diffusion_model_state_dict(
        {k: torch.empty(s, dtype=torch.float16, device="meta") for k, s in diffusers_unet().items()}
    )
model = patcher.model
print("RESULT", json.dumps({
    "class": type(model).__name__,
    "concat": list(model.concat_keys),
    "in_channels": model.diffusion_model.input_blocks[0][0].weight.shape[1],
    "trouble": [m for m in missing if "missing" in m.lower() or "unexpected" in m.lower() or "left over" in m.lower()],
}))
"""

TEXT_ENCODERS = """
import json, torch, comfy.sd
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

L = CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
                   projection_dim=768)
G = CLIPTextConfig(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20,
                   projection_dim=1280, hidden_act="gelu")
found = []
for kind, config in ((CLIPTextModel, L), (CLIPTextModelWithProjection, G)):
    with torch.device("meta"):
        keys = kind(config).state_dict()
    # Files of that age carry the "text_model." prefix that newer libraries have dropped.
    sd = {k if k.startswith(("text_model.", "text_projection")) else "text_model." + k: v for k, v in keys.items()}
    found.append(comfy.sd.detect_te_model(sd).name)
print("RESULT", json.dumps(found))
"""

VAE = """
import json, logging, torch, comfy.sd
from diffusers import AutoencoderKL

said = []

class Recorder(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())

logging.getLogger().addHandler(Recorder())
with torch.device("meta"):
    vae = AutoencoderKL(
        block_out_channels=[128, 256, 512, 512], down_block_types=["DownEncoderBlock2D"] * 4, layers_per_block=2,
        up_block_types=["UpDecoderBlock2D"] * 4, latent_channels=4, sample_size=1024,
    )
sd = {k: torch.zeros((), dtype=torch.float16).expand(tuple(v.shape)) for k, v in vae.state_dict().items()}
loaded = comfy.sd.VAE(sd=sd)
loaded.throw_exception_if_invalid()
trouble = [m for m in said if "missing" in m.lower() or "leftover" in m.lower() or "warning" in m.lower()]
print("RESULT", json.dumps([loaded.latent_channels, loaded.downscale_ratio, trouble]))
"""


def result(output: str):
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    return json.loads(line.removeprefix("RESULT "))


@pytest.mark.parametrize("layout", [pytest.param("diffusers", marks=pytest.mark.slow), "single file"])
def test_the_host_recognises_nine_channels_by_the_key_list(host_run, layout):
    found = result(host_run(UNET + f"LAYOUT = {layout!r}\n" + DETECT))
    assert found["class"] == "SDXL"
    assert found["in_channels"] == 9
    assert found["inpaint"] is True
    assert found["adm"] == 2816
    assert found["parameters"] == 2_567_463_684 + 5 * 320 * 9  # SDXL's, and five channels more in the first layer
    assert found["without a place"] == []


def test_the_hosts_own_loader_builds_an_inpainting_model_and_misses_nothing(host_run):
    found = result(host_run(UNET + LOAD))
    assert found["class"] == "SDXL"
    assert found["in_channels"] == 9
    assert found["concat"] == ["mask", "masked_image"]
    assert found["trouble"] == []


@pytest.mark.slow
def test_the_text_encoders_of_the_same_folder_are_recognised(host_run):
    assert result(host_run(TEXT_ENCODERS)) == ["CLIP_L", "CLIP_G"]


@pytest.mark.slow
def test_the_vae_of_the_same_folder_is_read_without_a_key_to_spare(host_run):
    assert result(host_run(VAE)) == [4, 8, []]
