"""The diffusion model's sizes and files."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from grefine_core.errors import ModelFileError
from grefine_core.miniature import networks


def test_sizes_of_the_networks():
    unet, vae = networks.build("unet"), networks.build("vae")
    sizes = [sum(value.numel() for value in module.state_dict().values()) * 2 for module in (unet, vae)]
    assert max(sizes) < 16 * 2**20
    assert unet.conv_in.in_channels == 9
    heads = {module.heads for module in unet.modules() if hasattr(module, "to_q")}
    assert heads == {2, 4}
    assert vae.config.scaling_factor == networks.SCALING
    assert {m.num_groups for m in vae.modules() if isinstance(m, torch.nn.GroupNorm)} == {32}


@pytest.mark.parametrize("network", ["unet", "vae"])
def test_file_round_trip(tmp_path, network):
    module = networks.build(network)
    path = networks.save(module, tmp_path / "network.safetensors", network, {"seed": "1"})
    tensors = load_file(path)
    assert set(tensors) == set(module.state_dict())
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    with safe_open(path, "pt") as handle:
        metadata = handle.metadata()
    wanted = networks.UNET_CONFIG if network == "unet" else networks.VAE_CONFIG
    assert json.loads(metadata["config"]) == wanted
    assert metadata["seed"] == "1"
    again = networks.load(path, network)
    assert not again.training
    for name, value in module.state_dict().items():
        assert torch.equal(again.state_dict()[name], value.half().float())


def test_a_lean_unet_attends_at_the_lower_level_alone(tmp_path):
    module = networks.build("unet", lean=True)
    assert {m.heads for m in module.modules() if hasattr(m, "to_q")} == {4}
    again = networks.load(networks.save(module, tmp_path / "unet.safetensors", "unet"), "unet")
    assert again.state_dict().keys() == module.state_dict().keys()
    for lean in (False, True):
        host, names = networks.host_unet_config(lean), networks.build("unet", lean).state_dict().keys()
        assert networks.is_lean(names) == lean
        blocks = {name.split(".transformer_blocks")[0] for name in names if ".transformer_blocks." in name}
        depths = (host["transformer_depth"], host["transformer_depth_output"], [host["transformer_depth_middle"]])
        assert sum(map(sum, depths)) == len(blocks)


def test_other_tensors_are_refused(tmp_path):
    path = tmp_path / "unet.safetensors"
    save_file({"conv_in.weight": torch.zeros(3)}, path)
    with pytest.raises(ModelFileError, match="not the weights of the miniature unet"):
        networks.load(path, "unet")
