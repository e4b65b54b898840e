"""Where automatic calibrations are kept, and by what they are found again: never beside a user's own in their name."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from ..alignment.calibration import Calibration
from ..errors import ModelFileError

logger = logging.getLogger(__name__)

FOLDER = "calibrations"
"""Beside the weights, in the user's model folder."""
CACHE = Path("~/.cache/grefine/calibrations")
"""Where that cannot be written to."""
VERSION = 3
"""Of how bounds are measured: with another number all are measured anew."""

_HEAD, _SAMPLES, _SAMPLE = 1 << 16, 512, 64


def file_key(path: Path) -> str:
    """A cheap key of a file, or of the files of a folder: size, time, head, and some bytes out of the whole of it.

    A few milliseconds whatever its size; that two files have the same key and not the same weights takes intent.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    for file in files:
        with file.open("rb") as stream:
            found = os.fstat(stream.fileno())
            digest.update(f"{file.name if path.is_dir() else ''} {found.st_size} {found.st_mtime_ns}".encode())
            digest.update(stream.read(_HEAD))
            for number in range(_SAMPLES if found.st_size > _HEAD else 0):
                stream.seek(_HEAD + (found.st_size - _HEAD) * number // _SAMPLES)
                digest.update(stream.read(_SAMPLE))
    return digest.hexdigest()


def key_of(*parts: object) -> str:
    """One key of several: of files (paths), and of settings by their text."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (VERSION, *parts):
        text = file_key(part) if isinstance(part, Path) else repr(part)
        digest.update(f"{len(text)} {text}".encode())
    return digest.hexdigest()


def places(weights: Path, key: str) -> tuple[Path, Path]:
    """The two files that a calibration of these weights may lie in: in their folder, and in the cache."""
    name = f"{weights.stem}-{key[:16]}.json"
    return weights.parent / FOLDER / name, CACHE.expanduser() / name


def find(weights: Path, key: str) -> Calibration | None:
    """The calibration that was kept under this key; None if there is none, or it is damaged."""
    for file in places(weights, key):
        try:
            if not file.is_file():
                continue
            found = Calibration.load(file)
        except (OSError, ModelFileError) as error:
            logger.warning("%s; it is measured anew.", error)
            continue
        if found.key == key:
            return found
    return None


def keep(calibration: Calibration, weights: Path, key: str) -> Path | None:
    """Write a calibration where it is found again: whole or not at all. None where nothing can be written.

    Two processes that measured the same at the same time write the same file, one after the other.
    """
    reasons = []
    for file in _writable(places(weights, key)):
        try:
            return calibration.save(file)
        except OSError as error:
            reasons.append(f"{file.parent}: {error.strerror or error}")
    logger.warning("The calibration cannot be kept (%s); it is measured at every start.", "; ".join(reasons))
    return None


def _writable(files: Iterable[Path]) -> Iterable[Path]:
    """Places to try; what a hub's cache holds is the hub's."""
    return (file for file in files if not {"blobs", "snapshots"} & set(file.parts))
