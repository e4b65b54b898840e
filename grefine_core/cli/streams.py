"""What goes to standard output and standard error: UTF-8 whatever the code page, and no command to the terminal."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ..plain_text import printable, visible

# Ending a run from outside: a signal that asks for it is like Ctrl-C, so everything is left in order.


class Stopped(KeyboardInterrupt):
    """A signal asked for the end; ``code`` is the exit code that says which (143 for SIGTERM)."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGTERM (and SIGHUP, of a closed terminal) raise :class:`Stopped` in here, unless somebody has other plans."""
    names = ("SIGTERM", "SIGHUP")
    wanted = [getattr(signal, name) for name in names if hasattr(signal, name)]
    main = threading.current_thread() is threading.main_thread()  # signals can be dealt with in no other
    taken = [number for number in wanted if main and signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, _: FrameType | None) -> None:
    raise Stopped(number)


#: What tqdm itself does with the cursor.
_MOVES = re.compile(r"[\r\n]*(?:\x1b\[A)+")
_UNREAD = (errno.EPIPE, errno.EINVAL) if os.name == "nt" else (errno.EPIPE,)  # Windows says it either way


class Unread(BaseException):
    """Nobody reads what we write any more, as behind ``| head``: no error, the run ends."""


class Plain:
    """A text stream that writes control characters as escapes.

    Where it is not ``needed``, as it holds messages and no results, what cannot be written is dropped.
    """

    def __init__(self, stream: Any, needed: bool = True) -> None:
        self._stream, self._needed = stream, needed

    def write(self, text: str) -> int:
        """As any stream's."""
        moves = text[: len(text) - len(text.lstrip("\r"))]  # a progress bar begins its line anew
        plain = text if _MOVES.fullmatch(text) else moves + visible(text[len(moves) :])
        with self._noticing():
            self._stream.write(printable(plain))
        return len(text)

    def flush(self) -> None:
        """As any stream's."""
        with self._noticing():
            self._stream.flush()

    @contextlib.contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._needed:
                _to_nowhere(self._stream)
            elif error.errno in _UNREAD:
                raise Unread from error
            else:
                raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def plain_streams() -> Iterator[None]:
    """Standard output and standard error as :class:`Plain` streams in UTF-8."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    # A closed one is None.
    out, err = (io.StringIO() if stream is None else stream for stream in before)
    sys.stdout, sys.stderr = Plain(out), Plain(err, needed=False)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def forget_unread() -> None:
    """Drop what nobody reads, or Python would complain of it when it ends."""
    try:
        sys.stdout.flush()
    except Unread:
        _to_nowhere(sys.stdout)


def _to_nowhere(stream: Any) -> None:
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
