"""The real networks have exactly the published tensors, and files of that size load without being copied about."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from grefine_core.engines.networks import shapes_of
from grefine_core.engines.pasd import Variant, load_pasd
from grefine_core.engines.pasd.loading import SD15_CONFIG, build_controlnet, build_unet, read_config

UNETS = {"pasd_unet": False, "pasd_light_unet": True}
CONTROLNETS = {"pasd_controlnet": False, "pasd_rrdb_controlnet": True, "pasd_light_rrdb_controlnet": True}
HEADS = {f"controlnet_cond_embedding.to_rgbs.{i}.{kind}" for i in range(3) for kind in ("weight", "bias")}


def config(part):
    return read_config(SD15_CONFIG / part, part)


@pytest.mark.parametrize("file", UNETS)
def test_unet_has_the_published_tensors(file, published_keys):
    network = build_unet(config("unet"), Variant(light=UNETS[file]))
    assert shapes_of(network) == published_keys[file]
    assert all(tensor.is_meta for tensor in network.parameters())
    extra = published_keys[file].keys() - published_keys["stock_sd15_unet"].keys()
    assert len(extra) == (81 if UNETS[file] else 312)


@pytest.mark.parametrize("file", CONTROLNETS)
def test_controlnet_has_the_published_tensors_less_the_heads(file, published_keys):
    network = build_controlnet(config("controlnet"), Variant(rrdb=CONTROLNETS[file]))
    expected = {name: shape for name, shape in published_keys[file].items() if name not in HEADS}
    assert shapes_of(network) == expected
    assert len(published_keys[file]) - len(expected) == len(HEADS) == 6


def write_real_size(folder, published_keys, write_hollow, variant: Variant, shards: int):
    """Published layout, published sizes, half precision, split; and a base of SD 1.5's own size as one file."""
    files = {
        "unet": published_keys["pasd_light_unet" if variant.light else "pasd_unet"],
        "controlnet": published_keys["pasd_rrdb_controlnet" if variant.rrdb else "pasd_controlnet"],
    }
    for part, shapes in files.items():
        names, weight_map = sorted(shapes), {}
        for i in range(shards):
            file = f"diffusion_pytorch_model-{i + 1:05d}-of-{shards:05d}.safetensors"
            mine = names[i::shards]
            write_hollow(folder / "checkpoint-100000" / part / file, {name: shapes[name] for name in mine})
            weight_map |= dict.fromkeys(mine, file)
        index = folder / "checkpoint-100000" / part / "diffusion_pytorch_model.safetensors.index.json"
        index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    from diffusers import AutoencoderKL
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        vae = AutoencoderKL(**{key: value for key, value in config("vae").items() if not key.startswith("_")})
        text = CLIPTextModel(CLIPTextConfig(**config("text_encoder")))
    for part, network, name in (
        ("vae", vae, "diffusion_pytorch_model"),
        ("text_encoder", text, "model"),
    ):
        write_hollow(folder / "base" / part / f"{name}.fp16.safetensors", shapes_of(network))
    return folder


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param(Variant(), id="pasd", marks=pytest.mark.slow),
        pytest.param(Variant(light=True, rrdb=True), id="pasd_light_rrdb"),
    ],
)
def test_real_sizes_load_in_half_precision_from_shards(variant, tmp_path, published_keys, write_hollow):
    """No configuration lies beside the files: those of the pack are Stable Diffusion 1.5's."""
    write_real_size(tmp_path, published_keys, write_hollow, variant, shards=3)
    model = load_pasd(tmp_path, tmp_path / "base", device="cpu")
    assert model.variant == variant
    assert model.dtype == torch.float16
    for name, network in model.networks.items():
        assert {tensor.dtype for tensor in network.parameters()} == {torch.float16}, name
        assert not any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers())), name
        assert not any(tensor.requires_grad for tensor in network.parameters()), name
        assert not network.training, name
    extra = 312 if not variant.light else 81
    assert len(model.unet.state_dict()) == 686 + extra
    assert model.text_encoder.config.hidden_size == model.unet.config.cross_attention_dim == 768
    assert (model.latent_scaling, model.latent_channels) == (0.18215, 4)


MEASURE = """
import sys, torch
from pathlib import Path
from grefine_core.engines.networks import Weights, fill
import safetensors.torch
with torch.device("meta"):
    network = torch.nn.ModuleList(torch.nn.Linear(2560, 2560) for _ in range(16))
# Not getrusage: its peak begins with that of the process that started this one.
def peak():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
before = peak()
fill(network, Weights.open([Path(sys.argv[1])]), "a test", torch.float32, torch.device("cpu"))
print(peak() - before, sum(t.numel() * t.element_size() for t in network.parameters()))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures the way Linux does")
def test_loading_holds_one_copy(tmp_path, write_hollow):
    """Even when every tensor is converted on the way."""
    shapes = {f"{i}.{name}": shape for i in range(16) for name, shape in (("weight", (2560, 2560)), ("bias", (2560,)))}
    write_hollow(tmp_path / "a.safetensors", shapes)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "a.safetensors")], capture_output=True, text=True, check=True
    )
    grown, size = map(int, done.stdout.split())
    assert size > 4e8
    # The half-precision file is mapped, and its pages count while it is read: half of the size. The rest is one copy.
    assert size <= grown < 1.7 * size
