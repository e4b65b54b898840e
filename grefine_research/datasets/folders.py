"""Folders of pictures with prompts: DiffusionDB, GenImage, a folder of one's own, and a plain table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from grefine_core.clip.embeddings import FACTORS
from grefine_core.errors import InputError
from grefine_core.memory import reason_of
from grefine_core.metadata import FoundPrompt, prompt_of
from grefine_core.pictures import SUFFIXES as PICTURES
from grefine_core.pictures import is_picture, load_picture
from grefine_core.tables import SUFFIXES as TABLES
from grefine_core.tables import Row, read_table

from .collecting import SPLIT_NAMES, Collector, Columns
from .walking import files_below, is_named

#: Names under which a column is found without being named, by what it holds.
_GUESSES: dict[str, tuple[str, ...]] = {
    "image": ("image", "path", "file", "file_name", "filename", "name", "image_name"),
    "prompt": ("prompt", "text", "caption"),
    "group": ("group", "generator", "model"),
    "split": ("split",),
    "mos": ("mos", "score"),
    "perception": ("perception", "mos_quality"),
    "alignment": ("alignment", "mos_align"),
    **{factor: (factor,) for factor in FACTORS},
}
_NOT_SCORES = ("image", "prompt", "group", "split")
_PROMPT_FILES = ("prompts", "metadata")


def diffusiondb(into: Collector, table: Path | None, images: Path | None) -> None:
    """DiffusionDB: folders ``part-000001`` … with a JSON file of the same name, which has each picture's prompt under
    ``p``. ``root`` is one of them, or what holds them (also in ``images`` and ``diffusiondb-large-part-1``)."""
    top = images or into.root
    files = (
        [table]
        if table
        else sorted({*top.glob("part-*.json"), *top.glob("*/part-*.json"), *top.glob("*/*/part-*.json")})
    )
    if not files:
        raise InputError(f"{top}: no part-*.json of DiffusionDB, here or two folders deeper.")
    for file in files:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            into.skip(file.stem, file, f"cannot be read ({error}); all of its pictures are left out")
            continue
        for name, entry in content.items() if isinstance(content, Mapping) else ():
            image = file.parent / name
            prompt = entry.get("p") if isinstance(entry, Mapping) else None
            if isinstance(prompt, str):
                into.add(image, prompt, group="Stable Diffusion")
            else:
                into.skip(into.key_of(image), file, "has no prompt")


def genimage(into: Collector, table: Path | None, images: Path | None) -> None:
    """GenImage: ``<generator>/train|val/ai`` (also one folder deeper, as its archives unpack); photographs, in
    ``nature``, take no part.

    Its generators were asked for classes of ImageNet, whose number is in the file names (``000_sdv4_00012.png``,
    ``GLIDE_1000_200_01_109_glide_00035.png``): the prompt is ``photo of <class>``, unless a table has a better one.
    """
    top = images or into.root
    found = sorted({*top.glob("ai"), *top.glob("*/ai"), *top.glob("*/*/ai"), *top.glob("*/*/*/ai")})
    folders = [folder for folder in found if folder.is_dir()]
    if not folders:
        raise InputError(f"{top}: no folders <generator>/train/ai or <generator>/val/ai of GenImage.")
    written = _prompts_of(table) if table else {}
    for folder in folders:
        part = folder.parent.name
        above = folder.parent.parent if part in SPLIT_NAMES else folder.parent
        # The generator's folder, not the archive's in it.
        generator = above.relative_to(top).parts[0] if above != top else above.resolve().name
        for image in sorted(path for path in folder.iterdir() if is_picture(path)):
            prompt = written.get(image.name) or class_prompt(image.name)
            if prompt is None:
                into.skip(into.key_of(image), image, "its name has no number of a class, and no table has its prompt")
            else:
                into.add(image, prompt, group=generator, split=SPLIT_NAMES.get(part))


def class_prompt(name: str) -> str | None:
    """What a picture of GenImage was asked to show, by its file name; None if that does not say."""
    match = re.match(r"(?:GLIDE_1000_200_\d+_|VQDM_1000_200_\d+_)?(\d{1,3})_[A-Za-z]", name)
    if match is None:
        return None
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES

    return f"photo of {IMAGENET_CLASSNAMES[int(match.group(1))]}"


def folder(
    into: Collector,
    table: Path | None,
    images: Path | None,
    columns: Mapping[str, str] | None,
    node: str | None = None,
) -> None:
    """Pictures in a folder and those below it, with a table of prompts (``prompts`` or ``metadata`` .csv, .tsv, .json,
    .jsonl, .xlsx), or each with a text file of its name, or with the prompt in its own metadata (in ``node`` of its
    graph, if one is named)."""
    top = images or into.root
    file = table or next(
        (top / f"{stem}{suffix}" for stem in _PROMPT_FILES for suffix in TABLES if (top / f"{stem}{suffix}").is_file()),
        None,
    )
    named: set[Path] = set()
    if file is not None:
        before = len(into.entries)
        plain(into, file, top, columns)
        named = {entry.image if hasattr(entry, "image") else entry.path for entry in into.entries[before:]}
    for image in files_below(top, PICTURES):
        if image in named:
            continue
        try:
            found = _own_prompt(image, node)
        except Exception as error:
            into.skip(into.key_of(image), image, reason_of(error))
            continue
        if found.positive is None and found.reason:
            into.skip(into.key_of(image), image, f"no prompt for certain: {found.why_none()}")
        elif found.positive is None:
            where = f"{file.name} has no row of it, and it" if file is not None else "it"
            into.skip(
                into.key_of(image), image, f"no prompt: {where} has neither a text file nor a prompt in its metadata"
            )
        else:
            into.add(image, found.positive)


def plain(into: Collector, table: Path | None, images: Path | None, columns: Mapping[str, str] | None) -> None:
    """A table with a row for each picture. Paths are relative to ``images``, else to the table.

    Raises:
        InputError: more than one table to choose from, or columns that are not there.
    """
    if table is None:
        files = sorted(path for path in into.root.iterdir() if is_named(path, TABLES))
        if len(files) != 1:
            raise InputError(
                f"{into.root}: has {len(files) or 'no'} tables ({', '.join(TABLES)}); name the one to read."
            )
        table = files[0]
    rows = read_table(table)
    chosen = columns_of(rows, table, columns or {})
    for number, row in enumerate(rows, 1):
        into.row(number, row, table, (images or table.parent,), chosen)


def columns_of(rows: list[Row], table: Path, given: Mapping[str, str]) -> Columns:
    """Columns as given, the rest by their usual names."""
    there = {name.lower(): name for row in rows[:50] for name in row}
    found = dict(given)
    taken = set(given.values())
    for what, names in _GUESSES.items():
        name = next((there[name] for name in names if name in there and there[name] not in taken), None)
        if what not in found and name is not None:
            found[what] = name
            taken.add(name)
    if "image" not in found:
        raise InputError(f"{table}: no column of file names among {', '.join(there.values())}; name it (image=COLUMN).")
    scores = {what: name for what, name in found.items() if what not in _NOT_SCORES}
    return Columns(found["image"], found.get("prompt"), scores, found.get("group"), found.get("split")).check(
        rows, table
    )


def _prompts_of(table: Path) -> dict[str, str]:
    rows = read_table(table)
    columns = columns_of(rows, table, {})
    return {Path(row[columns.image]).name: row.get(columns.prompt or "", "") for row in rows if row.get(columns.image)}


def _own_prompt(image: Path, node: str | None) -> FoundPrompt:
    if node is None and image.with_suffix(".txt").is_file():
        return prompt_of(image, {})  # nothing has to be decoded
    return prompt_of(image, load_picture(image).text, node)


READERS: dict[str, tuple[str, Callable[[Collector, Path | None, Path | None], None]]] = {
    "diffusiondb": ("DiffusionDB", diffusiondb),
    "genimage": ("GenImage", genimage),
}
