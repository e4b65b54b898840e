"""Other packages fetch weights without asking. Here nothing is fetched unless the user said so."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from grefine_core.errors import ModelFileError

_state = threading.local()
_lock = threading.Lock()
_hooked: list[bool] = []


class FetchRefusedError(ModelFileError):
    """A package wanted to reach the network."""


@contextmanager
def no_downloads(allowed: bool = False) -> Iterator[None]:
    """Inside, in this thread, every attempt to reach another machine raises :class:`FetchRefusedError`.

    By Python's audit events, which all packages go through, whatever library they fetch with; nothing of theirs is
    patched. Sockets on this machine itself are let through.

    Args:
        allowed: True does nothing at all.
    """
    if allowed:
        yield
        return
    with _lock:
        if not _hooked:
            # A hook cannot be taken away again: it stays, and does nothing outside this context.
            sys.addaudithook(_hook)
            _hooked.append(True)
    before = getattr(_state, "refuse", False)
    _state.refuse = True
    try:
        yield
    finally:
        _state.refuse = before


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not getattr(_state, "refuse", False):
        return
    if event == "urllib.Request":
        raise FetchRefusedError(f"would have to be fetched from {arguments[0]}")
    if event == "socket.getaddrinfo" and arguments[0] not in (None, "localhost", "127.0.0.1", "::1"):
        raise FetchRefusedError(f"would have to be fetched from {arguments[0]}")
    if event == "socket.connect" and isinstance(arguments[1], tuple) and not _local(str(arguments[1][0])):
        raise FetchRefusedError(f"would have to be fetched from {arguments[1][0]}")


def _local(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
