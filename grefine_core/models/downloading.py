"""Fetching a known model file, only when the user asks for it: resumable, checked, and in place only when complete."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError, ModelFileError
from .finding import download_folder
from .registry import ModelEntry
from .transfer import BROKEN, Answer, NothingLeftError, NotTheRestError, ask
from .verifying import Verification, verify_file

logger = logging.getLogger(__name__)

DownloadProgress = Callable[[int, int | None], None]
_CHUNK = 1 << 18
_TRUE = ("1", "true", "yes", "on")
#: Of a file whose size is not recorded, bytes at most.
_LARGEST = 100_000_000_000
#: Seconds between looks at whether another process is done.
_PAUSE = 0.5
_UNLOCKABLE = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def download(
    entry: ModelEntry,
    folder: str | Path | None = None,
    progress: DownloadProgress | None = None,
    *,
    timeout: float = 30.0,
    host: str | Path | None = None,
) -> Verification:
    """Fetch a known file into a folder and verify it. A file that is there already and passes is not fetched again.

    What was fetched before an interruption lies in ``<name>.part`` and is continued by the next call, if the server has
    the rest of the same file. The file gets its name only when it is complete and has passed: its tensors, the hash
    that is recorded here, and the hash that the hub announces with the file. While another process fetches the same
    file, this one waits for it.

    Args:
        entry: which one.
        folder: where to; ``download_folder`` of the entry if None.
        progress: called with (bytes so far, bytes in all or None) as it goes; may raise to stop.
        timeout: seconds without an answer.
        host: a ComfyUI, into whose folder of the right kind the file goes if no ``folder`` is given.

    Raises:
        InputError: the file comes with the package and is not downloaded.
        ModelFileError: offline (``HF_HUB_OFFLINE=1``), the server refuses, the connection breaks, the disk is too small
            or full, or what came is not that file; names address and target.
    """
    url = entry.url
    if url is None:
        raise InputError(f"model: {entry.id} comes with the package ({entry.shipped}); there is nothing to download.")
    target = (download_folder(entry, host) if folder is None else Path(folder).expanduser()) / entry.names[0]
    if target.is_file():
        return verify_file(target, entry)
    if target.exists() or target.is_symlink():
        raise ModelFileError(
            f"{target}: is there already, but is no file that can be read. Take it away, and try again."
        )
    if any(os.environ.get(name, "").lower() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")):
        raise ModelFileError(
            f"{entry.id}: HF_HUB_OFFLINE is set, so nothing is fetched. Unset it, or fetch {url} elsewhere "
            f"and save it as {target}."
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelFileError(f"{target.parent}: cannot be made ({error}). Name another folder (--folder).") from error
    with _alone(target, progress) as part:
        if target.is_file():
            return verify_file(target, entry)
        logger.info("Fetching %s (%s, %s) to %s", url, entry.size_text, entry.licence, target)
        return _fetch(entry, url, part, target, progress, timeout)


def _fetch(
    entry: ModelEntry, url: str, part: BinaryIO, target: Path, progress: DownloadProgress | None, timeout: float
) -> Verification:
    """Fetch what is missing, verify all of it, and give it its name; what does not pass is thrown away."""
    continued = part.tell() > 0
    while True:
        try:
            sha256 = _receive(entry, url, part, target, progress, timeout)
            return _place(entry, target, _verified(entry, target, sha256))
        except (NotTheRestError, _WrongError) as error:
            _empty(part)
            _note(target).unlink(missing_ok=True)
            if not continued:
                raise ModelFileError(f"{url}: what came is not {entry.title}, and was thrown away ({error})") from error
        # The file has changed since the first attempt, or that was of something else.
        logger.warning("%s: does not fit together with what was there from before; fetching all of it again.", url)
        continued = False


class _WrongError(Exception):
    """What came is not the file."""


def _receive(
    entry: ModelEntry, url: str, part: BinaryIO, target: Path, progress: DownloadProgress | None, timeout: float
) -> str | None:
    """Fetch into ``part``, from where an earlier attempt stopped if the server can do that; the announced sha256."""
    done, note = part.tell(), _note(target)
    version = note.read_text(encoding="utf-8") if note.is_file() else ""

    def broken(error: Exception) -> ModelFileError:
        return ModelFileError(
            f"{url}: the connection failed ({error}). Run it again to continue, or fetch it elsewhere and save it as "
            f"{target}."
        )

    with ExitStack() as stack:
        try:
            answer = stack.enter_context(ask(url, done, version, timeout))
        except NothingLeftError as error:
            return error.sha256
        except ModelFileError as error:
            raise ModelFileError(f"{error} Nothing was saved as {target}.") from error
        except BROKEN as error:
            raise broken(error) from error
        _check_size(entry, url, target, answer)
        if answer.start != done:
            _empty(part)
        if answer.version != version:
            _write(target, lambda: note.write_text(answer.version, encoding="utf-8"))
        done = answer.start
        while True:
            try:
                chunk = answer.response.read1(_CHUNK)
            except BROKEN as error:
                raise broken(error) from error
            if not chunk:
                break
            done += len(chunk)
            if done > (_most(entry) if answer.total is None else answer.total):
                raise _WrongError(f"the server sends more than the {done} bytes that it has at most")
            _write(target, lambda chunk=chunk: (part.write(chunk), part.flush()))  # type: ignore[misc]
            if progress is not None:
                progress(done, answer.total)
        if answer.total is not None and done < answer.total:
            raise ModelFileError(f"{url}: broke off after {done} of {answer.total} bytes; run it again to continue.")
        return answer.sha256


def _check_size(entry: ModelEntry, url: str, target: Path, answer: Answer) -> None:
    """Refuse before gigabytes have been fetched in vain."""
    if answer.total is None:
        return
    if answer.total > _most(entry):
        raise ModelFileError(
            f"{url}: the server announces {answer.total / 1e9:.1f} GB, far more than {entry.title} has "
            f"({entry.size_text}); nothing was fetched."
        )
    missing, free = answer.total - answer.start, shutil.disk_usage(target.parent).free
    if missing > free:
        raise ModelFileError(
            f"{target}: {missing / 1e9:.1f} GB are to be fetched, but only {free / 1e9:.1f} GB are free there. Make "
            "room, or name another folder (--folder)."
        )


def _most(entry: ModelEntry) -> int:
    """Bytes that a file may have: sizes are recorded in round numbers, and files are now and then published anew."""
    return _LARGEST if entry.size is None else 2 * entry.size


def _empty(part: BinaryIO) -> None:
    part.seek(0)
    part.truncate()


def _write(target: Path, write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        raise ModelFileError(
            f"{target}: cannot be written ({error}). What came so far is kept; make room and run it again to continue."
        ) from error


def _verified(entry: ModelEntry, target: Path, announced: str | None) -> Verification:
    try:
        checked = verify_file(_part(target), entry, compute_hash=True, name=target.name)
    except ModelFileError as error:
        raise _WrongError(str(error)) from error
    if announced is not None and checked.sha256 != announced:
        raise _WrongError(f"sha256 is {checked.sha256}, but {announced} was announced with the file.")
    return replace(checked, path=target, hash_announced=announced is not None)


def _place(entry: ModelEntry, target: Path, checked: Verification) -> Verification:
    """Give the file its name; a file that has come there in the meantime stays."""
    part = _part(target)
    try:
        os.link(part, target)
    except FileExistsError:
        part.unlink()
        return verify_file(target, entry)
    except OSError:  # a file system without links
        os.rename(part, target)  # noqa: PTH104
    else:
        part.unlink()
    return checked


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _note(target: Path) -> Path:
    """Which version of the server's file the part is of."""
    return target.with_name(target.name + ".part.version")


@contextmanager
def _alone(target: Path, progress: DownloadProgress | None) -> Iterator[BinaryIO]:
    """The file of what has come so far, open for more of it, and locked as long as it is: no other process writes to
    it. Waits for one that does. An empty one is taken away again."""
    part, waited = _part(target), False
    while True:
        try:
            file = part.open("ab")
        except OSError as error:
            raise ModelFileError(f"{part}: cannot be written ({error}). Name another folder (--folder).") from error
        with file:
            # Whoever held it before may have given the file its name, or taken it away.
            if _lock(file) and part.exists() and os.path.samestat(os.fstat(file.fileno()), part.stat()):
                try:
                    yield file
                finally:
                    if not part.exists() or part.stat().st_size == 0:
                        _note(target).unlink(missing_ok=True)
                        part.unlink(missing_ok=True)
                return
        if not waited:
            logger.warning("%s: another process is fetching it; waiting for that.", target)
            waited = True
        if progress is not None:
            progress(part.stat().st_size if part.exists() else 0, None)
        time.sleep(_PAUSE)


def _lock(file: BinaryIO) -> bool:
    """Whether the file is now this process's own; it is until it is closed."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(1 << 40)  # far behind the content, which others may read
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            finally:
                file.seek(0, os.SEEK_END)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _UNLOCKABLE
    return True
