"""Which open_clip model a weight file is of, and building it without weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import InputError, ModelFileError
from ..json_reading import read_json

logger = logging.getLogger(__name__)

AUTO = "auto"
_QUICK = "-quickgelu"
DEFAULT = f"ViT-B-16{_QUICK}"

#: (patch, vision width, vision layers, vision positions, text width, text layers, joint width) of OpenAI's ViTs.
_OPENAI = {
    (32, 768, 12, 50, 512, 12, 512): "ViT-B-32",
    (16, 768, 12, 197, 512, 12, 512): "ViT-B-16",
    (14, 1024, 24, 257, 768, 12, 768): "ViT-L-14",
    (14, 1024, 24, 577, 768, 12, 768): "ViT-L-14-336",
}
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
    """The architecture of a weight file: from a configuration beside it, else by the sizes of OpenAI's models.

    ``open_clip_config.json`` or ``<stem>.json`` in the same folder is read. By sizes alone OpenAI's weights, made with
    QuickGELU, cannot be told from others of the same size: those need ``model="ViT-B-16"`` and the like.

    Raises:
        ModelFileError: neither works, or the configuration is damaged; says what to give.
    """
    for file in (weights.with_suffix(".json"), weights.parent / "open_clip_config.json"):
        if file.is_file():
            found = _read_config(file)
            if found is not None:
                return _checked(found)
    sizes = _sizes(shapes)
    if sizes not in _OPENAI:
        raise ModelFileError(
            f"{weights}: of which model these weights are cannot be told from their sizes. Put the "
            "open_clip_config.json of the model beside the file, or name the model (--architecture)."
        )
    name = _OPENAI[sizes] + ("" if _plain_gelu(weights) else _QUICK)
    logger.info("%s has the sizes of %s and is taken for that.", weights, name)
    return by_name(name)


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

    from ..clip_tokenizer import with_long_words

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


def _plain_gelu(weights: Path) -> bool:
    """Whether a transformers ``config.json`` beside the weights names another activation than QuickGELU."""
    try:
        content = read_json(weights.parent / "config.json")
        return content["vision_config"].get("hidden_act", "quick_gelu") == "gelu"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


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
