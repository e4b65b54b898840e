"""A tiny folder, the same networks as a single file in the original layout, and no network."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from grefine_core.engines import load_inpaint_pipeline

from ..tiny_models.sdxl import MODEL_INDEX, SCHEDULER_CONFIG, build_networks, write_sdxl_inpaint_folder


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("something wants the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return write_sdxl_inpaint_folder(tmp_path_factory.mktemp("sdxl") / "inpaint")


@pytest.fixture(scope="session")
def ordinary_folder(tmp_path_factory) -> Path:
    return write_sdxl_inpaint_folder(tmp_path_factory.mktemp("sdxl") / "ordinary", in_channels=4)


@pytest.fixture
def engine(folder):
    return load_inpaint_pipeline(folder, device="cpu")


@pytest.fixture(scope="session")
def config_folder(folder, tmp_path_factory) -> Path:
    """The tiny networks' configurations without their weights."""
    target = tmp_path_factory.mktemp("config")
    (target / "model_index.json").write_text(json.dumps(MODEL_INDEX))
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        (target / part).mkdir()
        shutil.copy(folder / part / "config.json", target / part / "config.json")
    (target / "scheduler").mkdir()
    (target / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER_CONFIG))
    return target


@pytest.fixture(scope="session")
def write_single_file(tmp_path_factory):
    """Write the tiny networks as a checkpoint in the original layout, with 9 or 4 input channels."""

    def write(channels: int = 9) -> Path:
        networks = build_networks(channels)
        tensors = {
            **{"model.diffusion_model." + k: v for k, v in _unet(networks["unet"].state_dict(), layers=1).items()},
            **{"first_stage_model." + k: v for k, v in _vae(networks["vae"].state_dict(), blocks=4).items()},
            **{
                "conditioner.embedders.0.transformer.text_model." + k.removeprefix("text_model."): v
                for k, v in networks["text_encoder"].state_dict().items()
            },
            **{
                "conditioner.embedders.1.model." + k: v
                for k, v in _open_clip(networks["text_encoder_2"].state_dict()).items()
            },
        }
        path = tmp_path_factory.mktemp("single") / f"tiny{channels}.safetensors"
        save_file({k: v.clone().contiguous() for k, v in tensors.items()}, path)
        return path

    return write


def _replace(key: str, pairs: list[tuple[str, str]]) -> str:
    for ours, theirs in pairs:
        key = key.replace(ours, theirs)
    return key


def _unet(state: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    step = layers + 1
    places = [
        ("time_embedding.linear_1.", "time_embed.0."),
        ("time_embedding.linear_2.", "time_embed.2."),
        ("add_embedding.linear_1.", "label_emb.0.0."),
        ("add_embedding.linear_2.", "label_emb.0.2."),
        ("conv_norm_out.", "out.0."),
        ("conv_out.", "out.2."),
        ("mid_block.resnets.0.", "middle_block.0."),
        ("mid_block.attentions.0.", "middle_block.1."),
        ("mid_block.resnets.1.", "middle_block.2."),
    ]
    for i in range(3):
        for j in range(layers):
            places.append((f"down_blocks.{i}.resnets.{j}.", f"input_blocks.{step * i + j + 1}.0."))
            places.append((f"down_blocks.{i}.attentions.{j}.", f"input_blocks.{step * i + j + 1}.1."))
        places.append((f"down_blocks.{i}.downsamplers.0.conv.", f"input_blocks.{step * (i + 1)}.0.op."))
        for j in range(step):
            places.append((f"up_blocks.{i}.resnets.{j}.", f"output_blocks.{step * i + j}.0."))
            places.append((f"up_blocks.{i}.attentions.{j}.", f"output_blocks.{step * i + j}.1."))
        places.append((f"up_blocks.{i}.upsamplers.0.", f"output_blocks.{step * i + layers}.2."))
    inner = [
        ("norm1.", "in_layers.0."),
        ("conv1.", "in_layers.2."),
        ("norm2.", "out_layers.0."),
        ("conv2.", "out_layers.3."),
        ("time_emb_proj.", "emb_layers.1."),
        ("conv_shortcut.", "skip_connection."),
    ]
    out = {}
    for key, value in state.items():
        new = key.replace("conv_in.", "input_blocks.0.0.") if key.startswith("conv_in.") else key
        if ".resnets." in key:
            new = _replace(new, inner)
        out[_replace(new, places)] = value
    return out


def _vae(state: dict[str, torch.Tensor], blocks: int) -> dict[str, torch.Tensor]:
    places = [
        ("mid_block.resnets.0.", "mid.block_1."),
        ("mid_block.resnets.1.", "mid.block_2."),
        ("mid_block.attentions.0.", "mid.attn_1."),
        ("conv_norm_out.", "norm_out."),
        ("conv_shortcut.", "nin_shortcut."),
    ]
    for i in range(blocks):
        for j in range(3):
            places.append((f"encoder.down_blocks.{i}.resnets.{j}.", f"encoder.down.{i}.block.{j}."))
            places.append((f"decoder.up_blocks.{i}.resnets.{j}.", f"decoder.up.{blocks - 1 - i}.block.{j}."))
        places.append((f"down_blocks.{i}.downsamplers.0.", f"down.{i}.downsample."))
        places.append((f"up_blocks.{i}.upsamplers.0.", f"up.{blocks - 1 - i}.upsample."))
    attention = [
        ("group_norm.", "norm."),
        ("to_q.", "q."),
        ("to_k.", "k."),
        ("to_v.", "v."),
        ("to_out.0.", "proj_out."),
    ]
    out = {}
    for key, value in state.items():
        new = _replace(key, places)
        if "attentions" in key:
            new = _replace(new, attention)
            value = value[..., None, None] if value.ndim == 2 else value
        out[new] = value
    return out


def _open_clip(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    names = [
        ("text_model.", ""),
        ("embeddings.token_embedding.", "token_embedding."),
        ("embeddings.position_embedding.weight", "positional_embedding"),
        ("final_layer_norm.", "ln_final."),
        ("encoder.layers.", "transformer.resblocks."),
        ("layer_norm1.", "ln_1."),
        ("layer_norm2.", "ln_2."),
        ("mlp.fc1.", "mlp.c_fc."),
        ("mlp.fc2.", "mlp.c_proj."),
        ("self_attn.out_proj.", "attn.out_proj."),
    ]
    out = {}
    for key, value in state.items():
        if "k_proj" in key or "v_proj" in key or "position_ids" in key:
            continue
        if "q_proj" in key:
            parts = [state[key.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            kind = key.rsplit(".", 1)[1]
            new = _replace(key, names).replace(f"self_attn.q_proj.{kind}", f"attn.in_proj_{kind}")
            out[new] = torch.cat(parts)
        elif key == "text_projection.weight":
            out["text_projection"] = value.T
        else:
            out[_replace(key, names)] = value
    return out
