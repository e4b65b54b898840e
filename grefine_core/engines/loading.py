"""Loading a diffusers pipeline from a folder or a single file, never from a hub."""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from ..errors import InputError, ModelFileError
from ..memory import is_out_of_memory
from ..models.files import check_values
from .diffusers_sd import DiffusersInpainter, LatentSampler
from .folders import INDEX, arguments_of, check_sizes, read_config, read_index, weight_files
from .networks import Weights, load_text_encoder, load_unet, load_vae, text_settings
from .prompts import END, load_tokenizer, make_tokenizer

logger = logging.getLogger(__name__)

# What a single file holds, by its header

UNET = "model.diffusion_model."
_FIRST = UNET + "input_blocks.0.0.weight"
_VAE = "first_stage_model.decoder.conv_in.weight"
_ENCODERS = (
    "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight",
    "conditioner.embedders.1.model.token_embedding.weight",
)
_PARTS = (UNET, "first_stage_model.", "conditioner.")


@dataclass(frozen=True)
class Checkpoint:
    """A Stable Diffusion XL checkpoint in the original layout.

    Attributes:
        path: the file.
        channels: input channels of the UNet; 9 for inpainting models, 4 for ordinary ones.
    """

    path: Path
    channels: int


def inspect_checkpoint(path: Path) -> Checkpoint:
    """Return what the file holds.

    Raises:
        ModelFileError: no safetensors file, damaged, or not a whole SDXL checkpoint; says what is missing.
    """
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors":
        raise ModelFileError(
            f"{path}: single-file checkpoints are read as .safetensors only, because pickled ones can run code. "
            "Convert the file, or give a diffusers folder."
        )
    try:
        with safe_open(path, framework="pt") as file:
            keys = set(file.keys())
            shape = file.get_slice(_FIRST).get_shape() if _FIRST in keys else []
            whole = [key for key in sorted(keys) if key.startswith(_PARTS) and _is_whole(file.get_slice(key), key)]
    except (SafetensorError, OSError) as e:
        raise ModelFileError(f"{path}: damaged or no safetensors file ({e}). Download it again.") from e

    if whole:
        raise ModelFileError(
            f"{path}: {whole[0]} is of type integer, expected floats: the file is quantised or damaged. Take "
            "the model in float32, float16 or bfloat16."
        )
    if any(key.startswith("cond_stage_model.") for key in keys):
        raise ModelFileError(
            f"{path}: this is a Stable Diffusion 1 or 2 checkpoint; single files are supported for SDXL only. "
            "Give a diffusers folder of this model instead."
        )
    missing = [
        part
        for part, key in (("the UNet", _FIRST), ("the VAE", _VAE), *(("a text encoder", key) for key in _ENCODERS))
        if key not in keys
    ]
    if missing:
        hint = ""
        if "conv_in.weight" in keys or "input_blocks.0.0.weight" in keys:
            hint = " It looks like a UNet alone: put it into a diffusers folder beside text encoders and a VAE."
        raise ModelFileError(f"{path}: not a whole SDXL checkpoint, {' and '.join(missing)} missing.{hint}")
    if shape[1] not in (4, 9):
        raise ModelFileError(f"{path}: the UNet takes {shape[1]} channels; expected 9 (inpainting) or 4.")
    return Checkpoint(path, int(shape[1]))


def _is_whole(part: Any, key: str) -> bool:
    """Whether a weight is of whole numbers or truth values; positions, which only count, may be."""
    return str(part.get_dtype()).startswith(("I", "U", "BOOL")) and not key.endswith(".position_ids")


# diffusers itself, which a ComfyUI does not bring

#: What diffusers sets bounds on and others in the same environment rely on.
_SHARED = ("huggingface_hub", "safetensors", "numpy")


def need_diffusers(purpose: str) -> None:
    """Return if diffusers can be imported.

    Args:
        purpose: what needs it, the start of the error's sentence.

    Raises:
        InputError: it cannot, with the command that installs one beside what is there. Without the versions in it, pip
            takes the newest, which may replace huggingface_hub and so break the transformers that ComfyUI starts with.
    """
    try:
        import diffusers  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in (None, "diffusers"):
            raise  # it is there, but lacks something of its own
        raise InputError(f"{purpose} needs the package diffusers. {how_to_install()}") from error


def how_to_install() -> str:
    """The sentence with the command, for this interpreter and the versions that it has."""
    kept = [f"{name}=={found}" for name in _SHARED if (found := _version(name))]
    command = " ".join([f'"{sys.executable}" -m pip install "diffusers>=0.30"', *kept])
    return f"Install one that fits what is there, and restart: {command}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


Offload = Literal["none", "model", "sequential"]
#: Configuration of the SDXL inpainting networks: their sizes, which a single file does not state.
SDXL_CONFIG = Path(__file__).with_name("configs") / "sdxl-inpaint"
#: What is read of a scheduler's configuration.
_SCHEDULE = (
    *("beta_end", "beta_schedule", "beta_start", "num_train_timesteps", "prediction_type", "rescale_betas_zero_snr"),
    *("steps_offset", "timestep_spacing", "trained_betas"),
)
_MOST_TIMESTEPS = 100_000


def check_inpaint_pipeline(path: str | Path) -> None:
    """Return if :func:`load_inpaint_pipeline` is likely to read what is at a path; of its weights nothing is read.

    Args:
        path: a diffusers folder, or a checkpoint in one file.

    Raises:
        InputError: the package diffusers is not there.
        ModelFileError: there is nothing, or something else; says what.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise ModelFileError(f"{place}: no such file or folder. Give a diffusers folder or a .safetensors checkpoint.")
    need_diffusers("An inpainting pipeline")
    if place.is_dir():
        read_index(place)
    else:
        inspect_checkpoint(place)


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
    path = Path(path).expanduser()
    if offload not in get_args(Offload):
        raise InputError(f"offload: expected one of {get_args(Offload)}, got {offload!r}.")
    if offload != "none" and importlib.util.find_spec("accelerate") is None:
        raise InputError(f'offload="{offload}" needs the package accelerate: pip install accelerate.')
    target = torch.device(device if device is not None else ("cuda" if torch.cuda.is_available() else "cpu"))
    if dtype is None:
        dtype = torch.float16 if target.type == "cuda" else torch.float32
    check_inpaint_pipeline(path)
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

    index = read_index(path)
    large = "XL" in index["_class_name"]

    def load(part: str, build: Callable[..., Any], dtype: torch.dtype = dtype, **options: Any) -> Any:
        if not (path / part).is_dir():
            hint = " (an SDXL refiner?); this engine needs a base model" if part == "text_encoder" else ""
            raise ModelFileError(f"{path}: no {part} in it{hint}.")
        files = weight_files(path / part, half=dtype == torch.float16, pickles=False)
        return build(Weights.open(files), read_config(path / part), dtype, torch.device("cpu"), **options)

    upcast = read_config(path / "vae").get("force_upcast", False)  # SDXL's overflows in half precision
    parts: dict[str, Any] = {
        "unet": load("unet", load_unet),
        "vae": load("vae", load_vae, torch.float32 if upcast else dtype),
        "text_encoder": load("text_encoder", load_text_encoder),
        "tokenizer": load_tokenizer(path / "tokenizer"),
        "scheduler": diffusers.EulerDiscreteScheduler(**_schedule(path)),
    }
    if not large:
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        return diffusers.StableDiffusionInpaintPipeline(**parts)
    parts |= {
        "text_encoder_2": load("text_encoder_2", load_text_encoder, projection=True),
        "tokenizer_2": load_tokenizer(path / "tokenizer_2", "!"),
        **_switches(index),
    }
    return diffusers.StableDiffusionXLInpaintPipeline(**parts, add_watermarker=False)


def _from_file(path: Path, dtype: torch.dtype, config: Path) -> Any:
    import diffusers

    checkpoint = inspect_checkpoint(path)
    given: dict[str, Any] = {
        "tokenizer": make_tokenizer(END),
        "tokenizer_2": make_tokenizer("!"),
        "add_watermarker": False,
    }
    with tempfile.TemporaryDirectory(prefix="grefine-config-") as scratch:
        _write_configs(config, Path(scratch))
        options: dict[str, Any] = {"config": scratch, "torch_dtype": dtype, "local_files_only": True}
        if checkpoint.channels != 9:
            given["unet"] = diffusers.UNet2DConditionModel.from_single_file(
                str(path), subfolder="unet", in_channels=checkpoint.channels, **options
            )
        pipe = diffusers.StableDiffusionXLInpaintPipeline.from_single_file(str(path), **options, **given)
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        # Converted to another type, a value may be beyond its range.
        check_values(f"{path}, {part}", getattr(pipe, part).state_dict())
    return pipe


def _write_configs(config: Path, target: Path) -> None:
    """Write a folder of configurations anew, less all that diffusers would read in it beyond the networks' settings."""
    import diffusers

    index = read_index(config)
    networks = {"unet": diffusers.UNet2DConditionModel, "vae": diffusers.AutoencoderKL}
    written: dict[str, dict[str, Any]] = {"": json.loads((SDXL_CONFIG / INDEX).read_text(encoding="utf-8"))}
    written[""] |= _switches(index)
    for part, network in networks.items():
        written[part] = {"_class_name": network.__name__, **arguments_of(network, read_config(config / part))}
    for part in ("text_encoder", "text_encoder_2"):
        written[part] = {"model_type": "clip_text_model", **text_settings(read_config(config / part))}
    written["scheduler"] = {"_class_name": "EulerDiscreteScheduler", **_schedule(config)}
    for part, content in written.items():
        check_sizes(config / part, content if part not in ("", "scheduler") else {})
        name = {"": INDEX, "scheduler": "scheduler_config.json"}.get(part, "config.json")
        (target / part).mkdir(exist_ok=True)
        (target / part / name).write_text(json.dumps(content), encoding="utf-8")


def _switches(index: dict[str, Any]) -> dict[str, bool]:
    """What a pipeline's index says of SDXL beside its parts."""
    names = {"force_zeros_for_empty_prompt": True, "requires_aesthetics_score": False}
    return {name: bool(index.get(name, usual)) for name, usual in names.items()}


def _schedule(folder: Path) -> dict[str, Any]:
    """What a folder's scheduler says of noise. Whichever it names, the betas are the model's; the loop is Euler's."""
    place = folder / "scheduler"
    config = read_config(place, "scheduler_config.json")
    steps = config.get("num_train_timesteps", 1000)
    if isinstance(steps, bool) or not isinstance(steps, int) or not 0 < steps <= _MOST_TIMESTEPS:
        raise ModelFileError(f"{place}: num_train_timesteps is {str(steps)[:100]}; expected 1 to {_MOST_TIMESTEPS}.")
    return {name: config[name] for name in _SCHEDULE if name in config}


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
