"""Weights from files into networks: names and shapes are compared first, then each tensor is read once, in place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import ModelFileError
from ..memory import is_out_of_memory
from ..models.files import read_shapes, read_tensors
from ..models.state_dicts import to_floats

logger = logging.getLogger(__name__)
Shape = tuple[int, ...]
#: Names of each kind that a message shows; all of them go to the log.
_SHOWN = 20


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
            raise ModelFileError(f"{title}: in more than one shard: {_listed(twice)}. Fetch the files again.")
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


def shapes_of(network: nn.Module) -> dict[str, Shape]:
    """Name to shape of all weights of a network."""
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def compare(title: str, found: dict[str, Shape], expected: dict[str, Shape], what: str) -> None:
    """Compare names and shapes of a file with those of a network.

    Raises:
        ModelFileError: anything missing, surplus or of another shape; lists it.
    """
    kinds = {
        "missing": [name for name in expected if name not in found],
        "unknown": [name for name in found if name not in expected],
        "of another shape": [
            f"{name} ({list(shape)} instead of {list(expected[name])})"
            for name, shape in found.items()
            if name in expected and shape != expected[name]
        ],
    }
    parts = [f"{len(names)} {kind}: {_listed(names)}" for kind, names in kinds.items() if names]
    if not parts:
        return
    for kind, names in kinds.items():
        if len(names) > _SHOWN:
            logger.error("%s: %s: %s", title, kind, ", ".join(names))
    raise ModelFileError(
        f"{title}: these are not the weights of {what}; of its tensors {'; '.join(parts)}. Nothing was loaded. Fetch "
        "the files again, or give those that belong to the model."
    )


def fill(network: nn.Module, weights: Weights, what: str, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Give a network that was built on the meta device its weights; returns it, ready for inference.

    Raises:
        ModelFileError: names or shapes that differ, or a damaged file.
    """
    compare(weights.title, weights.shapes, shapes_of(network), what)
    network.load_state_dict(weights.read(dtype, device), assign=True)
    for module in network.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta and name == "position_ids":
                # In no file: it only counts.
                numbers = torch.arange(buffer.shape[-1], device=device).expand(buffer.shape)
                module.register_buffer(name, numbers, persistent=False)
    empty = [name for name, tensor in (*network.named_parameters(), *network.named_buffers()) if tensor.is_meta]
    if empty:
        raise ModelFileError(f"{weights.title}: gives no values for {_listed(empty)} of {what}.")
    return network.requires_grad_(False).eval()


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
