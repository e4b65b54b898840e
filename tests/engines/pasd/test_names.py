"""Names of the original layout become diffusers' own, for the real networks; diffusers' converters are the judges."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.loaders import single_file_utils

from grefine_core.engines import networks
from grefine_core.engines.folders import arguments_of
from grefine_core.engines.pasd.loading import SD15_CONFIG, read_config


def numbered(shapes) -> dict[str, torch.Tensor]:
    """A different number in every tensor: which one is which shows under any name."""
    return {name: torch.full((1,) * len(shape), float(i)) for i, (name, shape) in enumerate(shapes.items())}


def values(tensors) -> dict[str, float]:
    return {name: float(tensor) for name, tensor in tensors.items()}


def test_unet(published_keys, original_layout):
    ours = numbered(published_keys["stock_sd15_unet"])
    original = original_layout.unet(ours, layers=2, blocks=4)
    assert {"input_blocks.11.0.in_layers.0.weight", "output_blocks.2.1.conv.weight", "out.2.bias"} <= original.keys()
    assert values({networks.unet_name(name, 2): tensor for name, tensor in original.items()}) == values(ours)
    prefixed = {networks.UNET + name: tensor for name, tensor in original.items()}
    judged = single_file_utils.convert_ldm_unet_checkpoint(prefixed, read_config(SD15_CONFIG / "unet", "unet"))
    assert values(judged) == values(ours)


@pytest.fixture(scope="module")
def vae_tensors():
    with torch.device("meta"):
        network = AutoencoderKL(**arguments_of(AutoencoderKL, read_config(SD15_CONFIG / "vae", "vae")))
    return numbered({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()})


def test_vae(vae_tensors, original_layout):
    original = original_layout.vae(vae_tensors, blocks=4)
    assert {"encoder.mid.attn_1.q.weight", "decoder.up.3.upsample.conv.bias"} <= original.keys()
    assert original["decoder.mid.attn_1.proj_out.weight"].ndim == 4
    assert values({networks.vae_name(name, 4): tensor for name, tensor in original.items()}) == values(vae_tensors)
    prefixed = {networks.VAE + name: tensor for name, tensor in original.items()}
    judged = single_file_utils.convert_ldm_vae_checkpoint(prefixed, read_config(SD15_CONFIG / "vae", "vae"))
    assert values(judged) == values(vae_tensors)


def test_names_of_today_stay(published_keys, vae_tensors):
    for name in published_keys["pasd_unet"]:
        assert networks.unet_name(name, 2) == name
    for name in vae_tensors:
        assert networks.vae_name(name, 4) == name


def test_names_that_no_rule_knows_stay_to_be_refused():
    assert networks.unet_name("label_emb.0.0.weight", 2) == "label_emb.0.0.weight"
    assert networks.vae_name("loss.logvar", 4) == "loss.logvar"
    assert networks.text_name("text_model.surprise") == "surprise"
    assert networks.text_name("text_model.embeddings.position_ids") is None
