"""Stable Diffusion 1.5 folders, and memory options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from grefine_core.engines import load_inpaint_pipeline
from grefine_core.engines.prompts import encode_prompts

from ..tiny_models.naming import even_scale, fill_by_name
from ..tiny_models.sdxl import SCHEDULER_CONFIG, TEXT_2_CONFIG, UNET_CONFIG, VAE_CONFIG


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory) -> Path:
    """SD 1.5 inpainting: one text encoder, its last layer, no size conditioning."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = tmp_path_factory.mktemp("sd15")
    config = {k: v for k, v in UNET_CONFIG.items() if "addition" not in k and "projection_class" not in k}
    networks = {
        "unet": UNet2DConditionModel(**{**config, "cross_attention_dim": 32, "use_linear_projection": False}),
        "vae": AutoencoderKL(**{**VAE_CONFIG, "force_upcast": False}),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**TEXT_2_CONFIG)),
    }
    for name, network in networks.items():
        fill_by_name(network, even_scale).save_pretrained(folder / name)
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(
        json.dumps({**SCHEDULER_CONFIG, "_class_name": "DDIMScheduler"})
    )
    index = {
        "_class_name": "StableDiffusionInpaintPipeline",
        "_diffusers_version": "0.30.0",
        "feature_extractor": [None, None],
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def test_sd15_folder(small_folder):
    engine = load_inpaint_pipeline(small_folder, device="cpu")
    assert engine.min_side == engine.native_side == 128
    image, mask = torch.rand(1, 64, 64, 3), torch.ones(1, 64, 64)
    calls = []
    engine.pipe.unet.register_forward_hook(lambda *a: calls.append(1))
    out = engine.inpaint(image, mask, prompt="a (red:1.3) balloon", strength=0.3, steps=5, seed=1)
    assert len(calls) == 5
    assert out.shape == image.shape
    assert torch.isfinite(out).all()


def test_sd15_text_is_the_pipelines_own(small_folder):
    engine = load_inpaint_pipeline(small_folder, device="cpu")
    wanted, unwanted = engine.pipe.encode_prompt("a red balloon", torch.device("cpu"), 1, True, "blurry")
    ours, without = encode_prompts(engine.pipe, "a red balloon", "blurry", torch.device("cpu"))
    torch.testing.assert_close(ours.sequence, wanted)
    torch.testing.assert_close(without.sequence, unwanted)
    assert ours.pooled is None
    # Without a negative prompt SD 1.5 reads the empty one, it has no zeros.
    _, empty = encode_prompts(engine.pipe, "a red balloon", "", torch.device("cpu"))
    assert empty.sequence.abs().sum() > 0


@pytest.mark.parametrize(
    ("offload", "method"), [("model", "enable_model_cpu_offload"), ("sequential", "enable_sequential_cpu_offload")]
)
def test_offloading_is_asked_for(folder, monkeypatch, offload, method):
    pytest.importorskip("accelerate")
    import diffusers

    asked = []
    monkeypatch.setattr(
        diffusers.StableDiffusionXLInpaintPipeline, method, lambda self, device: asked.append(device), raising=True
    )
    load_inpaint_pipeline(folder, device="cpu", offload=offload)
    assert asked == [torch.device("cpu")]


def test_half_precision_keeps_the_vae_in_full(folder):
    engine = load_inpaint_pipeline(folder, device="cpu", dtype=torch.bfloat16)
    assert engine.pipe.unet.dtype == torch.bfloat16
    assert engine.pipe.vae.dtype == torch.float32  # SDXL's overflows
    out = engine.inpaint(torch.rand(1, 64, 64, 3), torch.ones(1, 64, 64), prompt="x", strength=0.5, steps=2, seed=1)
    assert out.dtype == torch.float32
    assert torch.isfinite(out).all()
