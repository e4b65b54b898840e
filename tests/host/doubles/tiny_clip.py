"""Real text encoders of the host, shrunk: the host's tokenizer, attention, pooling and prompt weights, no weight files.

``tiny_text_encoder`` returns a CLIP of the host, usable wherever its loaders' would be. Width "tiny" makes one of a few
hundred thousand parameters; "full" keeps the widths of the real models (768 and 1280), so that its output fits UNets of
the real kind, with two layers and a token table that shares its memory.
"""

from __future__ import annotations

from typing import Any

import comfy.sd
import comfy.sd1_clip
import comfy.sdxl_clip
import comfy.supported_models_base
import torch

from .seeding import seed_weights

KINDS = ("sdxl", "sd15")
WIDTHS = ("tiny", "full")
#: Widths of clip_l and clip_g.
SIZES = {"tiny": (64, 64), "full": (768, 1280)}


def tiny_text_encoder(kind: str = "sdxl", width: str = "tiny", seed: int = 0) -> Any:
    """A CLIP of the host with seeded weights.

    kind: "sdxl" gives what DualCLIPLoader (sdxl) would, "sd15" what CLIPLoader would. width: see the module.
    """
    sizes = dict(zip(("clip_l", "clip_g"), SIZES[width], strict=True))
    options: dict[str, Any] = {
        f"{name}_model_config": {
            "hidden_size": size,
            "intermediate_size": 2 * size if width == "tiny" else 256,
            "num_attention_heads": max(1, size // 64),
            "num_hidden_layers": 3,
        }
        for name, size in sizes.items()
    }
    options["dtype"] = torch.float32
    if kind == "sdxl":
        target = comfy.supported_models_base.ClipTarget(comfy.sdxl_clip.SDXLTokenizer, comfy.sdxl_clip.SDXLClipModel)
    else:
        target = comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, comfy.sd1_clip.SD1ClipModel)
    clip = comfy.sd.CLIP(target, model_options=options)
    tables = [
        _share_rows(module)
        for module in clip.cond_stage_model.modules()
        if isinstance(module, torch.nn.Embedding) and module.weight.shape[0] > 10000
    ]
    seed_weights(clip.cond_stage_model, seed, skip=[id(table) for table in tables])
    return clip


def _share_rows(table: torch.nn.Embedding) -> torch.nn.Parameter:
    """Every token a different row, all of them windows into one short piece of memory: no 400 MB of noise."""
    count, width = table.weight.shape
    noise = torch.randn(count + width, generator=torch.Generator().manual_seed(width)) * 0.5
    table.weight = torch.nn.Parameter(noise.as_strided((count, width), (1, 1)), requires_grad=False)
    return table.weight


class TinyTextEncoder:
    CATEGORY, FUNCTION, RETURN_TYPES = "grefine tests", "make", ("CLIP",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {"kind": (list(KINDS),), "width": (list(WIDTHS),)},
            "optional": {"seed": ("INT", {"default": 0})},
        }

    def make(self, kind: str, width: str, seed: int = 0) -> tuple[Any]:
        return (tiny_text_encoder(kind, width, seed),)
