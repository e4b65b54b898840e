"""diffusers' folders as files of data: what they name, their configurations, their weight files.

Such a folder may come from anybody. diffusers and transformers would import the classes that its ``model_index.json``
and configurations name, also from modules that lie in it, and fetch others; so none of their loaders ever sees it. Here
every class that it names is compared with ours, and of each configuration only the settings that our own classes take
are read.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ModelFileError
from ..files import read_json

logger = logging.getLogger(__name__)
INDEX = "model_index.json"
#: Pipelines whose parts are those of ``_CLASSES``.
PIPELINES = frozenset(
    f"StableDiffusion{size}{kind}Pipeline{legacy}"
    for size in ("", "XL")
    for kind, legacy in (("", ""), ("Inpaint", ""), ("Img2Img", ""), *((("Inpaint", "Legacy"),) if not size else ()))
)
_CLIP_TOKENIZERS = ("transformers.CLIPTokenizer", "transformers.CLIPTokenizerFast")
_SCHEDULERS = (
    *("DDIM", "DDPM", "DEISMultistep", "DPMSolverMultistep", "DPMSolverSDE", "DPMSolverSinglestep", "EDMEuler"),
    *("EulerAncestralDiscrete", "EulerDiscrete", "HeunDiscrete", "KDPM2AncestralDiscrete", "KDPM2Discrete", "LCM"),
    *("LMSDiscrete", "PNDM", "SASolver", "TCD", "UniPCMultistep"),
)
#: What a part may be. Schedules are read for their betas alone; of the last three parts nothing is read.
_CLASSES: dict[str, tuple[str, ...]] = {
    "unet": ("diffusers.UNet2DConditionModel",),
    "vae": ("diffusers.AutoencoderKL",),
    "text_encoder": ("transformers.CLIPTextModel",),
    "text_encoder_2": ("transformers.CLIPTextModelWithProjection",),
    "tokenizer": _CLIP_TOKENIZERS,
    "tokenizer_2": _CLIP_TOKENIZERS,
    "scheduler": tuple(f"diffusers.{name}Scheduler" for name in _SCHEDULERS),
    "safety_checker": ("stable_diffusion.StableDiffusionSafetyChecker",),
    "feature_extractor": ("transformers.CLIPFeatureExtractor", "transformers.CLIPImageProcessor"),
    "image_encoder": ("transformers.CLIPVisionModelWithProjection",),
}
#: Settings by which the libraries would run other code than their own, or read the weights as something else.
_REFUSED = ("auto_map", "custom_pipeline", "custom_pipelines", "trust_remote_code", "quantization_config", "gguf_file")
_LARGEST, _MOST, _DEEPEST = 1 << 24, 64, 256
_STEMS = ("diffusion_pytorch_model", "model")
_PICKLES = ("diffusion_pytorch_model.bin", "pytorch_model.bin", "diffusion_pytorch_model.fp16.bin")


def read_index(folder: Path) -> dict[str, Any]:
    """The ``model_index.json`` of a folder, after comparing the pipeline and every class that it names with ours.

    Raises:
        ModelFileError: there is none, it is damaged, or it names something that is not supported; says what.
    """
    file = folder / INDEX
    if not file.is_file():
        raise ModelFileError(f"{folder}: no {INDEX} in it, so it is no diffusers folder.")
    index = _read(file, folder, "model index")
    name = index.get("_class_name")
    if not isinstance(name, str) or name not in PIPELINES:
        raise ModelFileError(
            f"{file}: {str(name)[:100]} is not supported; expected one of {', '.join(sorted(PIPELINES))}."
            f"{_steered(str(name), index)}"
        )
    for part, value in index.items():
        if part.startswith("_") or not isinstance(value, list | tuple | dict) or value == [None, None]:
            continue
        named = ".".join(map(str, value))
        if named not in _CLASSES.get(part, ()):
            expected = " or ".join(_CLASSES[part]) if part in _CLASSES else f"no other parts than {', '.join(_CLASSES)}"
            raise ModelFileError(
                f"{file}: {part} is {named!r:.100}, which is not loaded, as it may be code of its own. "
                f"Expected {expected}.{_steered(part, index)}"
            )
    return index


#: What steers a model by pictures beside the prompt: in names of pipelines, or as a part of one.
_STEERING = ("ControlNet", "Adapter", "Kontext", "Edit", "Pix2Pix", "Redux", "controlnet", "adapter", "image_encoder")


def _steered(name: str, index: Mapping[str, Any]) -> str:
    """What to say of a pipeline that is steered by hints or references; nothing of others."""
    parts = [part for part, value in index.items() if value != [None, None]]
    if not any(word in each for word in _STEERING for each in (name, *parts)):
        return ""
    return (
        " This engine goes by the prompt alone: ControlNet hints, adapters and reference pictures are not supported. "
        "Take the model's ordinary or inpainting folder; in ComfyUI the nodes Stage-1 Inpaint and Split Regions take "
        "them."
    )


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """The configuration of one part of a diffusers folder.

    Raises:
        ModelFileError: no valid JSON object, a link out of the diffusers folder, or settings that call for other code.
    """
    file = folder / name
    config = _read(file, folder.parent, "configuration")
    if refused := [key for key in _REFUSED if config.get(key)]:
        raise ModelFileError(
            f"{file}: {', '.join(refused)}: custom code and quantised weights are not loaded. Take the "
            "model's ordinary folder with safetensors."
        )
    return config


def check_sizes(title: object, config: dict[str, Any]) -> None:
    """Return if a network can be built from the sizes in its configuration; ``title`` says in the message whose it is.

    Raises:
        ModelFileError: a size that none has, with which building the network would take forever.
    """
    for key, value in config.items():
        if (wrong := _wrong(key, value)) is not None:
            raise ModelFileError(f"{title}: in its configuration {key} is {str(value)[:100]}; {wrong}.")


def arguments_of(network: Callable[..., Any], config: dict[str, Any]) -> dict[str, Any]:
    """Those entries of a configuration that ``network``'s constructor takes; others are logged and left out."""
    known = inspect.signature(network).parameters
    ignored = [key for key in config if key not in known and not key.startswith("_")]
    if ignored:
        logger.info("Settings without a meaning here: %s", ", ".join(ignored))
    return {key: value for key, value in config.items() if key in known}


def weight_files(folder: Path, *, half: bool = False, pickles: bool = True) -> list[Path]:
    """The weight file of one network, or all its shards.

    Looks for ``diffusion_pytorch_model`` and ``model`` as safetensors, whole or with an index, then for pickles.
    ``half`` prefers the ``.fp16`` files where both are there; ``pickles`` False leaves pickles out.

    Raises:
        ModelFileError: none, or shards of the index are not there.
    """
    middles = (".fp16", "") if half else ("", ".fp16")
    for middle in middles:
        for stem in _STEMS:
            whole = folder / f"{stem}{middle}.safetensors"
            if whole.is_file():
                return [whole]
            # diffusers puts the variant's name before "json", transformers before "safetensors".
            for index in (f"{stem}{middle}.safetensors.index.json", f"{stem}.safetensors.index{middle}.json"):
                if (folder / index).is_file():
                    return _shards(folder / index)
    for name in _PICKLES if pickles else ():
        if (folder / name).is_file():
            return [folder / name]
    there = ", ".join(sorted(child.name for child in folder.iterdir())) if folder.is_dir() else "no such folder"
    raise ModelFileError(
        f"{folder}: no weights found. Expected {_STEMS[0]}.safetensors, {_STEMS[0]}.fp16.safetensors, or shards with "
        f"{_STEMS[0]}.safetensors.index.json; it has: {there or 'nothing'}."
    )


def _shards(index: Path) -> list[Path]:
    try:
        named = set(read_json(index)["weight_map"].values())
        names = sorted(str(name) for name in named)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise ModelFileError(f"{index}: no valid index of shards ({type(e).__name__}: {e}).") from e
    if any(Path(name).name != name or not name.endswith(".safetensors") for name in names):
        raise ModelFileError(f"{index}: names files outside of its folder or of another kind; it is not trusted.")
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing or not names:
        raise ModelFileError(f"{index}: shards missing: {', '.join(missing) or 'it lists none'}. Fetch them too.")
    return [index.parent / name for name in names]


def inside(file: Path, root: Path) -> Path:
    """Return ``file`` unless a link leads it out of the folder ``root``; Hugging Face's own cache is made of links.

    Raises:
        ModelFileError: it leads out; says where to.
    """
    top = root.absolute()
    homes = [top.resolve()]
    if top.parent.name == "snapshots":
        homes.append((top.parent.parent / "blobs").resolve())
    target = file.resolve()
    if not any(target.is_relative_to(home) for home in homes):
        raise ModelFileError(f"{file}: is a link out of {root}, to {target}; it is not followed. Put a copy there.")
    return file


def _read(file: Path, root: Path, what: str) -> dict[str, Any]:
    inside(file, root)
    try:
        content = read_json(file)
    except (OSError, ValueError) as e:
        raise ModelFileError(f"{file}: no valid {what} ({str(e)[:200]}).") from e
    if not isinstance(content, dict):
        raise ModelFileError(f"{file}: no valid {what} (expected an object, got {type(content).__name__}).")
    return content


def _wrong(key: str, value: Any) -> str | None:
    """What is wrong with a size, if anything: networks are built from it before their weights are looked at."""
    values = value if isinstance(value, list) else [value]
    if len(values) > _MOST:
        return "no network has so many"
    for each in values:
        if isinstance(each, list) and (wrong := _wrong(key, each)) is not None:
            return wrong
        if isinstance(each, bool) or not isinstance(each, int | float):
            continue
        if abs(each) > _LARGEST or ("layers" in key and not 0 < each <= _DEEPEST):
            return "no network has such a size"
    return None
