"""The golden network of ImageReward (tiny, weights seeded by their names), and an untrained stand-in in files."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from grefine_core.imagereward import ImageRewardNetwork, Sizes, load_image_reward, published_name

from ..tiny_models import write_image_reward

GOLDEN = Path(__file__).parents[1] / "data" / "golden"


@pytest.fixture(scope="session")
def numbers() -> SimpleNamespace:
    """The golden numbers as tensors, by name, and ``config``."""
    with np.load(GOLDEN / "imagereward_tiny_golden.npz") as data:
        arrays = {name: data[name] for name in data.files}
    config = json.loads(str(arrays.pop("config_json")))
    tensors = {name: torch.from_numpy(a) for name, a in arrays.items() if a.dtype.kind in "fi"}
    return SimpleNamespace(config=config, **tensors)


@pytest.fixture(scope="session")
def sizes(numbers) -> Sizes:
    config = numbers.config
    return Sizes(
        image_size=config["image_size"],
        patch_size=config["patch_size"],
        vision_width=config["vision_width"],
        vision_layers=config["vision_layers"],
        vision_heads=config["vision_heads"],
        vision_mlp=config["vision_width"] * config["vision_mlp_ratio"],
        text_width=config["text_hidden_size"],
        text_layers=config["text_layers"],
        text_heads=config["text_heads"],
        text_mlp=config["text_intermediate_size"],
        vocabulary=config["vocab_size"],
        positions=config["max_position_embeddings"],
        text_length=config["seq_len"],
        joint_width=config["proj_dim"],
    )


@pytest.fixture(scope="session")
def published(numbers) -> dict[str, torch.Tensor]:
    """The golden weights as a published file has them, with its counter."""
    weights = {}
    for name, shape in numbers.config["keys"].items():
        generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
        noise = generator.standard_normal(size=shape, dtype=np.float32) * np.float32(0.05)
        weights[name] = torch.from_numpy(noise + (1 if name in numbers.config["layernorm_weights"] else 0))
    weights["blip.text_encoder.embeddings.position_ids"] = torch.arange(64).reshape(1, 64)
    return weights


@pytest.fixture(scope="session")
def network(sizes, published) -> ImageRewardNetwork:
    """The golden network."""
    built = ImageRewardNetwork(sizes)
    built.load_state_dict({name: published[published_name(name)].float() for name in built.state_dict()})
    return built.requires_grad_(False)


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory) -> Path:
    """Files of an untrained ImageReward: weights, sizes, vocabulary."""
    return write_image_reward(tmp_path_factory.mktemp("imagereward"))


@pytest.fixture
def encoder(tiny_weights):
    """The stand-in, with empty caches and zeroed counters."""
    return load_image_reward(tiny_weights / "ImageReward.safetensors")
