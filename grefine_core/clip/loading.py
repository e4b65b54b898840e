"""From files to a QualityModel. Nothing is fetched here: files that are not there are an error that says what to do."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..alignment.calibration import Calibration, find_calibration
from ..alignment.scoring import measured_by
from ..alignment.texts import ContrastVocabulary, find_contrast_vocabulary
from ..checks import renamed
from ..errors import InputError, ModelFileError
from ..memory import put_on
from ..models.files import check, existing_file, read_tensors, shapes_of, to_floats, to_open_clip
from ..models.finding import Folders, find_clip, weight_file
from ..models.kinds import TEXT_ALONE, VISION_ALONE, kind_of
from .architectures import AUTO, Architecture, build, by_name, detect, short_name, tokenizer_of
from .embeddings import PUBLISHED_WIDTH, load_embedding_set, load_perceptual_bounds, load_text_features
from .quality_model import PUBLISHED, WORDS, QualityModel
from .text_encoder import text_tower

if TYPE_CHECKING:
    from ..imagereward import ImageReward


logger = logging.getLogger(__name__)

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
    vision_tower: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> QualityModel:
    """Load the quality model from local files.

    Args:
        model: open_clip's name of the architecture, or "auto" (None): from ``<stem>.json`` or the file's own
            ``open_clip_config.json`` beside the weights, else by the sizes of open_clip's ViTs. OpenAI's weights need
            the QuickGELU variants (``ViT-B-16-quickgelu``): plain ``ViT-B-16`` has the same names and shapes, so a
            mix-up shows in what the model sees alone, which calibration looks at.
        weights: safetensors, or a torch archive of tensors, in open_clip's, OpenAI's or transformers' layout; or a
            folder with such a file. None: looked for in ``folders`` and Hugging Face's local cache.
        embeddings: what ``load_embedding_set`` takes; None or "published" for the published ones, which come with the
            package; "words" for antonyms that the model reads itself; "auto" for the published ones, or words where
            these do not belong to the weights or do better. Bounds of PQ-Map that their file carries are used.
        resolution: side to measure at, pixels; None for the model's own.
        device: where to put the weights.
        dtype: float32, float16 or bfloat16.
        calibration: a calibration or its file; None: the file beside the weights or the embeddings, if there is one;
            with an ``alignment_encoder`` of a file, the one beside that file; "auto": that file, else one that is
            measured at the first load of these files and kept, see ``grefine_core.calibration``; "none": no other
            bounds than the defaults.
        folders: where to look for weights; None for ``model_folders()``.
        cache_size: pictures whose features are kept.
        contrast_vocabulary: the words that AQ-Map contrasts phrases with, or their file; None: ``<stem>.banks.json``
            beside the weights, if it is there, else those that come with the package.
        blocks: last blocks with V-V attention; None for CLIP Surgery's six, 0 for an ordinary encode.
        alignment_encoder: what AQ-Map measures with: None or "clip" for this CLIP, "imagereward" for ImageReward's
            weights, looked for as these are, or the path of such weights, or an ``ImageReward`` in memory.
        alignment_maps: how ImageReward finds phrases in a picture, see ``ImageReward``; None for its default.
        vision_tower: the file of the vision tower, where ``weights`` are those of a text encoder alone.
        progress: called with (encodes done, encodes in all) while ``calibration="auto"`` measures; may raise to stop.

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
    tower = None if vision_tower is None else weight_file(vision_tower)
    clip, architecture = load_clip(file, model, device, dtype, tower)
    choose = isinstance(embeddings, str) and embeddings == AUTO
    embeddings = _named_embeddings(embeddings, clip)
    words = isinstance(embeddings, str) and embeddings == WORDS
    beside = embeddings if isinstance(embeddings, str | Path) and not words else None
    encoder, own = _alignment_encoder(alignment_encoder, alignment_maps, device, dtype, folders)
    automatic = isinstance(calibration, str) and calibration == AUTO
    found = calibration if isinstance(calibration, Calibration) else None
    if calibration is None or automatic:
        found = find_calibration(file, beside) if encoder is None else find_calibration(own)
    elif found is None and calibration != NO_CALIBRATION:
        found = Calibration.load(existing_file(calibration, "calibration"))
    options: dict[str, Any] = {"cache_size": cache_size, "blocks": blocks}
    options = {name: value for name, value in options.items() if value is not None}
    quality = QualityModel(
        clip,
        WORDS if words else None if embeddings is None else load_embedding_set(embeddings),
        resolution,
        found,
        tokenizer_of(architecture),
        name=short_name(architecture),
        perceptual_bounds=load_perceptual_bounds(beside),
        factor_features=load_text_features(beside),
        contrast_vocabulary=find_contrast_vocabulary(file) if contrast_vocabulary is None else contrast_vocabulary,
        alignment_encoder=encoder,
        **options,
    )
    if found is not None and found.model not in ("", measured_by(quality)):
        logger.warning("The calibration was made with %s, not with %s.", found.model, measured_by(quality))
    if automatic and (found is None or encoder is not None):
        from ..calibration.auto import calibrate_at_load

        where = embeddings if isinstance(embeddings, Mapping) or beside is None else Path(beside).expanduser()
        parts = (file, tower, where, architecture.model, str(dtype), repr(quality.contrast_vocabulary))
        return calibrate_at_load(quality, file, parts, choose=choose, own=found, progress=progress)
    if choose:
        from ..calibration.auto import plausible

        if not plausible(quality):
            logger.warning("The published embeddings do not belong to %s: words are used in their place.", file)
            return quality.with_words()
        if found is not None and found.embeddings == WORDS:
            return quality.with_words()
    return quality


#: ``calibration`` and ``embeddings`` by name.
NO_CALIBRATION = "none"


def _named_embeddings(embeddings: Paths | None, clip: nn.Module) -> Paths | None:
    """The published embeddings as None, also for "auto" where they are of the text encoder's width; else words."""
    if embeddings == PUBLISHED:
        return None
    if embeddings != AUTO:
        return embeddings
    text = text_tower(clip)
    return None if text is not None and text.width == PUBLISHED_WIDTH else WORDS


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
    file: Path,
    model: str | None = AUTO,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    vision: Path | None = None,
) -> tuple[nn.Module, Architecture]:
    """Load an open_clip model from one local file, after comparing names and shapes with its architecture.

    Args:
        file: the weights; of a text encoder alone if its vision tower is in another file.
        model: open_clip's name of the architecture, or "auto" (None).
        device: where to put it.
        dtype: of its weights.
        vision: the file of the vision tower that belongs to a text encoder.

    Raises:
        InputError: an unknown model or device.
        ModelFileError: the file is damaged or of another model, or its weights are not finite numbers; a file that is
            no CLIP is named for what it is.
        OutOfMemory: the device has too little left.
    """
    tensors = read_tensors(file) if vision is None else _joined(file, vision)
    guessed = model in (None, AUTO)
    if vision is None:
        _refuse_others(file, tensors)
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


def _refuse_others(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Say of a file that is no CLIP what it is, rather than list some hundred names."""
    other = kind_of(tensors)
    if other is not None:
        kind, advice = other
        raise ModelFileError(f"{file}: is {kind}, not a CLIP model with image and text encoder. {advice}")


#: logit_scale of OpenAI's models, and the largest that CLIP's training allows: towers in files of their own lack it.
_LOGIT_SCALE = math.log(100.0)


def _joined(text: Path, vision: Path) -> dict[str, Tensor]:
    """A whole CLIP from its text encoder and its vision tower, given in either order, under open_clip's names.

    Raises:
        ModelFileError: they are not one of each, a projection is missing, or they are of different models.
    """
    parts = {file: read_tensors(file) for file in (text, vision)}
    kinds = {file: kind_of(tensors) for file, tensors in parts.items()}
    by_kind = {None if kind is None else kind[0]: file for file, kind in kinds.items()}
    if set(by_kind) != {TEXT_ALONE, VISION_ALONE}:
        said = "; ".join(f"{file} is {kind[0] if kind else 'a whole model'}" for file, kind in kinds.items())
        raise ModelFileError(f"A text encoder and its vision tower are joined, one file of each. {said}.")
    result: dict[str, Tensor] = {}
    for kind, projection in ((TEXT_ALONE, "text_projection"), (VISION_ALONE, "visual.proj")):
        file = by_kind[kind]
        tensors = to_open_clip(parts[file])
        if projection not in tensors:
            raise ModelFileError(
                f"{file}: has no {projection}, the last step into the space where pictures and texts are compared. "
                "Many files of towers leave it out, since pictures are drawn without it; take the whole CLIP model."
            )
        result |= tensors
    joint = result["text_projection"].shape[-1], result["visual.proj"].shape[-1]
    if joint[0] != joint[1]:
        raise ModelFileError(
            f"{text} and {vision}: do not belong together, their features have {joint[0]} and {joint[1]} numbers."
        )
    if "logit_scale" not in result:
        logger.info("%s and %s: name no temperature; 100 is taken, CLIP's usual one.", text, vision)
        result["logit_scale"] = torch.tensor(_LOGIT_SCALE)
    return result


def _fill_buffers(clip: nn.Module, file: Path) -> None:
    """Give the causal mask, which is in no weight file, its values: the model was built without any."""
    for module in clip.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta and name == "attn_mask":
                module.register_buffer(name, torch.full(buffer.shape, float("-inf")).triu_(1), persistent=False)
    empty = [name for name, tensor in (*clip.named_parameters(), *clip.named_buffers()) if tensor.is_meta]
    if empty:
        raise ModelFileError(f"{file}: gives no values for {', '.join(empty[:4])}.")
