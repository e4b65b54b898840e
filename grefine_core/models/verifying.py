"""Checking that a file on disk is what it is said to be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelFileError
from .files import existing_file, read_shapes
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


def verify_file(path: str | Path, entry: ModelEntry, compute_hash: bool = False) -> Verification:
    """Check a file against a known model: readable, the right tensors with the right shapes, the hash if recorded.

    Raises:
        InputError: ``path`` is no path.
        ModelFileError: missing, damaged, or another model's; says which tensors or hashes differ.
    """
    file = existing_file(path, entry.id)
    shapes = dict(read_shapes(file)) if entry.shapes else {}
    if is_transformers(shapes) and "visual.conv1.weight" in entry.shapes:
        from .files import read_tensors

        shapes = {name: tuple(tensor.shape) for name, tensor in from_transformers(read_tensors(file)).items()}
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
