"""One run at a time in a folder of results, on one machine or on several that share it."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import platform
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from grefine_core.errors import InputError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

logger = logging.getLogger(__name__)

NAME = ".grefine-bulk.lock"
BEAT = 5.0
"""Seconds between two signs of life of a run."""
PATIENCE = 4
"""Beats without a sign of life, after which the run of another machine is taken for dead."""


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder; the lock ends with the process, however that ends, and leaves nothing behind when it ends well.

    The system's lock of a file tells runs on one machine apart, and on several where the shared folder's file system
    hands locks on. Where it does not, the file's content does: it names the machine and changes while its run lives.

    Raises:
        InputError: another run is working there.
    """
    file = folder / NAME
    stream = _take(file, folder)
    ended = threading.Event()
    pulse = threading.Thread(target=_beat, args=(stream, ended), daemon=True)
    pulse.start()
    try:
        yield
    finally:
        ended.set()
        pulse.join()
        _give_back(file, stream)


def _take(file: Path, folder: Path) -> IO[bytes]:
    watched = False
    while True:
        stream = os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
        try:
            locked = _lock(stream)
            if locked is False:
                raise _refusal(folder, _said(file))
            if not _is_same(stream, file):  # its run has just ended and removed it
                stream.close()
                continue
            said = _said(file)
            if not watched and said and (locked is None or said.get("host") != platform.node()):
                _watch(file, folder, said)
                watched = True
                if not _is_same(stream, file):
                    stream.close()
                    continue
            _say(stream, 0)
            return stream
        except BaseException:
            stream.close()
            raise


def _watch(file: Path, folder: Path, said: dict[str, Any]) -> None:
    seconds = PATIENCE * BEAT
    logger.warning("%s: %s may be working here; watching for %g s whether it is.", folder, _who(said), seconds)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(BEAT / 5)
        now = _said(file)
        if now is None:
            return
        if now and now != said:
            raise _refusal(folder, now)
    logger.warning("%s: %s gives no sign of life; its run is taken for ended.", folder, _who(said))


def _refusal(folder: Path, said: dict[str, Any] | None) -> InputError:
    return InputError(
        f"{folder}: {_who(said)} is working here, and two at once would spoil the results. Wait until it has ended, or "
        "choose another folder."
    )


def _who(said: dict[str, Any] | None) -> str:
    return f"process {said.get('pid')} on {said.get('host')}" if said else "another run"


def _said(file: Path) -> dict[str, Any] | None:
    """What stands in the file; nothing of one that is being written; None without a file."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _say(stream: IO[bytes], beat: int) -> None:
    # Of one length and in one piece: whoever reads meanwhile finds a whole sentence.
    text = json.dumps({"host": platform.node(), "pid": os.getpid(), "beat": f"{beat:012d}"}).encode()
    stream.seek(0)
    stream.write(text)
    stream.truncate(len(text))


def _beat(stream: IO[bytes], ended: threading.Event) -> None:
    beat = 0
    while not ended.wait(BEAT):
        beat += 1
        with contextlib.suppress(OSError):  # a full disk is the run's own affair
            _say(stream, beat)


def _lock(stream: IO[bytes]) -> bool | None:
    """Whether the file is ours now; None where the file system has no locks."""
    try:
        if fcntl is not None:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            stream.seek(1 << 30)  # far behind the content, which others are to read
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        return None
    return True


def _is_same(stream: IO[bytes], file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), file.stat())
    except OSError:
        return False


def _give_back(file: Path, stream: IO[bytes]) -> None:
    if fcntl is not None:
        file.unlink(missing_ok=True)  # while it is held: nobody else's can be meant
        stream.close()
    else:
        stream.close()
        with contextlib.suppress(OSError):  # an open file cannot be removed there, and is another run's by now
            file.unlink(missing_ok=True)
