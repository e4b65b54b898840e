"""Files that a server sends: under names that are harmless on every system, and never in the place of another file."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from .errors import InputError
from .writing import written_whole

#: What ComfyUI's own nodes save. Anything else could be a file that some program acts upon by its mere name.
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".mp4", ".webm", ".txt", ".json")
)
_LONGEST_STEM = 100
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)( *\..*)?", re.IGNORECASE)


def harmless_name(name: str) -> str:
    """A name for a file, made of that which somebody else gave: no folder, nothing hidden, no sign with a meaning.

    Raises:
        InputError: the kind of file is none that is expected, or nothing is left of the name.
    """
    base = PurePosixPath(name.replace("\\", "/")).name
    suffix = PurePosixPath(base).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"the file {base!r:.120} is of no kind that is fetched ({', '.join(sorted(SUFFIXES))})")
    stem = re.sub(r"[^\w .()+,-]+", "-", base[: -len(suffix)])[:_LONGEST_STEM].strip(" .")
    if not stem or _DEVICE.fullmatch(stem):
        stem = f"file-{stem}".rstrip("-")
    return f"{stem}{base[-len(suffix) :]}"


class Receiver:
    """Puts files into ``folder``; a file that was there before is replaced only with ``overwrite``.

    Else a file of the same name and other content gets a number (``a-2.png``), and one of the same content is taken for
    the result. What one receiver wrote it never replaces itself.
    """

    def __init__(self, folder: Path, overwrite: bool = False) -> None:
        self._folder, self._overwrite = folder, overwrite
        self._made: set[Path] = set()

    def save(self, name: str, data: bytes) -> Path:
        """Write a file whole or not at all; ``name`` as somebody else gave it. Returns where it lies.

        Raises:
            InputError: not a name or a kind of file that is taken, or it cannot be written.
        """
        name = harmless_name(name)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return self._place(name, data)
        except OSError as error:
            raise InputError(f"{self._folder / name}: cannot be written ({error.strerror or error})") from error

    def _place(self, name: str, data: bytes) -> Path:
        first = self._folder / name
        path, number, claimed = first, 1, False
        while not (self._overwrite and path not in self._made and path.is_file()):
            try:
                path.open("xb").close()  # the name is ours now, whoever else writes into this folder
                claimed = True
                break
            except FileExistsError:
                if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
                    return path
                number += 1
                path = first.with_name(f"{first.stem}-{number}{first.suffix}")
        try:
            with written_whole(path) as scratch:
                scratch.write_bytes(data)
        except BaseException:
            if claimed:
                path.unlink(missing_ok=True)
            raise
        self._made.add(path)
        return path
