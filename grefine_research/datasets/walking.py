"""Files below a folder, without what is no content: hidden files, and results of ours that lie among the pictures."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

logger = logging.getLogger(__name__)

#: The note that a run of ``grefine bulk`` leaves -> the folders of its results beside it.
RESULTS = {"scores_run.json": ("scores", "unfinished"), "refined_run.json": ("refined", "pictures", "unfinished")}


def is_named(path: Path, suffixes: Sequence[str]) -> bool:
    """Whether a file is called so, and is not hidden: those are halves of a killed run, or a Mac's ``._name``."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def files_below(top: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of these endings below a folder, sorted.

    Results of ``grefine bulk`` are left out, or they would be taken for data by the next run.
    """
    found: list[Path] = []

    def unreadable(error: OSError) -> None:
        logger.warning("%s: cannot be looked into (%s).", error.filename, error.strerror)

    for folder, inside, files in os.walk(top, onerror=unreadable):
        if results := {name for note, names in RESULTS.items() if note in files for name in names}.intersection(inside):
            logger.info("%s: %s: results, no data.", folder, ", ".join(sorted(results)))
            inside[:] = [name for name in inside if name not in results]
        place = Path(folder)
        found += [place / name for name in files if is_named(Path(name), suffixes)]
    return sorted(path for path in found if path.is_file())
