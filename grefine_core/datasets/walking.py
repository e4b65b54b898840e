"""Files below a folder, without what is no content: hidden files, and results of ours that lie among the pictures."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

logger = logging.getLogger(__name__)

#: Folders of results, which lie beside a note of the run that made them.
RESULTS = ("pictures", "scores", "refined", "unfinished", "records")
NOTES = ("scores_run.json", "refined_run.json", "refine_run.json", "indicators_run.json")


def is_named(path: Path, suffixes: Sequence[str]) -> bool:
    """Whether a file is called so, and is not hidden: those are halves of a killed run, or a Mac's ``._name``."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def files_below(top: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of these endings below a folder, sorted.

    Results of ``grefine bulk`` and ``grefine evaluate`` are left out, or they would be taken for data by the next run.
    """
    found: list[Path] = []

    def unreadable(error: OSError) -> None:
        logger.warning("%s: cannot be looked into (%s).", error.filename, error.strerror)

    for folder, inside, files in os.walk(top, onerror=unreadable):
        if any(note in files for note in NOTES):
            logger.info("%s: has results, which are no data.", folder)
            inside[:] = [name for name in inside if name not in RESULTS]
        place = Path(folder)
        found += [place / name for name in files if is_named(Path(name), suffixes)]
    return sorted(path for path in found if path.is_file())
