"""Pictures and prompts from Parquet files, as data sets of this size usually come."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from grefine_core.errors import InputError
from grefine_core.plain_text import mended

from ..datasets.walking import files_below
from .parts import parquet
from .tasks import Place, Task, unique

logger = logging.getLogger(__name__)

#: Names under which a column is found without being named.
_GUESSES = {
    "image": ("image", "image_path", "path", "file", "file_name", "filename", "image_bytes", "bytes", "jpg", "png"),
    "prompt": ("prompt", "text", "caption", "txt"),
    "key": ("key", "__key__", "id"),
    "group": ("group", "generator", "model"),
}


def parquet_tasks(
    root: str | Path,
    *,
    images: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> list[Task]:
    """The rows of one Parquet file, or of all in a folder and below it. Pictures are not read here.

    The column of pictures has paths (relative to ``images``, else to its file), bytes of picture files, or both, as
    ``{bytes, path}``. Without a column of keys the key is the path, else ``FILE#ROW``.

    Args:
        root: the file or folder.
        images: folder of the pictures that paths are relative to.
        columns: ``image``, ``prompt``, ``key``, ``group`` -> column; those not given are found by their usual names.
        limit: no more rows than this, evenly spaced.

    Raises:
        InputError: no such file, no Parquet, no column of pictures, or pyarrow is not installed.
    """
    place = Path(root).expanduser().absolute()
    files = files_below(place, (".parquet",)) if place.is_dir() else [place]
    if not files or not files[0].is_file():
        raise InputError(f"root: {place} is no Parquet file, and no folder of any (*.parquet).")
    if unknown := set(columns or {}) - set(_GUESSES):
        raise InputError(f"columns: {min(unknown)} is none of {', '.join(_GUESSES)}.")
    top = place if place.is_dir() else place.parent
    faults: list[InputError] = []
    tasks = unique(task for file in files for task in _rows_or_error(file, top, images, columns or {}, faults))
    if len(faults) == len(files):
        raise faults[0]
    if not tasks:
        raise InputError(f"{place}: has no rows.")
    if limit is not None and limit < len(tasks):
        tasks = [tasks[index * len(tasks) // limit] for index in range(limit)]
    return tasks


def _rows_or_error(
    file: Path, top: Path, images: str | Path | None, given: Mapping[str, str], faults: list[InputError]
) -> Iterator[Task]:
    """The rows of one file; one that cannot be read is one row with an error, and among the ``faults``."""
    try:
        yield from _rows(file, top, images, given)
    except InputError as error:
        logger.warning("%s", error)
        faults.append(error)
        yield Task(key=file.relative_to(top).as_posix(), image=str(file), error=str(error))


def _rows(file: Path, top: Path, images: str | Path | None, given: Mapping[str, str]) -> Iterator[Task]:
    import pyarrow

    inside = file.relative_to(top).as_posix()
    folder = Path(images).expanduser().absolute() if images is not None else file.parent
    try:
        with parquet().ParquetFile(file) as source:
            names = _columns(file, source.schema_arrow.names, given)
            image = names.pop("image")
            with_path, with_bytes = _content(file, source.schema_arrow.field(image))
            # Of {bytes, path} the path alone: the pictures themselves stay where they are.
            paths = [f"{image}.path" if with_bytes else image] if with_path else []
            start = 0
            for group in range(source.num_row_groups):
                count = source.metadata.row_group(group).num_rows
                read = _as_bytes(source.read_row_group(group, columns=[*names.values(), *paths])).to_pydict()
                for row in range(count):
                    cells, error = _cells(read, names, row)
                    path = read[image][row] if with_path else None
                    path = path.get("path") if isinstance(path, dict) else path
                    path = os.fsdecode(path) if isinstance(path, bytes) else path
                    name = path or f"{inside}#{start + row}"
                    yield Task(
                        key=cells.get("key") or name,
                        prompt=mended(cells.get("prompt", "")),
                        image=str(folder / path) if path else name,
                        group=cells.get("group") or None,
                        place=Place(str(file), image, group, row) if with_bytes else None,
                        error=error if path or with_bytes else f"{file}: {image} is empty in this row",
                    )
                start += count
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: cannot be read as Parquet ({error}).") from error


def _content(file: Path, field: Any) -> tuple[bool, bool]:
    """Whether a column of pictures has paths, and whether it has bytes."""
    from pyarrow import types

    def is_text(kind: Any) -> bool:
        return bool(types.is_string(kind) or types.is_large_string(kind))

    def is_bytes(kind: Any) -> bool:
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    if is_text(field.type) or is_bytes(field.type):
        return is_text(field.type), is_bytes(field.type)
    parts = {part.name: part.type for part in field.type} if types.is_struct(field.type) else {}
    if "bytes" in parts and is_bytes(parts["bytes"]):
        return "path" in parts and is_text(parts["path"]), True
    raise InputError(
        f"{file}: {field.name} is {field.type}; expected paths, bytes of picture files, or {{bytes, path}}."
    )


def _columns(file: Path, there: list[str], given: Mapping[str, str]) -> dict[str, str]:
    if missing := [name for name in given.values() if name not in there]:
        raise InputError(f"{file}: has no column {missing[0]!r}; it has {', '.join(there)}.")
    lower = {name.lower(): name for name in there}
    found = dict(given)
    for what, names in _GUESSES.items():
        name = next((lower[name] for name in names if name in lower and lower[name] not in found.values()), None)
        if what not in found and name is not None:
            found[what] = name
    if "image" not in found:
        raise InputError(f"{file}: no column of pictures among {', '.join(there)}; name it (image=COLUMN).")
    return found


def _as_bytes(table: Any) -> Any:
    """Texts as the bytes that they are: not in all files they are valid, and then none of a column could be read."""
    import pyarrow
    from pyarrow import types

    for number, field in enumerate(table.schema):
        if types.is_string(field.type) or types.is_large_string(field.type):
            table = table.set_column(number, field.name, table.column(number).cast(pyarrow.large_binary()))
    return table


def _cells(read: Mapping[str, list[Any]], names: Mapping[str, str], row: int) -> tuple[dict[str, str], str | None]:
    """One row's texts, and what is wrong with them."""
    cells, error = {}, None
    for what, name in names.items():
        value = read[name][row]
        if isinstance(value, list | dict):  # their spelling in Python is no prompt
            error = f"{name} has {value!s:.40}, which is no text; name another column, or make it text"
            continue
        try:
            cells[what] = _text(value)
        except UnicodeDecodeError as wrong:
            cells[what] = value.decode("utf-8", "backslashreplace").strip()
            error = f"{name} is not in UTF-8 ({wrong.reason})"
    return cells, error


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8")
    # NaN: nothing there, as pandas writes it.
    return "" if value is None or value != value else str(value).strip()
