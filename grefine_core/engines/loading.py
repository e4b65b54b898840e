"""Loading a diffusers pipeline from a folder or a single file, never from a hub."""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from ..errors import InputError, ModelFileError
from ..memory import is_out_of_memory
from .checkpoint import inspect_checkpoint
from .diffusers_inpaint import DiffusersInpainter
from .needs import need_diffusers
from .sampler import LatentSampler
from .tokenizer import END, make_tokenizer

logger = logging.getLogger(__name__)
Offload = Literal["none", "model", "sequential"]
#: Configuration of the SDXL inpainting networks: their sizes, which a single file does not state.
SDXL_CONFIG = Path(__file__).with_name("configs") / "sdxl-inpaint"
_INPAINT = {"xl": "StableDiffusionXLInpaintPipeline", "1.5": "StableDiffusionInpaintPipeline"}


def load_inpaint_pipeline(
    path: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    offload: Offload = "none",
    guidance_scale: float = 7.0,
    negative_prompt: str = "",
    config: str | Path | None = None,
) -> DiffusersInpainter:
    """Load an inpainting pipeline as the engine of stage 1 (and, by ``.restorer()``, of stage 2).

    Args:
        path: a diffusers folder (``model_index.json``; SDXL or SD 1.5, inpainting or ordinary, full or fp16 files), or
            an SDXL checkpoint in one ``.safetensors`` file (9 or 4 input channels).
        device: where it runs; None = the GPU if there is one.
        dtype: of UNet and text encoders; None = float16 on a GPU, float32 elsewhere. A VAE that overflows in float16
            stays in float32.
        offload: "model" keeps only the network at work on the device, "sequential" only the layer at work (slow, for
            very small cards). Both need the package accelerate.
        guidance_scale: classifier-free guidance.
        negative_prompt: what the picture should not show.
        config: folder with the networks' configurations for a single file; None = SDXL's.

    Raises:
        InputError: an unknown ``offload``, or accelerate is missing for it; or diffusers is missing.
        ModelFileError: nothing there, damaged, incomplete, or of another kind of model.
    """
    path = Path(path)
    if offload not in get_args(Offload):
        raise InputError(f"offload: expected one of {get_args(Offload)}, got {offload!r}.")
    if offload != "none" and importlib.util.find_spec("accelerate") is None:
        raise InputError(f'offload="{offload}" needs the package accelerate: pip install accelerate.')
    target = torch.device(device if device is not None else ("cuda" if torch.cuda.is_available() else "cpu"))
    if dtype is None:
        dtype = torch.float16 if target.type == "cuda" else torch.float32
    if not path.exists():
        raise ModelFileError(f"{path}: no such file or folder. Give a diffusers folder or a .safetensors checkpoint.")
    need_diffusers("An inpainting pipeline")
    try:
        with warnings.catch_warnings():
            # "torch_dtype" is the only spelling that the oldest supported diffusers knows.
            warnings.filterwarnings("ignore", message=".*torch_dtype.*", category=FutureWarning)
            pipe = _from_folder(path, dtype) if path.is_dir() else _from_file(path, dtype, Path(config or SDXL_CONFIG))
    except (ModelFileError, InputError):
        raise
    except Exception as e:  # the libraries raise nearly anything on damaged files
        if is_out_of_memory(e):
            raise
        raise ModelFileError(f"{path}: could not be loaded as an inpainting pipeline ({type(e).__name__}: {e}).") from e
    _check(pipe, path)
    if getattr(pipe.vae.config, "force_upcast", False) and pipe.vae.dtype != torch.float32:
        pipe.vae.to(dtype=torch.float32)  # SDXL's overflows in half precision
    pipe.set_progress_bar_config(disable=True)
    if offload == "model":
        pipe.enable_model_cpu_offload(device=target)
    elif offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=target)
    else:
        pipe.to(target)
    logger.info("Loaded %s (%s, %s, offload %s)", path, type(pipe).__name__, dtype, offload)
    return DiffusersInpainter(LatentSampler(pipe, guidance_scale, negative_prompt))


def _from_folder(path: Path, dtype: torch.dtype) -> Any:
    import diffusers

    index = path / "model_index.json"
    if not index.is_file():
        raise ModelFileError(f"{path}: no model_index.json in it, so it is no diffusers folder.")
    try:
        listed = json.loads(index.read_text(encoding="utf-8"))
        name = str(listed["_class_name"])
    except (ValueError, KeyError, TypeError) as e:
        raise ModelFileError(f"{index}: no valid model index ({e}).") from e
    if not name.startswith("StableDiffusion") or name.startswith("StableDiffusion3"):
        raise ModelFileError(f"{path}: {name} is not supported; expected a Stable Diffusion XL or 1.5 pipeline.")
    large = "XL" in name
    options: dict[str, Any] = {"torch_dtype": dtype, "local_files_only": True, "use_safetensors": True}
    if _only_half(path / "unet"):
        options["variant"] = "fp16"
    if not (path / "tokenizer").is_dir():
        options["tokenizer"] = make_tokenizer()
    if large:
        options["add_watermarker"] = False
        if not (path / "tokenizer_2").is_dir():
            options["tokenizer_2"] = make_tokenizer("!")
    else:
        options.update(safety_checker=None, requires_safety_checker=False)
    return getattr(diffusers, _INPAINT["xl" if large else "1.5"]).from_pretrained(str(path), **options)


def _only_half(folder: Path) -> bool:
    """Whether a folder holds fp16 files only."""
    names = [file.name for file in folder.glob("*.safetensors")]
    return bool(names) and all(".fp16" in name for name in names)


def _from_file(path: Path, dtype: torch.dtype, config: Path) -> Any:
    import diffusers

    checkpoint = inspect_checkpoint(path)
    if not (config / "model_index.json").is_file():
        raise ModelFileError(f"{config}: no model_index.json in it, so it holds no pipeline configuration.")
    given: dict[str, Any] = {
        "tokenizer": make_tokenizer(END),
        "tokenizer_2": make_tokenizer("!"),
        "add_watermarker": False,
    }
    if checkpoint.channels != 9:
        given["unet"] = diffusers.UNet2DConditionModel.from_single_file(
            str(path),
            config=str(config),
            subfolder="unet",
            in_channels=checkpoint.channels,
            torch_dtype=dtype,
            local_files_only=True,
        )
    return diffusers.StableDiffusionXLInpaintPipeline.from_single_file(
        str(path), config=str(config), torch_dtype=dtype, local_files_only=True, **given
    )


def _check(pipe: Any, path: Path) -> None:
    """Nothing missing: a network with a hole would run and give noise."""
    for name, network in pipe.components.items():
        if isinstance(network, torch.nn.Module) and any(part.is_meta for part in network.parameters()):
            raise ModelFileError(f"{path}: weights of the component {name!r} are missing.")
    channels, latent = pipe.unet.config.in_channels, pipe.vae.config.latent_channels
    if channels not in (latent, 2 * latent + 1):
        raise ModelFileError(f"{path}: the UNet takes {channels} channels; expected {2 * latent + 1} or {latent}.")
    if any(getattr(pipe, part, None) is None for part in ("tokenizer", "text_encoder")):
        raise ModelFileError(f"{path}: no first text encoder (an SDXL refiner?); this engine needs a base model.")
