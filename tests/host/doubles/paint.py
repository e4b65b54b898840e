"""Models whose result is known: a denoiser that paints one colour, and a VAE of block means."""

from __future__ import annotations

import time
from typing import Any

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.model_sampling
import comfy.sd
import comfy.supported_models
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .journal import note

KINDS = ("ordinary", "inpaint", "flow16", "video16")


class PaintNetwork(nn.Module):
    """Predicts the clean latent of the colour in the first three numbers of the context, wherever it is asked."""

    dtype = torch.float32

    def __init__(self, latent_format: Any, journal: str, delay: float, fail_at: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.latent_format, self.journal, self.delay, self.fail_at = latent_format, journal, delay, fail_at
        self.calls = 0

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor, **_: Any) -> Tensor:
        self.calls += 1
        channels = self.latent_format.latent_channels
        entry = {
            "shape": list(x.shape),
            "timestep": float(timesteps.flatten()[0]),
            "colors": context[:, 0, :3].tolist(),
        }
        if x.shape[1] > channels:
            mask, known = x[:, channels : channels + 1], self.latent_format.process_out(x[:, channels + 1 :])
            entry["mask"] = float(mask.mean())
            entry["under_mask"] = float((known * mask).abs().max())
            entry["beside_mask"] = float((known * (1 - mask)).abs().max())
        note(self.journal, **entry)
        if self.calls == self.fail_at:
            raise comfy.model_management.OOM_EXCEPTION("pretended")
        time.sleep(self.delay)
        clean = torch.zeros(x.shape[0], channels, device=x.device)
        clean[:, :3] = context[:, 0, :3]
        clean = clean.view(*clean.shape, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:]).contiguous()
        return self.latent_format.process_in(clean)


class _Predicts:
    """The network's answer is the clean latent, whatever the kind of noise."""

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        return model_output


class _Discrete(_Predicts, comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.EPS):
    pass


class _Flow(_Predicts, comfy.model_sampling.ModelSamplingFlux, comfy.model_sampling.CONST):
    pass


def paint_model(kind: str, journal: str = "", delay: float = 0.0, fail_at: int = 0) -> Any:
    """A MODEL that paints; ``kind`` is one of ``KINDS``. ``fail_at``: number of the call that runs out of memory."""
    config = comfy.supported_models.SD15(
        {"in_channels": 9 if kind == "inpaint" else 4, "disable_unet_model_creation": True}
    )
    if kind == "flow16":
        config.latent_format = comfy.latent_formats.Flux()
    elif kind == "video16":
        config.latent_format = comfy.latent_formats.Wan21()
    config.set_inference_dtype(torch.float32, None)
    device = comfy.model_management.get_torch_device()
    model = comfy.model_base.BaseModel(config, device=device)
    if kind == "inpaint":
        model.set_inpaint()
    model.model_sampling = _Flow(config) if kind in ("flow16", "video16") else _Discrete(config)
    model.diffusion_model = PaintNetwork(config.latent_format, journal, delay, fail_at)
    return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=torch.device("cpu"))


class PaintModel:
    CATEGORY, FUNCTION, RETURN_TYPES = "grefine tests", "make", ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {"kind": (list(KINDS),)},
            "optional": {
                "journal": ("STRING", {"default": ""}),
                "delay": ("FLOAT", {"default": 0.0}),
                "fail_at": ("INT", {"default": 0}),
            },
        }

    def make(self, kind: str, journal: str = "", delay: float = 0.0, fail_at: int = 0) -> tuple[Any]:
        return (paint_model(kind, journal, delay, fail_at),)


class BlockMeans(nn.Module):
    """The mean of each block in the first three latent channels; decoding spreads it again. Exact on flat blocks."""

    def __init__(self, channels: int, factor: int, journal: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.channels, self.factor, self.journal = channels, factor, journal

    def encode(self, x: Tensor) -> Tensor:
        note(self.journal, encode=list(x.shape))
        frames = x.ndim == 5
        flat = x.squeeze(2) if frames else x
        small = F.avg_pool2d(flat, self.factor)
        small = F.pad(small, (0, 0, 0, 0, 0, self.channels - small.shape[1]))
        return small.unsqueeze(2) if frames else small

    def decode(self, x: Tensor) -> Tensor:
        frames = x.ndim == 5
        flat = (x.squeeze(2) if frames else x)[:, :3]
        large = flat.repeat_interleave(self.factor, -2).repeat_interleave(self.factor, -1)
        return large.unsqueeze(2) if frames else large


def block_mean_vae(channels: int = 4, factor: int = 8, video: bool = False, journal: str = "") -> Any:
    """A VAE of the host around ``BlockMeans``."""
    vae = comfy.sd.VAE(sd={"taesd_decoder.1.weight": torch.zeros(64, 4, 3, 3)})
    vae.first_stage_model = BlockMeans(channels, factor, journal).eval()
    vae.vae_dtype = torch.float32
    vae.patcher = comfy.model_patcher.ModelPatcher(
        vae.first_stage_model, load_device=vae.device, offload_device=torch.device("cpu")
    )
    vae.latent_channels = channels
    vae.downscale_ratio = vae.upscale_ratio = factor
    vae.process_input = lambda image: image * 2.0 - 1.0
    vae.process_output = lambda image: image.add_(1.0).div_(2.0).clamp_(0.0, 1.0)  # newer hosts ask for it in place
    if video:
        vae.latent_dim, vae.not_video = 3, False
        vae.downscale_ratio = (lambda frames: frames, factor, factor)
        vae.upscale_ratio = (lambda frames: frames, factor, factor)
        vae.memory_used_encode = vae.memory_used_decode = lambda shape, dtype: 1
    return vae


class BlockMeanVAE:
    CATEGORY, FUNCTION, RETURN_TYPES = "grefine tests", "make", ("VAE",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {"channels": ("INT", {"default": 4}), "factor": ("INT", {"default": 8})},
            "optional": {"video": ("BOOLEAN", {"default": False}), "journal": ("STRING", {"default": ""})},
        }

    def make(self, channels: int, factor: int, video: bool = False, journal: str = "") -> tuple[Any]:
        return (block_mean_vae(channels, factor, video, journal),)


class PaintConditioning:
    """``color``: three numbers in [0, 1] with blanks between; what ``GRefineDoubleModel`` paints."""

    CATEGORY, FUNCTION, RETURN_TYPES = "grefine tests", "make", ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"color": ("STRING", {"default": "0.5 0.5 0.5"})}}

    def make(self, color: str) -> tuple[Any]:
        context = torch.zeros(1, 2, 8)
        context[0, :, :3] = torch.tensor([float(part) for part in color.split()]) * 2.0 - 1.0
        return ([[context, {"pooled_output": torch.zeros(1, 8)}]],)


class _Tint:
    size_multiple, min_side = 8, 1

    def __init__(self, journal: str) -> None:
        self.journal = journal

    def restore(
        self,
        image: Tensor,
        *,
        prompt: str,
        strength: float,
        steps: int,
        seed: int,
        index: int = 0,
        progress: Any = None,
    ) -> Tensor:
        note(self.journal, prompt=prompt, strength=strength, steps=steps, seed=seed, shape=list(image.shape))
        for done in range(steps):
            if progress is not None:
                progress(done + 1, steps, None)
        return image * (1.0 - strength)


class TintRestorer:
    """Darkens by the strength."""

    CATEGORY, FUNCTION, RETURN_TYPES = "grefine tests", "make", ("GREFINE_RESTORER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"journal": ("STRING", {"default": ""})}}

    def make(self, journal: str) -> tuple[Any]:
        return (_Tint(journal),)
