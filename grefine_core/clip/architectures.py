"""Which open_clip model a weight file is of, and building it without weights."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import InputError, ModelFileError
from ..files import read_json
from ..models.files import PICKLE_SUFFIXES, SUFFIXES, from_transformers, is_transformers, read_shapes
from ..models.registry import REGISTRY

logger = logging.getLogger(__name__)

AUTO = "auto"
_QUICK = "-quickgelu"
DEFAULT = f"ViT-B-16{_QUICK}"

#: Models whose weights OpenAI published, made with QuickGELU: their sizes are taken for those.
_OPENAI = ("ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336")
HUB_CONFIG, TRANSFORMERS_CONFIG = "open_clip_config.json", "config.json"
#: How hubs name the weights in a model's own folder: open_clip's, transformers'.
_HUB_WEIGHTS = {HUB_CONFIG: ("open_clip_",), TRANSFORMERS_CONFIG: ("model.", "model-", "pytorch_model.")}
#: Settings that are sizes.
_SIZES = frozenset(
    [
        "context_length",
        "embed_dim",
        "head_width",
        "heads",
        "image_size",
        "layers",
        "mlp_ratio",
        "patch_size",
        "vocab_size",
        "width",
    ]
)
_LARGEST, _MOST_LAYERS = 1 << 24, 256


@dataclass(frozen=True)
class Architecture:
    """An open_clip model without its weights."""

    name: str
    model: dict[str, Any]
    """What the classes of open_clip take: embed_dim, vision_cfg, text_cfg, quick_gelu, …"""
    preprocess: dict[str, Any] = field(default_factory=dict)
    """mean and std, where the configuration names them."""


def by_name(name: str) -> Architecture:
    """The architecture of an open_clip model name.

    Raises:
        InputError: open_clip does not know it, or it is of a kind without V-V attention.
    """
    import open_clip

    if ":" in name:
        raise InputError(f"model: {name!r:.100} would be fetched, which is not done here; give an architecture's name.")
    config = open_clip.get_model_config(name)
    plain = open_clip.get_model_config(name.removesuffix(_QUICK)) if config is None else None
    if plain is not None:  # older releases list fewer of them
        config = {**plain, "quick_gelu": True}
    if config is None:
        raise InputError(f"model: open_clip knows no {name!r}; for instance {DEFAULT!r}, or 'auto'.")
    return _checked(Architecture(name, config))


def detect(weights: Path, shapes: Mapping[str, tuple[int, ...]]) -> Architecture:
    """The architecture of a weight file: from a configuration of its own, else by the sizes of open_clip's ViTs.

    ``<stem>.json`` in the same folder is the file's own. ``open_clip_config.json`` and transformers' ``config.json``
    have no name in them: they count where the file has the name that hubs give it (``open_clip_model.safetensors``,
    ``model.safetensors``), or is the only CLIP in its folder. By sizes alone OpenAI's weights, made with QuickGELU,
    cannot be told from others of the same size: those need ``model="ViT-B-16"`` and the like.

    Raises:
        ModelFileError: neither works, or the configuration is damaged; says what to give.
    """
    own = weights.with_suffix(".json")
    found = _read_config(own) if own.is_file() else None
    if found is not None:
        return _checked(found)
    shared = weights.parent / HUB_CONFIG
    if shared.is_file() and _belongs(HUB_CONFIG, weights):
        found = _read_config(shared)
        # Under the hub's own name it is believed, and what does not fit is listed; of another file it may be anything.
        if found is not None and (weights.name.startswith(_HUB_WEIGHTS[HUB_CONFIG]) or _fits(found, shapes)):
            return _checked(found)
    elif shared.is_file():
        logger.info("%s belongs to another file and is not read for %s.", shared, weights.name)
    name = by_sizes(shapes)
    if name is None:
        raise ModelFileError(
            f"{weights}: of which model these weights are cannot be told from their sizes. Put the "
            f"open_clip_config.json of the model beside the file as {own.name}, or name the model (--architecture)."
        )
    named = _activation(weights)
    quick = name in _OPENAI if named is None else named
    name += _QUICK if quick else ""
    logger.info("%s has the sizes of %s and is taken for that.", weights, name)
    return by_name(name)


def by_sizes(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """open_clip's name of the plain ViT that has these shapes (without "-quickgelu", which has the same), or None."""
    sizes = _sizes(shapes)
    return None if sizes is None else _plain_vits().get(sizes)


def names_by_shapes(weights: Path) -> tuple[str, ...]:
    """All of open_clip's names that a weight file can be loaded as, with either activation; none for other sizes.

    Of a safetensors file the head alone is read.

    Raises:
        ModelFileError: it cannot be read.
    """
    name = by_sizes(_under_open_clips_names(read_shapes(weights)))
    return () if name is None else (name, name + _QUICK)


def _under_open_clips_names(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    if not is_transformers(shapes):
        return {name.removeprefix("text."): shape for name, shape in shapes.items()}
    # Shapes are enough: tensors without memory are renamed as those of a file are.
    empty = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    return {name: tuple(tensor.shape) for name, tensor in from_transformers(empty).items()}


@cache
def _plain_vits() -> dict[tuple[int, ...], str]:
    """Sizes -> name of open_clip's own ViTs with CLIP's tokenizer."""
    import open_clip

    found: dict[tuple[int, ...], str] = {}
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        if name.endswith(_QUICK) or set(config) - {"embed_dim", "vision_cfg", "text_cfg"}:
            continue
        vision, text = config["vision_cfg"], config["text_cfg"]
        plain = {"image_size", "layers", "width", "head_width", "mlp_ratio", "patch_size"}
        if set(vision) - plain or set(text) - {"context_length", "vocab_size", "width", "heads", "layers"}:
            continue
        sizes = _sizes_of(config)
        if sizes is not None and text.get("vocab_size") == 49408:
            found.setdefault(sizes, name)
    return found


def _sizes_of(model: Mapping[str, Any]) -> tuple[int, ...] | None:
    """As :func:`_sizes`, of a configuration."""
    try:
        vision, text = model["vision_cfg"], model["text_cfg"]
        side, patch = vision["image_size"], vision["patch_size"]
        positions = (side // patch) ** 2 + 1
        sizes = (patch, vision["width"], vision["layers"], positions, text["width"], text["layers"], model["embed_dim"])
    except (KeyError, TypeError, ZeroDivisionError):
        return None
    return sizes if all(isinstance(each, int) for each in sizes) else None


def _fits(architecture: Architecture, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a configuration may be that of these weights; where its sizes are not plain numbers, it may."""
    named, found = _sizes_of(architecture.model), _sizes(shapes)
    return named is None or found is None or named == found


def _belongs(config: str, weights: Path) -> bool:
    """Whether a configuration without a name is about these weights: by their name, or for want of others."""
    if weights.name.startswith(_HUB_WEIGHTS[config]):
        return True
    return not any(path.name != weights.name and _is_clip(path) for path in _weight_files(weights.parent))


def _weight_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and path.is_file())


#: Above this size, in bytes, archives of torch are not read only to see what they are.
_QUICKLY_READ = 64 << 20


def _is_clip(path: Path) -> bool:
    """Whether a file has an image encoder of CLIP's kind; large archives of torch are taken for one unless known."""
    if path.suffix.lower() in PICKLE_SUFFIXES and path.stat().st_size > _QUICKLY_READ:
        return not any(path.name in entry.names for entry in REGISTRY)
    try:
        names = read_shapes(path)
    except ModelFileError:
        return False
    return "visual.class_embedding" in names or "vision_model.embeddings.class_embedding" in names


def build(architecture: Architecture, device: str = "meta") -> nn.Module:
    """Build the model with uninitialised ("meta") or random weights, in evaluation mode.

    Raises:
        InputError: the configuration does not make a model.
    """
    from open_clip.model import CLIP, CustomTextCLIP

    config = dict(architecture.model)
    custom = config.pop("custom_text", False)
    try:
        with torch.device(device):
            clip = (CustomTextCLIP if custom else CLIP)(**config)
    except Exception as error:  # open_clip raises nearly anything on settings that fit nothing
        raise InputError(f"model: the configuration of {architecture.name} makes no model ({error!r:.300}).") from error
    mean, std = architecture.preprocess.get("mean"), architecture.preprocess.get("std")
    if mean and std:
        clip.visual.preprocess_cfg = {"mean": tuple(mean), "std": tuple(std)}
    return clip.eval()


def tokenizer_of(architecture: Architecture) -> Any:
    """The tokenizer of a model; CLIP's own, with the settings of the model. Nothing is fetched.

    Raises:
        InputError: the model needs a tokenizer from a hub.
    """
    from open_clip.tokenizer import SimpleTokenizer

    from .tokenizer import with_long_words

    text = architecture.model.get("text_cfg", {})
    if text.get("hf_tokenizer_name"):
        raise InputError(
            f"model: {architecture.name} needs the tokenizer {text['hf_tokenizer_name']} from a hub, which is not "
            "fetched; make the QualityModel from a model and a tokenizer in memory."
        )
    try:
        chosen = text.get("tokenizer_kwargs") or {}
        return with_long_words(SimpleTokenizer(context_length=text.get("context_length", 77), **chosen))
    except Exception as error:
        raise InputError(f"model: the tokenizer_kwargs of {architecture.name} make none ({error!r:.300}).") from error


def _checked(architecture: Architecture) -> Architecture:
    model = architecture.model
    if not isinstance(model.get("vision_cfg"), Mapping) or not isinstance(model.get("text_cfg"), Mapping):
        raise ModelFileError(f"{architecture.name}: the configuration has no vision_cfg and text_cfg.")
    foreign = [
        what
        for what, there in (
            ("an image encoder from timm", "timm_model_name" in model["vision_cfg"]),
            ("a ResNet", isinstance(model["vision_cfg"].get("layers"), list)),
            ("a text encoder from transformers", "hf_model_name" in model["text_cfg"]),
            ("a captioning decoder", "multimodal_cfg" in model),
        )
        if there
    ]
    if foreign:
        raise InputError(f"model: {architecture.name} has {' and '.join(foreign)}; open_clip's own ViTs are needed.")
    for group in (model, model["vision_cfg"], model["text_cfg"]):
        for name in _SIZES & group.keys():
            _check_size(architecture.name, name, group[name])
    for name, least in (("mean", None), ("std", 0.0)):
        given = architecture.preprocess.get(name)
        if given and not (
            isinstance(given, list | tuple) and len(given) == 3 and all(_number(v, least) for v in given)
        ):
            raise ModelFileError(f"{architecture.name}: {name} is {given!r:.100}; expected three numbers.")
    return architecture


def _check_size(title: str, name: str, value: Any) -> None:
    """Models are built from their sizes before their weights are looked at: one without an end would take forever."""
    most = _MOST_LAYERS if name == "layers" else _LARGEST
    for each in value if isinstance(value, list | tuple) else [value]:
        if not _number(each, 0.0) or each > most:
            raise ModelFileError(f"{title}: {name} is {value!r:.100}; expected a size above 0 and up to {most}.")


def _number(value: Any, above: float | None) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= _LARGEST
        and (above is None or value > above)
    )


def _read_config(file: Path) -> Architecture | None:
    """An open_clip configuration, bare or with ``model_cfg``; None for a JSON file of something else."""
    try:
        content = read_json(file)
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{file}: cannot be read as JSON ({error}); fetch it again, or take it away.") from error
    if not isinstance(content, dict):
        return None
    model = content.get("model_cfg", content)
    if not isinstance(model, dict) or "vision_cfg" not in model:
        return None
    preprocess = content.get("preprocess_cfg") or {}
    return Architecture(str(file), dict(model), dict(preprocess) if isinstance(preprocess, dict) else {})


def _activation(weights: Path) -> bool | None:
    """Whether the file's own transformers ``config.json`` names QuickGELU; None where there is none that says."""
    try:
        content = read_json(weights.parent / TRANSFORMERS_CONFIG)
        named = content["vision_config"].get("hidden_act", "quick_gelu")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return named != "gelu" if _belongs(TRANSFORMERS_CONFIG, weights) else None


def _sizes(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...] | None:
    try:
        width, _, _, patch = shapes["visual.conv1.weight"]
        text_width = shapes["ln_final.weight"][0]
        positions = shapes["visual.positional_embedding"][0]
        joint = shapes["text_projection"][1]
    except (KeyError, IndexError, ValueError):
        return None
    layers = sum(name.startswith("visual.transformer.") and name.endswith(".ln_1.weight") for name in shapes)
    text_layers = sum(name.startswith("transformer.") and name.endswith(".ln_1.weight") for name in shapes)
    return patch, width, layers, positions, text_width, text_layers, joint


def short_name(architecture: Architecture) -> str:
    """A name without folders above the model's own."""
    if not architecture.name.endswith(".json"):
        return architecture.name
    file = Path(architecture.name)
    return file.parent.name if file.name == "open_clip_config.json" else file.stem
