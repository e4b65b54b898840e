"""Real parts of the host's newer families, shrunk and seeded: networks, language models as text encoders, SeedVR2.

What they draw means nothing, but all of the host's code runs. Families that the host has no class for have no nodes.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import comfy.controlnet
import comfy.latent_formats
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.supported_models
import comfy.supported_models_base
import torch

from .seeding import seed_weights
from .tiny_clip import _share_rows
from .tiny_families import _qwen, family_network, known_families

HAS_SEEDVR2 = find_spec("comfy.ldm.seedvr") is not None
_UPSCALER = "decoder.up_blocks.2.upsamplers.0.upscale_conv.weight"
#: Module of the host, tokenizer, what makes the encoder, its name, width, layers.
_ENCODERS = {
    "Z-Image": ("z_image", "ZImageTokenizer", "te", "qwen3_4b", 48, 3),
    "Qwen-Image": ("qwen_image", "QwenImageTokenizer", "te", "qwen25_7b", 48, 2),
    # Three of its layers beside each other are what the network reads, the last of them the 27th.
    "Flux.2 Klein": ("flux", "KleinTokenizer", "klein_te", "qwen3_4b", 16, 28),
}


def _has(module: str, name: str) -> bool:
    return find_spec(f"comfy.text_encoders.{module}") is not None and hasattr(
        import_module(f"comfy.text_encoders.{module}"), name
    )


ENCODERS = [family for family, (module, *names) in _ENCODERS.items() if _has(module, names[0])]


def tiny_language_model(family: str, seed: int = 0) -> Any:
    """A CLIP of the host as its loader gives it for a family: its tokenizer, and a language model of a few layers."""
    module, tokenizer, encoder, name, width, layers = _ENCODERS[family]
    host = import_module(f"comfy.text_encoders.{module}")
    settings = {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    target = comfy.supported_models_base.ClipTarget(getattr(host, tokenizer), getattr(host, encoder)())
    clip = comfy.sd.CLIP(target, model_options={f"{name}_model_config": settings, "dtype": torch.float32})
    transformer = getattr(clip.cond_stage_model, name).transformer
    if hasattr(transformer, "visual"):
        # Of the real one nothing was written yet, so that it took no memory.
        eyes = import_module("comfy.text_encoders.qwen_vl").Qwen2VLVisionTransformer
        make = {"device": "cpu", "dtype": torch.float32, "ops": comfy.ops.manual_cast}
        sizes = {"hidden_size": 64, "output_hidden_size": width, "intermediate_size": 64, "num_heads": 2}
        transformer.visual = eyes(**sizes, num_layers=1, **make)
    tables = [
        _share_rows(table)
        for table in clip.cond_stage_model.modules()
        if isinstance(table, torch.nn.Embedding) and table.weight.shape[0] > 10000
    ]
    seed_weights(clip.cond_stage_model, seed, skip=[id(table) for table in tables])
    return clip


def tiny_qwen_controlnet(seed: int = 0) -> Any:
    """A CONTROL_NET for the tiny Qwen-Image: the one for inpainting, which is shown a mask beside its picture."""
    from comfy.ldm.qwen_image.controlnet import QwenImageControlNetModel

    settings = {key: value for key, value in _qwen().items() if key != "image_model"}
    make = {"dtype": torch.float32, "device": "cpu", "operations": comfy.ops.manual_cast}
    network = QwenImageControlNetModel(extra_condition_channels=4, **settings, **make)
    seed_weights(network, seed)
    return comfy.controlnet.ControlNet(
        network,
        compression_ratio=1,
        latent_format=comfy.latent_formats.Wan21(),
        concat_mask=True,
        load_device=comfy.model_management.get_torch_device(),
        extra_conds=[],
    )


def tiny_seedvr2(seed: int = 0) -> Any:
    """A MODEL: SeedVR2 of two blocks, with the texts that it carries."""
    settings = {"image_model": "seedvr2", "norm_eps": 1e-5, "num_layers": 2, "mlp_type": "swiglu", "vid_out_norm": True}
    config = comfy.supported_models.SeedVR2({**settings, "vid_dim": 128, "heads": 1, "mm_layers": 1})
    config.set_inference_dtype(torch.float32, None)
    device = comfy.model_management.get_torch_device()
    model = config.get_model({}, "", device)
    network = seed_weights(model.diffusion_model, seed)
    for name in ("positive_conditioning", "negative_conditioning"):
        texts = getattr(network, name)
        texts.copy_(torch.randn(texts.shape, generator=torch.Generator().manual_seed(len(texts))))
    return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=torch.device("cpu"))


def tiny_seedvr2_vae(seed: int = 0) -> Any:
    """Its VAE, as wide as its norms allow."""
    from comfy.ldm.seedvr.vae import Decoder3D, Encoder3D, VideoAutoencoderKLWrapper

    with torch.device("meta"):  # of the real size, for the host knows it by that
        vae = comfy.sd.VAE(sd={_UPSCALER: torch.zeros(1024, 256, 1, 1, 1)})
        model = VideoAutoencoderKLWrapper()
    sizes = {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1, "inflation_mode": "pad"}
    sizes["time_receptive_field"] = "full"
    model.encoder = Encoder3D(
        in_channels=3, out_channels=16, down_block_types=("DownEncoderBlock3D",) * 4, temporal_down_num=2, **sizes
    )
    model.decoder = Decoder3D(
        in_channels=16, out_channels=3, up_block_types=("UpDecoderBlock3D",) * 4, temporal_up_num=2, **sizes
    )
    vae.first_stage_model = seed_weights(model, seed)
    vae.vae_dtype = torch.float32
    device = comfy.model_management.get_torch_device()
    vae.patcher = comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=torch.device("cpu"))
    return vae


class TinyFamily:
    """MODEL with the network of a family, as ``tiny_families`` shrinks it."""

    CATEGORY, FUNCTION, RETURN_TYPES = "grefine tests", "make", ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"family": (known_families(),)}}

    def make(self, family: str) -> tuple[Any]:
        return (family_network(family),)


class TinyLanguageModel:
    CATEGORY, FUNCTION, RETURN_TYPES = "grefine tests", "make", ("CLIP",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"family": (ENCODERS,)}}

    def make(self, family: str) -> tuple[Any]:
        return (tiny_language_model(family),)


class TinyQwenControlNet:
    CATEGORY, FUNCTION, RETURN_TYPES = "grefine tests", "make", ("CONTROL_NET",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {}}

    def make(self) -> tuple[Any]:
        return (tiny_qwen_controlnet(),)


class TinySeedVR2:
    CATEGORY, FUNCTION, RETURN_TYPES = "grefine tests", "make", ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {}}

    def make(self) -> tuple[Any]:
        return (tiny_seedvr2(),)


class TinySeedVR2VAE:
    CATEGORY, FUNCTION, RETURN_TYPES = "grefine tests", "make", ("VAE",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {}}

    def make(self) -> tuple[Any]:
        return (tiny_seedvr2_vae(),)
