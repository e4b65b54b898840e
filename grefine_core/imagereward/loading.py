"""ImageReward from files. Nothing is fetched; files that are not there are an error that says what to do."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..alignment.texts import ContrastVocabulary, find_contrast_vocabulary
from ..checks import renamed
from ..errors import InputError, ModelFileError
from ..memory import put_on
from ..models.files import check, existing_file, read_tensors, shapes_of, to_floats
from ..models.finding import Folders, locate, model_folders
from ..models.registry import IMAGE_REWARD
from .model import ImageReward
from .network import ImageRewardNetwork, Sizes, position_ids, sizes_of
from .tokenizer import EXTRA, TextTokenizer, find_vocabulary, read_vocabulary

# The names of ImageReward's weights: those of the published file, and those of the network of transformers' parts.

#: A counter in the published file, which holds 0, 1, 2, … and no weights; files written by newer code lack it.
POSITION_IDS = "blip.text_encoder.embeddings.position_ids"

_VISION = (
    ("blip.visual_encoder.cls_token", "vision_model.embeddings.class_embedding"),
    ("blip.visual_encoder.pos_embed", "vision_model.embeddings.position_embedding"),
    ("blip.visual_encoder.patch_embed.proj.", "vision_model.embeddings.patch_embedding."),
    ("blip.visual_encoder.norm.", "vision_model.post_layernorm."),
    ("blip.visual_encoder.blocks.", "vision_model.encoder.layers."),
)
_BLOCK = (
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
    (".attn.qkv.", ".self_attn.qkv."),
    (".attn.proj.", ".self_attn.projection."),
)
_OTHERS = re.compile(r"^(text_encoder|vision_proj|text_proj)\.")


def network_name(published: str) -> str | None:
    """The network's name of a weight of the published file; None for ``POSITION_IDS``. Unknown names stay."""
    if published == POSITION_IDS:
        return None
    for theirs, ours in _VISION:
        if published.startswith(theirs):
            name = ours + published.removeprefix(theirs)
            for before, after in _BLOCK:
                name = name.replace(before, after)
            return name
    return published.removeprefix("blip.") if _OTHERS.match(published.removeprefix("blip.")) else published


def published_name(name: str) -> str:
    """The published file's name of one of the network's weights."""
    for theirs, ours in _VISION:
        if name.startswith(ours):
            published = theirs + name.removeprefix(ours)
            for before, after in _BLOCK:
                published = published.replace(after, before)
            return published
    return f"blip.{name}" if _OTHERS.match(name) else name


def published_shapes(network: ImageRewardNetwork) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the whole published file of a network of this size, ``POSITION_IDS`` included."""
    shapes = {published_name(name): tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return {**shapes, POSITION_IDS: (1, network.sizes.positions)}


def published_tensors(network: ImageRewardNetwork) -> dict[str, Tensor]:
    """A network's weights under the published names, to be written and loaded again (the counter left out)."""
    return {published_name(name): tensor for name, tensor in network.state_dict().items()}


logger = logging.getLogger(__name__)


@renamed(banks="contrast_vocabulary")
def load_image_reward(
    weights: str | Path,
    vocabulary: str | Path | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    folders: Folders = None,
    contrast_vocabulary: ContrastVocabulary | str | Path | None = None,
    **options: Any,
) -> ImageReward:
    """Load ImageReward as an encoder of AQ-Map.

    Args:
        weights: the published ``ImageReward.pt``, or a file of the same names as safetensors; a smaller network names
            its sizes in ``<stem>.json`` beside it (``Sizes.save``).
        vocabulary: bert-base-uncased's ``vocab.txt`` or ``tokenizer.json``; None: looked for (``find_vocabulary``).
        device: where to put the weights.
        dtype: float32, float16 or bfloat16.
        folders: where to look for the vocabulary; None for ``model_folders()``.
        contrast_vocabulary: the words that phrases are contrasted with, or their file; None: ``<stem>.banks.json``
            beside the weights, if it is there, else those that come with the package.
        options: further arguments of :class:`ImageReward` (``maps``, ``view``, …).

    Raises:
        InputError: an unknown device, type or option.
        ModelFileError: a file is not there, is damaged, or is another model's; the differing weights are named.
    """
    file = existing_file(weights, "ImageReward")
    sizes = sizes_of(file)
    words = Path(vocabulary) if vocabulary is not None else find_vocabulary(file, folders)
    tokens = read_vocabulary(words, sizes.vocabulary - len(EXTRA))
    network = load_network(file, sizes, device, dtype)
    return ImageReward(
        network,
        TextTokenizer(tokens, sizes.text_length),
        contrast_vocabulary=find_contrast_vocabulary(file) if contrast_vocabulary is None else contrast_vocabulary,
        **{"name": file.stem, **options},
    )


def load_network(
    weights: str | Path,
    sizes: Sizes | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> ImageRewardNetwork:
    """Load the network alone, after comparing every name and shape; without gradients, in evaluation mode.

    Takes the published layout (a torch archive of tensors, also with data-parallel training's ``module.`` before every
    name, or safetensors). Archives with anything but tensors in them are refused.

    Args:
        weights: the file.
        sizes: of the network; None: as the file beside the weights says, else the published ones.
        device: where to put the weights.
        dtype: float32, float16 or bfloat16.

    Raises:
        InputError: an unknown device or type.
        ModelFileError: damaged, weights that are not finite numbers, or some are missing, surplus or of another shape:
            the first of them are listed.
        OutOfMemory: the device has too little left.
    """
    if dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise InputError(f"dtype: expected float32, float16 or bfloat16, got {dtype}.")
    file = existing_file(weights, "ImageReward")
    sizes = sizes or sizes_of(file)
    tensors = read_tensors(file)
    # Weights made in inference mode could not be differentiated through.
    with torch.inference_mode(False):
        with torch.device("meta"):
            network = ImageRewardNetwork(sizes)
        expected = published_shapes(network)
        if POSITION_IDS not in tensors:
            del expected[POSITION_IDS]
        check(file, shapes_of(tensors), expected, "ImageReward", _ADVICE)
        wanted = {published_name(name): name for name in network.state_dict()}
        named = {
            wanted[name]: to_floats(file, name, tensor.clone() if tensor.is_inference() else tensor, dtype)
            for name, tensor in tensors.items()
            if network_name(name) is not None
        }
        network.load_state_dict(named, assign=True)
        embeddings: Any = network.text_encoder.embeddings
        embeddings.position_ids = position_ids(network.sizes)
        empty = [name for name, tensor in network.named_buffers() if tensor.is_meta]
        if empty:
            raise ModelFileError(f"{file}: gives no values for {', '.join(empty[:4])}; this transformers is too new.")
        placed: ImageRewardNetwork = put_on(device, network.requires_grad_(False).eval(), "the network")
        return placed


_ADVICE = (
    f"Take {IMAGE_REWARD.file} of {IMAGE_REWARD.repository}; a network of another size names its sizes in a JSON file "
    "beside its weights."
)


def find_image_reward(folders: Folders = None) -> Path:
    """The published weights, in the model folders or Hugging Face's local cache.

    Raises:
        ModelFileError: nowhere; says where they were looked for and how to get them.
    """
    found = locate(IMAGE_REWARD, folders)
    if found is None:
        searched = model_folders() if folders is None else folders
        raise ModelFileError(
            f"ImageReward: no weights found. Looked for {', '.join(IMAGE_REWARD.names)} in "
            f"{', '.join(map(str, searched))} and in Hugging Face's local cache. Get them with `grefine models "
            f"download {IMAGE_REWARD.id}` ({IMAGE_REWARD.size_text}), or put the file there yourself, or give its path."
        )
    return found
