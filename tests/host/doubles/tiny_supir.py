"""SUPIR of the host, shrunk to the tiny "sdxl" UNet; only newer hosts have it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import torch

from .seeding import seed_weights
from .tiny_clip import SIZES

HAS_SUPIR = find_spec("comfy.ldm.supir") is not None
_L, _G = SIZES["tiny"]


def tiny_supir(seed: int = 0) -> Any:
    """A MODEL_PATCH as ModelPatchLoader gives it: control encoder and one adapter for each place in the UNet."""
    from comfy.ldm.supir.supir_modules import SUPIR, GLVControl, ZeroCrossAttn, ZeroSFT

    make = {"dtype": torch.float32, "device": "cpu", "operations": comfy.ops.manual_cast}
    model = SUPIR.__new__(SUPIR)
    torch.nn.Module.__init__(model)
    model.control_model = GLVControl(
        model_channels=32,
        num_res_blocks=1,
        attention_resolutions=(1, 2),
        channel_mult=(1, 2),
        num_head_channels=16,
        transformer_depth=(1, 1),
        context_dim=_L + _G,
        adm_in_channels=_G + 1536,
        **make,
    )
    # From the UNet's last block back to its middle, as they are counted off: what is added to, what stands beside it.
    model.project_modules = torch.nn.ModuleList(
        [
            ZeroSFT(32, 32, concat_channels=32, **make),
            ZeroSFT(32, 32, concat_channels=64, **make),
            ZeroCrossAttn(32, 64, **make),
            ZeroSFT(32, 32, concat_channels=64, **make),
            ZeroSFT(64, 64, concat_channels=64, **make),
            ZeroSFT(64, 64, **make),
        ]
    )
    seed_weights(model, seed)
    device = comfy.model_management.get_torch_device()
    return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=torch.device("cpu"))


class TinySUPIR:
    CATEGORY, FUNCTION, RETURN_TYPES = "grefine tests", "make", ("MODEL_PATCH",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {}, "optional": {"seed": ("INT", {"default": 0})}}

    def make(self, seed: int = 0) -> tuple[Any]:
        return (tiny_supir(seed),)
