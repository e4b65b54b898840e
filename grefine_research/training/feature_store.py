"""Features of pictures, encoded once and kept on disk, so that an epoch of training takes seconds.

A store is a folder of shards, each one safetensors file that is either there as a whole or not at all: a build that was
killed goes on after the last of them. A shard holds ``class`` (n, C) float32, if wanted ``patches`` (n, h·w, C)
float16, both at unit length, and the keys of its pictures. Class features are the model's own: V-V attention leaves the
original path, which the class token is taken from, as it is (method, section 1).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grefine_core.clip.preprocess import check_resolution, geometry, normalise, preprocess
from grefine_core.clip.quality_model import IMAGE_BATCH
from grefine_core.clip.surgery import DEFAULT_BLOCKS, encode_image, vision_tower
from grefine_core.errors import InputError, ModelFileError
from grefine_core.memory import reason_of
from grefine_core.models.files import read_metadata, write_tensors

from .fingerprint import model_fingerprint
from .launch import Launch
from .precision import Precision, autocast

logger = logging.getLogger(__name__)

FORMAT = "grefine-features-1"
SHARD = 512

Read = Callable[[Sequence[str]], Iterable[Tensor | None]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Source:
    """What the features of a shard depend on, beside the pictures."""

    fingerprint: str
    """Of the image encoder's weights."""
    resolution: tuple[int, int]
    blocks: int
    patches: bool
    """Whether patch tokens are kept."""
    precision: Precision = "float32"
    """Of the encoder's products."""

    def text(self) -> str:
        """As it stands in the shards."""
        content = asdict(self)
        if self.precision == "float32":  # as in shards that were written before there was a choice
            del content["precision"]
        return json.dumps(content, sort_keys=True)

    def short(self) -> str:
        """Eight digits for the name of a store of its own."""
        return hashlib.blake2b(self.text().encode(), digest_size=4).hexdigest()


@dataclass(frozen=True)
class Features:
    """Features of N pictures at unit length."""

    keys: tuple[str, ...]
    """One for each picture, in order; pictures that could not be read are not among them."""
    class_tokens: Tensor
    """(N, C) float32."""
    shards: tuple[np.ndarray[Any, np.dtype[np.float16]], ...] = ()
    """Patch tokens (n, h·w, C) of consecutive pictures, mapped from their files; none if they were not kept."""
    fingerprint: str = ""
    """Of the image encoder."""

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def has_patches(self) -> bool:
        """Whether patch tokens were kept."""
        return bool(self.shards)

    def rows(self, rows: Sequence[int]) -> Features:
        """The features of some pictures, in ascending order."""
        if list(rows) == list(range(len(self))):
            return self
        chosen = np.unique(np.asarray(rows, dtype=np.int64))
        shards, start = [], 0
        for shard in self.shards:
            own = chosen[(chosen >= start) & (chosen < start + len(shard))] - start
            # A shard that is used as a whole stays mapped; of others the rows are read.
            shards += [shard if len(own) == len(shard) else shard[own]] if len(own) else []
            start += len(shard)
        keys = tuple(self.keys[number] for number in chosen)
        return Features(keys, self.class_tokens[torch.from_numpy(chosen)], tuple(shards), self.fingerprint)

    def patches(self, rows: Tensor) -> Tensor:
        """Patch tokens (n, h·w, C) float32 of some pictures.

        Raises:
            InputError: none were kept.
        """
        if not self.shards:
            raise InputError("features: no patch tokens were kept; build them again with patches=True.")
        starts = np.cumsum([0, *(len(shard) for shard in self.shards)])
        wanted = rows.numpy()
        owner = np.searchsorted(starts, wanted, side="right") - 1
        found = np.empty((len(wanted), *self.shards[0].shape[1:]), np.float16)
        for number in np.unique(owner):
            chosen = np.flatnonzero(owner == number)
            found[chosen] = self.shards[number][wanted[chosen] - starts[number]]
        return torch.from_numpy(found).float()


def build_features(
    folder: str | Path,
    clip: nn.Module,
    keys: Sequence[str],
    read: Read,
    *,
    patches: bool = False,
    resolution: int | tuple[int, int] | None = None,
    blocks: int = DEFAULT_BLOCKS,
    shard: int = SHARD,
    progress: Progress | None = None,
    precision: Precision = "float32",
    launch: Launch | None = None,
) -> Features:
    """Encode pictures into a store, or only those that it lacks; shards of another model or of other pictures are
    written anew.

    Args:
        folder: the store; only ``rows-*.safetensors`` in it are touched.
        clip: the open_clip model, on any device; not changed.
        keys: one name for each picture, all different.
        read: called once with the keys of the missing pictures; gives for each, in order, a picture (H, W, 3) in
            [0, 1], or None for one that cannot be read, which is passed over (and reported by the caller, who knows
            why). Pictures may differ in size.
        patches: whether to keep patch tokens, too: 2·h·w·C bytes a picture.
        resolution: side to encode at, pixels; None for the model's own.
        blocks: last blocks with V-V attention, for the patch tokens.
        shard: pictures in one file.
        progress: called with (done, total) pictures, of those that are this process's own.
        precision: of the encoder's products; the features are kept as they are without it.
        launch: this process among several, which encode every so manieth shard each and then wait for each other; all
            have to be called with the same keys.

    Returns:
        The features of all pictures that could be read.

    Raises:
        InputError: keys that are not unique, a reader that gives fewer or more, or pictures of another shape.
    """
    if len(set(keys)) != len(keys) or not keys:
        raise InputError(f"keys: {len(keys)} keys, {len(set(keys))} different ones; every picture needs its own.")
    folder = Path(folder)
    launch = launch or Launch()
    source = source_of(clip, patches=patches, resolution=resolution, blocks=blocks, precision=precision)
    parts = [list(keys[start : start + shard]) for start in range(0, len(keys), shard)]
    own = [number for number in range(len(parts)) if launch.mine(number)]
    missing = [number for number in own if not _is_there(_shard(folder, number), source, parts[number])]
    total = sum(len(parts[number]) for number in own)
    done = total - sum(len(parts[number]) for number in missing)
    if done:
        logger.info("%s: %d of %d pictures are encoded already.", folder, done, total)
    pictures = iter(read([key for number in missing for key in parts[number]]) if missing else ())
    for number in missing:
        _write_shard(_shard(folder, number), clip, source, parts[number], _take(pictures, len(parts[number])))
        done += len(parts[number])
        if progress is not None:
            progress(done, total)
    launch.wait()
    for stale in sorted(folder.glob("rows-*.safetensors"))[len(parts) :]:
        if launch.main:
            stale.unlink()
    launch.wait()
    return open_features(folder, len(parts))


def source_of(
    clip: nn.Module,
    *,
    patches: bool = False,
    resolution: int | tuple[int, int] | None = None,
    blocks: int = DEFAULT_BLOCKS,
    precision: Precision = "float32",
) -> Source:
    """What features of this model would depend on; arguments as of :func:`build_features`."""
    size = check_resolution(resolution, geometry(clip))
    return Source(model_fingerprint(vision_tower(clip)), size, blocks, patches, precision)


def open_features(folder: str | Path, shards: int | None = None) -> Features:
    """Read a store, or its first ``shards`` shards; patch tokens are mapped, not read.

    Raises:
        ModelFileError: no store, a shard is missing or damaged, or shards of different models.
    """
    folder = Path(folder)
    files = sorted(folder.glob("rows-*.safetensors"))[:shards]
    if not files or [file for number, file in enumerate(files) if file != _shard(folder, number)]:
        raise ModelFileError(f"{folder}: no features, or some of their files are missing; build them again.")
    notes = [read_metadata(file) for file in files]
    if any(note.get("format") != FORMAT or note.get("source") != notes[0].get("source") for note in notes):
        raise ModelFileError(f"{folder}: features of different models, or files of something else; build them again.")
    keys: list[str] = []
    tokens = []
    mapped: list[np.ndarray[Any, np.dtype[np.float16]]] = []
    for file, note in zip(files, notes, strict=True):
        found = json.loads(note["keys"])
        if found:
            keys += found
            tokens.append(_class_tokens(file))
            mapped += _mapped(file, "patches")
    if not tokens:
        raise ModelFileError(f"{folder}: none of the pictures could be read.")
    fingerprint = str(json.loads(notes[0]["source"])["fingerprint"])
    return Features(tuple(keys), torch.cat(tokens), tuple(mapped), fingerprint)


def _shard(folder: Path, number: int) -> Path:
    return folder / f"rows-{number:05d}.safetensors"


def _asked(keys: Sequence[str]) -> str:
    return hashlib.blake2b("\0".join(keys).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _is_there(file: Path, source: Source, keys: Sequence[str]) -> bool:
    if not file.is_file():
        return False
    try:
        note = read_metadata(file)
    except ModelFileError:
        return False
    return (note.get("format"), note.get("source"), note.get("asked")) == (FORMAT, source.text(), _asked(keys))


def _take(pictures: Iterator[Tensor | None], count: int) -> Iterator[Tensor | None]:
    for _ in range(count):
        try:
            yield next(pictures)
        except StopIteration:
            raise InputError("read: gave fewer pictures than keys; give None for one that cannot be read.") from None


@torch.no_grad()
def _write_shard(
    file: Path, clip: nn.Module, source: Source, keys: Sequence[str], pictures: Iterable[Tensor | None]
) -> None:
    kept: list[str] = []
    pixels: list[Tensor] = []
    for key, picture in zip(keys, pictures, strict=True):
        if picture is None:
            continue
        if picture.ndim != 3 or picture.shape[-1] != 3:
            raise InputError(f"{key}: expected a picture (H, W, 3), got {tuple(picture.shape)}.")
        try:
            pixels.append(preprocess(picture[None], source.resolution)[0])
        except Exception as error:  # a huge one, and no memory for it: the others go on
            logger.warning("skipped: %s: %s", key, reason_of(error))
            continue
        kept.append(key)
    device = vision_tower(clip).conv1.weight.device
    tokens = []
    for start in range(0, len(pixels), IMAGE_BATCH):
        batch = normalise(torch.stack(pixels[start : start + IMAGE_BATCH]), geometry(clip))
        with autocast(device, source.precision):
            encoded = encode_image(clip, batch.to(device), source.blocks)
        found = F.normalize(encoded.float(), dim=-1).cpu()
        tokens.append((found[:, 0].clone(), found[:, 1:].half() if source.patches else None))
    tensors = {"class": torch.cat([one for one, _ in tokens])} if tokens else {}
    if tokens and source.patches:
        tensors["patches"] = torch.cat([two for _, two in tokens if two is not None])
    notes = {"format": FORMAT, "source": source.text(), "asked": _asked(keys), "keys": json.dumps(kept)}
    write_tensors(file, tensors, notes)


def _class_tokens(file: Path) -> Tensor:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as handle:
        return handle.get_tensor("class")


def _mapped(file: Path, name: str) -> list[np.ndarray[Any, np.dtype[np.float16]]]:
    """A tensor of float16 as a view into its file, none if the file has no such tensor: safetensors keeps each tensor
    in one piece, at an offset that its head names."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        head = json.loads(stream.read(length))
    if name not in head:
        return []
    start = 8 + length + head[name]["data_offsets"][0]
    return [np.memmap(file, np.float16, "r", start, tuple(head[name]["shape"]))]
