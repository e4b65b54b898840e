"""Tiny PASD weights in the published layout, a tiny base in both layouts, and real-size files that take no room."""

from __future__ import annotations

import gzip
import json
import math
import shutil
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from grefine_core.engines.pasd import Variant

from ...tiny_models.pasd import build_base, write_pasd, write_sd15

KEYS = Path(__file__).with_name("data") / "pasd_keys.json.gz"


@pytest.fixture(scope="session")
def published_keys() -> dict[str, dict[str, tuple[int, ...]]]:
    """File to name to shape, of the real networks."""
    files = json.loads(gzip.decompress(KEYS.read_bytes()))
    return {file: {name: tuple(shape) for name, shape in keys.items()} for file, keys in files.items()}


@pytest.fixture(scope="session")
def _written(tmp_path_factory) -> dict[Variant, Path]:
    folder = tmp_path_factory.mktemp("pasd")
    variants = [Variant(light, rrdb) for light in (False, True) for rrdb in (False, True)]
    return {variant: write_pasd(folder / "models", variant) for variant in variants}


@pytest.fixture
def checkpoint_of(_written):
    """The read-only ``checkpoint-1`` of a variant."""
    return lambda light=False, rrdb=False: _written[Variant(light, rrdb)]


@pytest.fixture
def own_checkpoint(_written, tmp_path) -> Path:
    """A ``checkpoint-1`` of ``pasd`` that the test may change."""
    return Path(shutil.copytree(_written[Variant()], tmp_path / "pasd" / "checkpoint-1"))


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory) -> Path:
    return write_sd15(tmp_path_factory.mktemp("sd15") / "base")


@pytest.fixture(scope="session")
def original_checkpoint() -> dict[str, torch.Tensor]:
    """The tiny base under the names of the original layout, as one checkpoint file has them."""
    networks = build_base()
    unet, vae = networks["unet"].state_dict(), networks["vae"].state_dict()
    text = {name.removeprefix("text_model."): t for name, t in networks["text_encoder"].state_dict().items()}
    tensors = {f"model.diffusion_model.{name}": t for name, t in original_unet(unet, layers=1, blocks=4).items()}
    tensors |= {f"first_stage_model.{name}": t for name, t in original_vae(vae, blocks=4).items()}
    tensors |= {f"cond_stage_model.transformer.text_model.{name}": t for name, t in text.items()}
    tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    tensors["model_ema.decay"] = torch.ones(())
    tensors["alphas_cumprod"] = torch.ones(1000)
    return {name: tensor.clone().contiguous() for name, tensor in tensors.items()}


@pytest.fixture(scope="session")
def original_layout() -> SimpleNamespace:
    """``unet(state, layers, blocks)`` and ``vae(state, blocks)``: tensors under the names of the original layout."""
    return SimpleNamespace(unet=original_unet, vae=original_vae)


@pytest.fixture
def change():
    """Rewrite a safetensors file: ``change(path, edit)`` with ``edit(tensors)`` in place."""

    def rewrite(path: Path, edit) -> None:
        tensors = load_file(path)
        tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        edit(tensors)
        save_file(tensors, path, {"format": "pt"})

    return rewrite


@pytest.fixture
def write_hollow():
    """Write a half-precision safetensors file of any size, all zeros, that takes no room on the disk."""

    def write(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
        header, end = {}, 0
        for name, shape in shapes.items():
            start, end = end, end + 2 * math.prod(shape)
            header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [start, end]}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            file.truncate(8 + len(text) + end)

    return write


def original_unet(state: Mapping[str, torch.Tensor], layers: int, blocks: int) -> dict[str, torch.Tensor]:
    """A UNet's tensors under the names of the original layout, without the prefix."""
    ends = {
        "time_embedding.linear_1.": "time_embed.0.",
        "time_embedding.linear_2.": "time_embed.2.",
        "conv_in.": "input_blocks.0.0.",
        "conv_norm_out.": "out.0.",
        "conv_out.": "out.2.",
        "mid_block.resnets.0.": "middle_block.0.",
        "mid_block.attentions.0.": "middle_block.1.",
        "mid_block.resnets.1.": "middle_block.2.",
    }
    inner = {
        "norm1.": "in_layers.0.",
        "conv1.": "in_layers.2.",
        "time_emb_proj.": "emb_layers.1.",
        "norm2.": "out_layers.0.",
        "conv2.": "out_layers.3.",
        "conv_shortcut.": "skip_connection.",
    }
    places = dict(ends)
    down, up = iter(range(1, 99)), iter(range(99))
    for i in range(blocks):
        for j in range(layers):
            n = next(down)
            places[f"down_blocks.{i}.resnets.{j}."] = f"input_blocks.{n}.0."
            places[f"down_blocks.{i}.attentions.{j}."] = f"input_blocks.{n}.1."
        if i < blocks - 1:
            places[f"down_blocks.{i}.downsamplers.0.conv."] = f"input_blocks.{next(down)}.0.op."
        for j in range(layers + 1):
            n = next(up)
            places[f"up_blocks.{i}.resnets.{j}."] = f"output_blocks.{n}.0."
            places[f"up_blocks.{i}.attentions.{j}."] = f"output_blocks.{n}.1."
        # A block without text attention has its upsampler one place earlier.
        places[f"up_blocks.{i}.upsamplers.0."] = f"output_blocks.{n}.{1 if i == 0 else 2}."
    return dict(_renamed(state, places, ".resnets.", inner))


def original_vae(state: Mapping[str, torch.Tensor], blocks: int) -> dict[str, torch.Tensor]:
    """A VAE's tensors under the names of the original layout, its attentions as 1x1 convolutions."""
    places = {}
    for side in ("encoder", "decoder"):
        places[f"{side}.mid_block.attentions.0."] = f"{side}.mid.attn_1."
        places[f"{side}.mid_block.resnets.0."] = f"{side}.mid.block_1."
        places[f"{side}.mid_block.resnets.1."] = f"{side}.mid.block_2."
        places[f"{side}.conv_norm_out."] = f"{side}.norm_out."
    for i in range(blocks):
        for j in range(4):
            places[f"encoder.down_blocks.{i}.resnets.{j}."] = f"encoder.down.{i}.block.{j}."
            places[f"decoder.up_blocks.{i}.resnets.{j}."] = f"decoder.up.{blocks - 1 - i}.block.{j}."
        places[f"encoder.down_blocks.{i}.downsamplers.0."] = f"encoder.down.{i}.downsample."
        places[f"decoder.up_blocks.{i}.upsamplers.0."] = f"decoder.up.{blocks - 1 - i}.upsample."
    resnets = {name: tensor for name, tensor in state.items() if "attentions" not in name}
    attentions = {name: tensor for name, tensor in state.items() if "attentions" in name}
    inner = {"group_norm.": "norm.", "to_q.": "q.", "to_k.": "k.", "to_v.": "v.", "to_out.0.": "proj_out."}
    out = dict(_renamed(resnets, places, ".resnets.", {"conv_shortcut.": "nin_shortcut."}))
    for name, tensor in _renamed(attentions, places, ".attentions.", inner):
        out[name] = tensor[..., None, None] if tensor.ndim == 2 else tensor
    return out


def _renamed(
    state: Mapping[str, torch.Tensor], places: Mapping[str, str], kind: str, inner: Mapping[str, str]
) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in state.items():
        start = next((place for place in places if name.startswith(place)), "")
        rest = name.removeprefix(start)
        if kind in name:
            first = next((part for part in inner if rest.startswith(part)), "")
            rest = inner.get(first, "") + rest.removeprefix(first)
        yield places.get(start, "") + rest, tensor
