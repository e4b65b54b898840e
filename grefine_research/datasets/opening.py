"""Opening a data set by its kind."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from grefine_core.checks import choice, whole_number
from grefine_core.errors import InputError
from grefine_core.tables import SUFFIXES as TABLES

from . import folders, published
from .collecting import Collector
from .miniature import Progress, miniature
from .pictures import CHECKS, Check
from .records import Dataset, Scale

logger = logging.getLogger(__name__)

KINDS = ("agiqa-3k", "aigiqa-20k", "agiqa-1k", "diffusiondb", "genimage", "folder", "csv", "miniature")
SPLITS = ("train", "validation", "test")


def open_dataset(
    kind: str,
    root: str | Path,
    *,
    table: str | Path | None = None,
    images: str | Path | None = None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    scales: Mapping[str, tuple[float, float]] | None = None,
    check: Check = "header",
    limit: int | None = None,
    progress: Progress | None = None,
    prompt_from: str | None = None,
) -> Dataset:
    """Read a data set from disk; rows that cannot be used are reported, never silently dropped.

    Args:
        kind: one of :data:`KINDS`.
        root: the data set's folder, as unpacked. For "csv" the table itself will do; for "miniature" a folder that the
            pictures are drawn into.
        table: file with prompts and ratings, where it is not in its usual place.
        images: folder of the pictures, likewise.
        split: only examples of this split ("train", "validation", "test").
        columns: for "csv" and "folder": ``image``, ``prompt``, ``group``, ``split`` or a score's name -> column of the
            table; those not given are found by their usual names.
        scales: score -> (worst, best), where the data set does not publish them; without it they are measured.
        check: how closely pictures are looked at.
        limit: no more examples than this, evenly spaced over the whole (the same ones every time); "miniature" takes
            the first ones, 1000 without a limit.
        progress: called with (done, total) pictures that are drawn.
        prompt_from: for "folder": id or title of the node in the pictures' own ComfyUI graphs that has the prompt.

    Raises:
        InputError: an unknown kind, no such folder, table or split, columns that are not there, or nothing usable.
    """
    choice(kind, "kind", KINDS)
    choice(check, "check", CHECKS)
    if split is not None:
        choice(split, "split", SPLITS)
    if limit is not None:
        whole_number(limit, "limit", 1, 1 << 40)
    place = Path(root).expanduser()
    file = None if table is None else Path(table).expanduser()
    pictures = None if images is None else Path(images).expanduser()
    if kind == "csv" and place.is_file():
        file, place = file or place, place.parent
    if kind != "miniature" and not place.is_dir():
        raise InputError(f"root: {place} is no folder; give that of the unpacked data set{_or_table(kind)}.")
    if pictures is not None and not pictures.is_dir():
        raise InputError(f"images: {pictures} is no folder.")
    if columns and kind not in ("csv", "folder"):
        raise InputError(f"columns: those of {kind} are known; they can be named for csv and folder.")
    if prompt_from is not None and kind != "folder":
        raise InputError(f"prompt_from: prompts of {kind} are not read from pictures; it is for folder.")
    given = {score: _scale(score, ends) for score, ends in (scales or {}).items()}
    into = Collector(place)
    name = place.resolve().name if file is None or kind != "csv" else file.stem
    if kind in published.READERS:
        name, read = published.READERS[kind]
        read(into, file, pictures)
        given = {**published.SCALES, **given}
    elif kind in folders.READERS:
        name, read = folders.READERS[kind]
        read(into, file, pictures)
    elif kind == "folder":
        folders.folder(into, file, pictures, columns, prompt_from)
    elif kind == "csv":
        folders.plain(into, file, pictures, columns)
    else:
        name, given = "miniature", miniature(into, split, limit, progress)
        limit = None
    found = into.finish(name, kind, given, split=split, limit=limit, check=check)
    for score, scale in found.scales.items():
        if not scale.published and kind != "miniature":
            logger.info("%s: %s goes from %g to %g; its scale is not known.", name, score, scale.low, scale.high)
    return replace(found, name=name)


def _or_table(kind: str) -> str:
    return f", or a table ({', '.join(TABLES)})" if kind == "csv" else ""


def _scale(score: str, ends: tuple[float, float]) -> Scale:
    low, high = (float(end) for end in ends)
    if low == high:
        raise InputError(f"scales: {score} goes from {low:g} to {high:g}, which is no range.")
    return Scale(low, high)
