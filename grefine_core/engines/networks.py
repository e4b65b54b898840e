"""Stable Diffusion's networks, from their configurations and weights, by our own hand: see ``folders`` for why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelFileError
from ..memory import is_out_of_memory
from ..models.files import check, listed, read_shapes, read_tensors, shapes_of, to_floats
from .folders import arguments_of, check_sizes

# Names of the tensors: the original layout of Stable Diffusion 1, and what older files call things

UNET = "model.diffusion_model."
VAE = "first_stage_model."
TEXT = "cond_stage_model.transformer."
TEXT_PROJECTION = "text_projection.weight"
#: Of the text encoder's own tensors, what its last hidden state needs not.
_TEXT_UNUSED = ("embeddings.position_ids", TEXT_PROJECTION, "text_projection", "logit_scale")

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_UNET_ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
_ATTENTION = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
    "query": "to_q",
    "key": "to_k",
    "value": "to_v",
    "proj_attn": "to_out.0",
}
_BLOCK = re.compile(r"(input|output)_blocks\.(\d+)\.(\d+)\.(.+)")


def unet_name(name: str, layers: int) -> str:
    """diffusers' name of a tensor of the UNet in the original layout, whose own prefix is gone.

    ``layers`` is the number of resnets of a down block.
    """
    for theirs, ours in _UNET_ENDS.items():
        if name.startswith(theirs + "."):
            return ours + name.removeprefix(theirs)
    if name.startswith("middle_block."):
        _, place, rest = name.split(".", 2)
        return f"mid_block.{_MIDDLE.get(place, place)}.{_resnet(rest)}"
    match = _BLOCK.fullmatch(name)
    if match is None:
        return name
    side, number, place, rest = match[1], int(match[2]), match[3], match[4]
    if side == "input":
        block, k = divmod(number - 1, layers + 1)
        block_name = f"down_blocks.{block}"
        if rest.startswith("op."):
            return f"{block_name}.downsamplers.0.conv.{rest.removeprefix('op.')}"
    else:
        block, k = divmod(number, layers + 1)
        block_name = f"up_blocks.{block}"
        if rest.startswith("conv."):
            return f"{block_name}.upsamplers.0.{rest}"
    return f"{block_name}.resnets.{k}.{_resnet(rest)}" if place == "0" else f"{block_name}.attentions.{k}.{rest}"


def _resnet(rest: str) -> str:
    for theirs, ours in _RESNET.items():
        if rest.startswith(theirs + "."):
            return ours + rest.removeprefix(theirs)
    return rest


def vae_name(name: str, blocks: int) -> str:
    """diffusers' name of a tensor of the VAE, from the original layout (prefix gone) or from its own older one.

    ``blocks`` is the number of up blocks, which the original layout counts from the other end.
    """
    name = re.sub(r"^encoder\.down\.(\d+)\.block\.", r"encoder.down_blocks.\1.resnets.", name)
    name = re.sub(r"^encoder\.down\.(\d+)\.downsample\.", r"encoder.down_blocks.\1.downsamplers.0.", name)
    match = re.match(r"decoder\.up\.(\d+)\.(block|upsample)\.", name)
    if match:
        part = "resnets" if match[2] == "block" else "upsamplers.0"
        name = f"decoder.up_blocks.{blocks - 1 - int(match[1])}.{part}.{name[match.end() :]}"
    name = re.sub(r"\.mid\.block_([12])\.", lambda m: f".mid_block.resnets.{int(m[1]) - 1}.", name)
    name = name.replace(".mid.attn_1.", ".mid_block.attentions.0.")
    name = re.sub(r"^(encoder|decoder)\.norm_out\.", r"\1.conv_norm_out.", name)
    name = name.replace(".nin_shortcut.", ".conv_shortcut.")
    return re.sub(r"(\.mid_block\.attentions\.0)\.(\w+)\.(weight|bias)$", _attention, name)


def _attention(match: re.Match[str]) -> str:
    return f"{match[1]}.{_ATTENTION.get(match[2], match[2])}.{match[3]}"


def text_name(name: str, projection: bool = False) -> str | None:
    """A tensor of CLIP's text encoder without the prefix that only some versions have; None if it is not needed, as its
    projection is where that is not asked for."""
    name = name.removeprefix("text_model.")
    if projection and name == TEXT_PROJECTION:
        return name
    return None if name in _TEXT_UNUSED else name


# Weights into networks: names and shapes are compared first, then each tensor is read once, in place

Shape = tuple[int, ...]
ADVICE = "Nothing was loaded. Fetch the files again, or give those that belong to the model."
#: Names of each kind that a message shows; all of them go to the log.


@dataclass(frozen=True)
class _Entry:
    """One tensor: its file, its name there, its shape."""

    file: Path
    name: str
    shape: Shape


class Weights:
    """Tensors in one file or several, read one by one on request, so that nothing is held twice."""

    def __init__(self, title: str, entries: dict[str, _Entry], pickles: dict[Path, dict[str, Tensor]]) -> None:
        self.title = title
        self._entries = entries
        # A pickle cannot be read in parts; its tensors are mapped from the disk instead.
        self._pickles = pickles

    @classmethod
    def open(cls, files: list[Path]) -> Weights:
        """Read names and shapes.

        Raises:
            ModelFileError: a damaged or unsafe file, or a name in two files.
        """
        title = str(files[0]) if len(files) == 1 else f"{files[0].parent} ({len(files)} shards)"
        entries: dict[str, _Entry] = {}
        pickles: dict[Path, dict[str, Tensor]] = {}
        twice = []
        for file in files:
            if file.suffix.lower() == ".safetensors":
                shapes = read_shapes(file)
            else:
                pickles[file] = read_tensors(file, mmap=True)
                shapes = {name: tuple(tensor.shape) for name, tensor in pickles[file].items()}
            twice += [name for name in shapes if name in entries]
            entries.update({name: _Entry(file, name, shape) for name, shape in shapes.items()})
        if twice:
            raise ModelFileError(f"{title}: in more than one shard: {listed(twice)}. Fetch the files again.")
        return cls(title, entries, pickles)

    @property
    def shapes(self) -> dict[str, Shape]:
        """Name to shape."""
        return {name: entry.shape for name, entry in self._entries.items()}

    def renamed(self, rename: Callable[[str], str | None]) -> Weights:
        """The same weights under other names; those whose new name is None are left out.

        Raises:
            ModelFileError: two tensors would get the same name.
        """
        entries: dict[str, _Entry] = {}
        for old, entry in self._entries.items():
            new = rename(old)
            if new is None:
                continue
            if new in entries:
                raise ModelFileError(f"{self.title}: {entries[new].name} and {entry.name} both stand for {new}.")
            entries[new] = entry
        return Weights(self.title, entries, self._pickles)

    def replaced(self, other: Weights) -> Weights:
        """These weights with those of ``other`` in the place of the ones that have the same name."""
        return Weights(
            f"{self.title} with {other.title}",
            {**self._entries, **other._entries},
            {**self._pickles, **other._pickles},
        )

    def squeezed(self, expected: dict[str, Shape]) -> Weights:
        """1x1 convolutions taken as matrices where a matrix is expected; the older layout's attentions are such."""
        entries = {
            name: replace(entry, shape=entry.shape[:-2])
            if entry.shape == (*expected.get(name, ()), 1, 1) and len(entry.shape) == 4
            else entry
            for name, entry in self._entries.items()
        }
        return Weights(self.title, entries, self._pickles)

    def dtype(self) -> torch.dtype:
        """Type of the first tensor that is of a type for networks; float32 if there is none."""
        for name in self._entries:
            dtype = next(iter(self._read([name])))[1].dtype
            if dtype in (torch.float32, torch.float16, torch.bfloat16):
                return dtype
        return torch.float32

    def read(self, dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
        """All tensors, each put into its type and place as it is read.

        Raises:
            ModelFileError: a file that ends too early, or values that are not finite numbers.
        """
        try:
            read = self._read(self._entries)
            return {name: to_floats(self.title, name, tensor, dtype, device) for name, tensor in read}
        except (OSError, RuntimeError, ValueError) as e:
            if is_out_of_memory(e):
                raise
            raise ModelFileError(f"{self.title}: cannot be read ({type(e).__name__}: {e}). Fetch it again.") from e

    def _read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        from safetensors import safe_open

        by_file: dict[Path, list[str]] = {}
        for name in names:
            by_file.setdefault(self._entries[name].file, []).append(name)
        for file, inside in by_file.items():
            if file in self._pickles:
                # A copy: the mapping's file may be replaced while the network is in use.
                found = ((name, self._pickles[file][self._entries[name].name].clone()) for name in inside)
                yield from ((name, tensor.reshape(self._entries[name].shape)) for name, tensor in found)
                continue
            with safe_open(file, framework="pt") as handle:
                for name in inside:
                    entry = self._entries[name]
                    yield name, handle.get_tensor(entry.name).reshape(entry.shape)


def fill(network: nn.Module, weights: Weights, what: str, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Give a network that was built on the meta device its weights; returns it, ready for inference.

    Raises:
        ModelFileError: names or shapes that differ, or a damaged file.
    """
    check(weights.title, weights.shapes, shapes_of(network), what, ADVICE)
    network.load_state_dict(weights.read(dtype, device), assign=True)
    for module in network.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta and name == "position_ids":
                # In no file: it only counts.
                numbers = torch.arange(buffer.shape[-1], device=device).expand(buffer.shape)
                module.register_buffer(name, numbers, persistent=False)
    empty = [name for name, tensor in (*network.named_parameters(), *network.named_buffers()) if tensor.is_meta]
    if empty:
        raise ModelFileError(f"{weights.title}: gives no values for {listed(empty)} of {what}.")
    return network.requires_grad_(False).eval()


#: What is read of a text encoder's configuration; among the rest is what runs code (``attn_implementation``).
_TEXT_SETTINGS = (
    *("attention_dropout", "bos_token_id", "eos_token_id", "pad_token_id", "hidden_act", "hidden_size"),
    *("intermediate_size", "layer_norm_eps", "max_position_embeddings", "num_attention_heads", "num_hidden_layers"),
    *("projection_dim", "vocab_size"),
)


def empty_network(make: Callable[[], Any], config: dict[str, Any], title: object, what: str) -> Any:
    """What ``make`` makes of a configuration, on the meta device: names and shapes, no memory.

    Raises:
        ModelFileError: no network can be made of it; names ``title``, where it is from, and ``what`` was to be made.
    """
    check_sizes(title, config)
    try:
        with torch.device("meta"):
            return make()
    except Exception as e:  # the libraries raise nearly anything on settings that fit nothing
        raise ModelFileError(f"{title}: its configuration fits no {what} ({type(e).__name__}: {str(e)[:300]}).") from e


def load_unet(weights: Weights, config: dict[str, Any], dtype: torch.dtype, device: torch.device) -> Any:
    """A UNet under diffusers' names.

    Raises:
        ModelFileError: the configuration fits none, or the weights do not fit the configuration.
    """
    from diffusers import UNet2DConditionModel

    settings = arguments_of(UNet2DConditionModel, config)
    network = empty_network(lambda: UNet2DConditionModel(**settings), config, weights.title, "UNet")
    return fill(network, weights, "Stable Diffusion's UNet", dtype, device)


def load_vae(weights: Weights, config: dict[str, Any], dtype: torch.dtype, device: torch.device) -> Any:
    """A VAE, under diffusers' names, the original layout's, or those that diffusers had before.

    Raises:
        ModelFileError: as :func:`load_unet`.
    """
    from diffusers import AutoencoderKL

    settings = arguments_of(AutoencoderKL, config)
    network = empty_network(lambda: AutoencoderKL(**settings), config, weights.title, "VAE")
    blocks = len(network.config.up_block_types)
    weights = weights.renamed(lambda name: vae_name(name, blocks)).squeezed(shapes_of(network))
    return fill(network, weights, "Stable Diffusion's VAE", dtype, device)


def load_text_encoder(
    weights: Weights, config: dict[str, Any], dtype: torch.dtype, device: torch.device, *, projection: bool = False
) -> nn.Module:
    """A CLIP text encoder under transformers' names; with its projection, as SDXL's second, or without.

    Raises:
        ModelFileError: as :func:`load_unet`.
    """
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    settings = text_settings(config)
    kind = CLIPTextModelWithProjection if projection else CLIPTextModel
    network = empty_network(lambda: kind(CLIPTextConfig(**settings)), config, weights.title, "text encoder")
    # Only some versions of transformers have "text_model." before every name.
    ours = {text_name(name, projection): name for name in network.state_dict()}
    weights = weights.renamed(lambda name: text_name(name, projection)).renamed(lambda name: ours.get(name, name))
    return fill(network, weights, "Stable Diffusion's text encoder", dtype, device)


def text_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Those entries of a text encoder's configuration that are read."""
    return {name: config[name] for name in _TEXT_SETTINGS if name in config}
