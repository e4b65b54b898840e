"""PASD's networks, tiny, with the weights that the golden numbers were made with."""

from __future__ import annotations

import copy
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from grefine_core.engines.pasd.model import PasdModel, PasdSettings, Variant
from grefine_core.engines.pasd.restorer import PasdRestorer
from grefine_core.engines.pasd.sampling import Hooks
from grefine_core.engines.pasd.unet import PasdUNet, build_controlnet
from grefine_core.engines.prompts import END, make_tokenizer

GOLDEN = Path(__file__).parents[3] / "data" / "golden"


@pytest.fixture(scope="session")
def golden_run() -> dict[str, torch.Tensor]:
    """The whole sampling loop, number by number."""
    with np.load(GOLDEN / "pasd_tiny_pipeline_golden.npz") as data:
        return {name.removeprefix("full/"): torch.from_numpy(data[name]) for name in data.files}


@pytest.fixture(scope="session")
def golden_tools() -> dict[str, torch.Tensor]:
    """Colours and the weights of a tile."""
    with np.load(GOLDEN / "pasd_aux_golden.npz") as data:
        return {name: torch.from_numpy(data[name]) for name in data.files}


@pytest.fixture(scope="session")
def loaded_model() -> PasdModel:
    from diffusers import AutoencoderKL
    from transformers import CLIPTextConfig, CLIPTextModel

    networks = json.loads((GOLDEN / "pasd_tiny_config.json").read_text())
    pipeline = json.loads((GOLDEN / "pasd_tiny_pipeline_config.json").read_text())
    config = networks["tiny_unet_config"]
    beside = {"sample_size", "out_channels", "center_input_sample", "up_block_types"}
    control = {name: value for name, value in config.items() if name not in beside}
    control["conditioning_embedding_out_channels"] = networks["controlnet_extra"]["conditioning_embedding_out_channels"]
    text = CLIPTextConfig(
        hidden_size=config["cross_attention_dim"],
        intermediate_size=64,
        num_attention_heads=2,
        num_hidden_layers=2,
        bos_token_id=49406,
        eos_token_id=49407,
    )
    torch.manual_seed(0)
    text_encoder = CLIPTextModel(text).eval()
    for parameter in text_encoder.parameters():
        # As they are made, all texts look alike.
        parameter.data.copy_(torch.randn(parameter.shape) * 0.3)
    return PasdModel(
        unet=_filled(PasdUNet(**config)),
        controlnet=_filled(build_controlnet(control)),
        vae=_filled(AutoencoderKL(**pipeline["vae_config"]), "vae."),
        text_encoder=text_encoder,
        tokenizer=make_tokenizer(END),
        scheduler_config=pipeline["scheduler_config"],
        variant=Variant(),
    )


@pytest.fixture
def model(loaded_model) -> PasdModel:
    """A copy that a test may change."""
    return copy.deepcopy(loaded_model)


@pytest.fixture
def restorer_for(model):
    """Restorers of the tiny model, with what is too large for tests made small."""

    def make(hooks: Hooks | None = None, **settings) -> PasdRestorer:
        small = {"process_size": 16, "guidance_scale": 2.0, "color": "none"}
        return PasdRestorer(model, PasdSettings(**{**small, **settings}), hooks)

    return make


@pytest.fixture
def seen(model, monkeypatch) -> list[tuple]:
    """Arguments of every call of the networks."""
    calls: list[tuple] = []
    predict = model.predict

    def record(*arguments):
        calls.append(arguments)
        return predict(*arguments)

    monkeypatch.setattr(model, "predict", record)
    return calls


def _filled(module: nn.Module, prefix: str = "") -> nn.Module:
    norms = {name for name, part in module.named_modules() if isinstance(part, (nn.GroupNorm, nn.LayerNorm))}
    for name, tensor in module.state_dict().items():
        generator = np.random.Generator(np.random.PCG64(zlib.crc32((prefix + name).encode())))
        noise = np.asarray(generator.standard_normal(tuple(tensor.shape)), dtype=np.float32) * np.float32(0.05)
        owner, _, kind = name.rpartition(".")
        tensor.copy_(torch.from_numpy(noise) + (1.0 if kind == "weight" and owner in norms else 0.0))
    return module.eval().requires_grad_(False)
