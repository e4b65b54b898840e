"""Pictures that another program refined, found by the names of the originals."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from grefine_core.errors import InputError
from grefine_core.pictures import is_picture


def parse_compared(text: str) -> tuple[str, Path]:
    """``NAME=FOLDER`` from the command line.

    Raises:
        InputError: not of this form, or no such folder.
    """
    name, sign, folder = text.partition("=")
    name = name.strip()
    if not sign or not name or not folder:
        raise InputError(f"--compare {text}: expected NAME=FOLDER.")
    if any(letter in name for letter in '/\\:*?"<>|') or name.startswith("."):
        raise InputError(f"--compare {text}: {name!r} cannot be the name of a file; choose another.")
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise InputError(f"--compare {text}: {place} is no folder.")
    return name, place


def find_compared(folder: Path, keys: list[str]) -> dict[str, Path]:
    """The other program's picture for each key that has one.

    Looked for, in this order: at the key itself below the folder (with any picture ending, or with one behind the
    original's), then anywhere below the folder by its bare name, if just one picture has it.

    Raises:
        InputError: the folder has none of them.
    """
    files = sorted(file for file in folder.rglob("*") if is_picture(file))
    by_path: dict[str, Path] = {}
    by_name: dict[str, list[Path]] = {}
    for file in files:
        relative = PurePosixPath(file.relative_to(folder).as_posix())
        for name in (str(relative), str(relative.with_suffix(""))):
            by_path.setdefault(name, file)
        for bare in {relative.stem, PurePosixPath(relative.stem).stem}:
            by_name.setdefault(bare, []).append(file)
    found = {}
    for key in keys:
        original = PurePosixPath(key)
        place = by_path.get(key) or by_path.get(str(original.with_suffix("")))
        if place is None:
            alike = by_name.get(original.stem, [])
            place = alike[0] if len(alike) == 1 else None
        if place is not None:
            found[key] = place
    if not found:
        raise InputError(
            f"--compare: {folder} has no picture of the names of the originals (looked for {keys[0]}, with any ending)."
        )
    return found
