"""Checking that a file on disk is what it is said to be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelFileError
from .files import existing_file, read_shapes, read_tensors
from .registry import ModelEntry
from .state_dicts import from_transformers, is_transformers

_CHUNK = 1 << 22


@dataclass(frozen=True)
class Verification:
    """What was checked of a file."""

    path: Path
    entry: ModelEntry
    size: int
    """Bytes."""
    sha256: str | None
    """Computed if the entry has one to compare with, or on request."""
    hash_known: bool
    """Whether the hash was compared with a recorded one; else only names and shapes were."""
    hash_announced: bool = False
    """Whether it was compared with what the server announced while the file was fetched."""


def verify_file(
    path: str | Path, entry: ModelEntry, compute_hash: bool = False, *, name: str | None = None
) -> Verification:
    """Check a file against a known model: readable, the right tensors with the right shapes, the hash if recorded.

    Args:
        path: of the file.
        entry: which model it is said to be.
        compute_hash: even where there is none to compare with.
        name: the file's name to be, whose ending says how it is read; None for the one it has.

    Raises:
        InputError: ``path`` is no path.
        ModelFileError: missing, damaged, or another model's; says which tensors or hashes differ.
    """
    file = existing_file(path, entry.id)
    suffix = Path(name or file.name).suffix
    shapes = dict(read_shapes(file, suffix)) if entry.shapes else {}
    if is_transformers(shapes) and "visual.conv1.weight" in entry.shapes:
        shapes = {name: tuple(tensor.shape) for name, tensor in from_transformers(read_tensors(file, suffix)).items()}
    wrong = [
        f"{name} is {shapes.get(name, 'missing')}, expected {shape}"
        for name, shape in entry.shapes.items()
        if shapes.get(name) != shape
    ]
    if wrong:
        raise ModelFileError(f"{file}: is not {entry.title}: {'; '.join(wrong[:3])}{'; …' if len(wrong) > 3 else ''}.")
    digest = file_sha256(file) if compute_hash or entry.sha256 is not None else None
    if entry.sha256 is not None and digest != entry.sha256:
        raise ModelFileError(f"{file}: sha256 is {digest}, expected {entry.sha256} for {entry.title}; fetch it again.")
    return Verification(file, entry, file.stat().st_size, digest, entry.sha256 is not None)


def file_sha256(file: Path) -> str:
    """sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with file.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
