"""From files to a QualityModel. Nothing is fetched here: files that are not there are an error that says what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..alignment.calibration import Calibration, find_calibration
from ..alignment.scoring import measured_by
from ..alignment.texts import ContrastVocabulary, find_contrast_vocabulary
from ..checks import renamed
from ..errors import InputError, ModelFileError
from ..files import read_json
from ..memory import put_on
from ..models.files import check, existing_file, read_tensors, shapes_of, to_floats, to_open_clip
from ..models.finding import Folders, find_clip, weight_file
from .embeddings import load_embedding_set, load_perceptual_bounds, load_text_features
from .quality_model import QualityModel

if TYPE_CHECKING:
    from ..imagereward import ImageReward


# Which open_clip model a weight file is of, and building it without weights.

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


CLIP_ITSELF, IMAGE_REWARD = "clip", "imagereward"
Paths = str | Path | Mapping[str, str | Path]


@renamed(banks="contrast_vocabulary")
def load_quality_model(
    model: str | None = AUTO,
    weights: str | Path | None = None,
    embeddings: Paths | None = None,
    resolution: int | tuple[int, int] | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    calibration: str | Path | Calibration | None = None,
    *,
    folders: Folders = None,
    cache_size: int | None = None,
    contrast_vocabulary: str | Path | ContrastVocabulary | None = None,
    blocks: int | None = None,
    alignment_encoder: str | Path | ImageReward | None = None,
    alignment_maps: str | None = None,
) -> QualityModel:
    """Load the quality model from local files.

    Args:
        model: open_clip's name of the architecture, or "auto" (None): from ``open_clip_config.json`` or ``<stem>.json``
            beside the weights, else by the sizes of OpenAI's models. OpenAI's weights need the QuickGELU variants
            (``ViT-B-16-quickgelu``): plain ``ViT-B-16`` has the same names and shapes, so a mix-up shows in no check.
        weights: safetensors, or a torch archive of tensors, in open_clip's, OpenAI's or transformers' layout; or a
            folder with such a file. None: looked for in ``folders`` and Hugging Face's local cache.
        embeddings: what ``load_embedding_set`` takes; None for the published ones, which come with the package. Bounds
            of PQ-Map that their file carries are used.
        resolution: side to measure at, pixels; None for the model's own.
        device: where to put the weights.
        dtype: float32, float16 or bfloat16.
        calibration: a calibration or its file; None: the file beside the weights or the embeddings, if there is one;
            with an ``alignment_encoder`` of a file, the one beside that file.
        folders: where to look for weights; None for ``model_folders()``.
        cache_size: pictures whose features are kept.
        contrast_vocabulary: the words that AQ-Map contrasts phrases with, or their file; None: ``<stem>.banks.json``
            beside the weights, if it is there, else those that come with the package.
        blocks: last blocks with V-V attention; None for CLIP Surgery's six, 0 for an ordinary encode.
        alignment_encoder: what AQ-Map measures with: None or "clip" for this CLIP, "imagereward" for ImageReward's
            weights, looked for as these are, or the path of such weights, or an ``ImageReward`` in memory.
        alignment_maps: how ImageReward finds phrases in a picture, see ``ImageReward``; None for its default.

    Returns:
        The model, ready to measure.

    Raises:
        InputError: an unknown model, device, type or resolution, or embeddings of another text encoder.
        ModelFileError: weights or embeddings not found, damaged, or of another model; calibration or contrast
            vocabulary damaged.
    """
    if dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise InputError(f"dtype: expected float32, float16 or bfloat16, got {dtype}.")
    file = find_clip(folders) if weights is None else weight_file(weights)
    clip, architecture = load_clip(file, model, device, dtype)
    beside = embeddings if isinstance(embeddings, str | Path) else None
    encoder, own = _alignment_encoder(alignment_encoder, alignment_maps, device, dtype, folders)
    if calibration is None:
        calibration = find_calibration(file, beside) if encoder is None else find_calibration(own)
    elif not isinstance(calibration, Calibration):
        calibration = Calibration.load(existing_file(calibration, "calibration"))
    options: dict[str, Any] = {"cache_size": cache_size, "blocks": blocks}
    options = {name: value for name, value in options.items() if value is not None}
    quality = QualityModel(
        clip,
        load_embedding_set(embeddings),
        resolution,
        calibration,
        tokenizer_of(architecture),
        name=_short_name(architecture),
        perceptual_bounds=load_perceptual_bounds(embeddings),
        factor_features=load_text_features(embeddings),
        contrast_vocabulary=find_contrast_vocabulary(file) if contrast_vocabulary is None else contrast_vocabulary,
        alignment_encoder=encoder,
        **options,
    )
    if calibration is not None and calibration.model not in ("", measured_by(quality)):
        logger.warning("The calibration was made with %s, not with %s.", calibration.model, measured_by(quality))
    return quality


def alignment_file(chosen: object, folders: Folders = None) -> Path | None:
    """The weights that the choice of an alignment encoder means; None for CLIP itself.

    Raises:
        InputError, ModelFileError: they are not there.
    """
    if chosen is None or chosen == CLIP_ITSELF:
        return None
    if chosen == IMAGE_REWARD:
        from ..imagereward import find_image_reward

        return find_image_reward(folders)
    return existing_file(chosen, "alignment encoder")


def _alignment_encoder(
    chosen: str | Path | ImageReward | None,
    maps: str | None,
    device: str | torch.device,
    dtype: torch.dtype,
    folders: Folders,
) -> tuple[ImageReward | None, Path | None]:
    """The encoder, None for CLIP itself, and its file, if it has one."""
    if chosen is not None and not isinstance(chosen, str | Path):
        return chosen, None
    file = alignment_file(chosen, folders)
    if file is None:
        return None, None
    from ..imagereward import load_image_reward

    options = {} if maps is None else {"maps": maps}
    return load_image_reward(file, device=device, dtype=dtype, folders=folders, **options), file


def load_clip(
    file: Path, model: str | None = AUTO, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[nn.Module, Architecture]:
    """Load an open_clip model from one local file, after comparing names and shapes with its architecture.

    Raises:
        InputError: an unknown model or device.
        ModelFileError: the file is damaged or of another model, or its weights are not finite numbers.
        OutOfMemory: the device has too little left.
    """
    tensors = read_tensors(file)
    guessed = model in (None, AUTO)
    architecture = detect(file, shapes_of(to_open_clip(tensors))) if guessed else by_name(str(model))
    custom = bool(architecture.model.get("custom_text", False))
    tensors = to_open_clip(tensors, custom)
    clip = build(architecture)
    expected = shapes_of(clip)
    for name in ("logit_scale", "logit_bias"):
        # One number, stored with or without a dimension.
        if name in tensors and name in expected and tensors[name].numel() == 1:
            tensors[name] = tensors[name].reshape(expected[name])
    check(file, shapes_of(tensors), expected, architecture.name)
    clip.load_state_dict({name: to_floats(file, name, each, dtype) for name, each in tensors.items()}, assign=True)
    _fill_buffers(clip, file)
    return put_on(device, clip.requires_grad_(False).eval(), "the model"), architecture


def _fill_buffers(clip: nn.Module, file: Path) -> None:
    """Give the causal mask, which is in no weight file, its values: the model was built without any."""
    for module in clip.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta and name == "attn_mask":
                module.register_buffer(name, torch.full(buffer.shape, float("-inf")).triu_(1), persistent=False)
    empty = [name for name, tensor in (*clip.named_parameters(), *clip.named_buffers()) if tensor.is_meta]
    if empty:
        raise ModelFileError(f"{file}: gives no values for {', '.join(empty[:4])}.")


def _short_name(architecture: Architecture) -> str:
    """A name without folders above the model's own."""
    if not architecture.name.endswith(".json"):
        return architecture.name
    file = Path(architecture.name)
    return file.parent.name if file.name == "open_clip_config.json" else file.stem
