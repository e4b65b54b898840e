"""From files to a QualityModel. Nothing is fetched here: files that are not there are an error that says what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..alignment.banks import Banks, find_banks
from ..alignment.calibration import Calibration, find_calibration
from ..alignment.measuring import measured_by
from ..cask import load_perceptual_bounds
from ..embeddings import load_embedding_set, load_text_features
from ..errors import InputError, ModelFileError
from ..quality_model import QualityModel
from .architectures import AUTO, Architecture, build, by_name, detect, tokenizer_of
from .files import existing_file, read_tensors
from .finding import Folders, find_clip, weight_file
from .state_dicts import check, to_floats, to_open_clip

if TYPE_CHECKING:
    from ..imagereward import ImageReward

logger = logging.getLogger(__name__)

CLIP_ITSELF, IMAGE_REWARD = "clip", "imagereward"
Paths = str | Path | Mapping[str, str | Path]


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
    banks: str | Path | Banks | None = None,
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
        banks: the words that AQ-Map contrasts phrases with, or their file; None: ``<stem>.banks.json`` beside the
            weights, if it is there, else those that come with the package.
        blocks: last blocks with V-V attention; None for CLIP Surgery's six, 0 for an ordinary encode.
        alignment_encoder: what AQ-Map measures with: None or "clip" for this CLIP, "imagereward" for ImageReward's
            weights, looked for as these are, or the path of such weights, or an ``ImageReward`` in memory.
        alignment_maps: how ImageReward finds phrases in a picture, see ``ImageReward``; None for its default.

    Returns:
        The model, ready to measure.

    Raises:
        InputError: an unknown model, device, type or resolution, or embeddings of another text encoder.
        ModelFileError: weights or embeddings not found, damaged, or of another model; calibration or banks damaged.
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
        banks=find_banks(file) if banks is None else banks,
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
    """
    tensors = read_tensors(file)
    if model in (None, AUTO):
        shapes = {name: tuple(tensor.shape) for name, tensor in to_open_clip(tensors).items()}
        architecture = detect(file, shapes)
    else:
        architecture = by_name(str(model))
    custom = bool(architecture.model.get("custom_text", False))
    tensors = to_open_clip(tensors, custom)
    clip = build(architecture)
    expected = {name: tuple(tensor.shape) for name, tensor in clip.state_dict().items()}
    for name in ("logit_scale", "logit_bias"):
        # One number, stored with or without a dimension.
        if name in tensors and name in expected and tensors[name].numel() == 1:
            tensors[name] = tensors[name].reshape(expected[name])
    check(file, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, expected, architecture.name)
    clip.load_state_dict({name: to_floats(file, name, each, dtype) for name, each in tensors.items()}, assign=True)
    _fill_buffers(clip, file)
    try:
        return clip.requires_grad_(False).eval().to(device=device), architecture
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device: the model cannot be put on {str(device)!r} ({str(error)[:200]}).") from error


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
