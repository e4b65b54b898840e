"""The exceptions of the library. Every message says what was wrong, where, and what to do."""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)


class GRefineError(Exception):
    """Base of every error that the library raises on purpose."""


class InputError(GRefineError, ValueError):
    """An argument has the wrong type, shape, range or content. The message names the argument."""


class ModelFileError(GRefineError):
    """A weight file is missing, damaged or of another model. The message names the file and what to do."""


class Cancelled(GRefineError):  # noqa: N818 - as asyncio.CancelledError it is a wish, no fault
    """The caller's callback asked for a stop."""


def reason_of(error: Exception, most: int = 500) -> str:
    """Why one picture, row or prompt of many failed, in at most so many characters, for the place where it is reported.

    An error raised on purpose speaks for itself. Any other may be a fault of the program: its type is named, and the
    traceback is logged (level INFO). Memory that ran out is given back, so that the next one has it.
    """
    from .memory import empty_cache, is_out_of_memory  # of torch

    if isinstance(error, MemoryError | RuntimeError) and is_out_of_memory(error):
        empty_cache()
    if isinstance(error, GRefineError | OSError) and str(error):
        return str(error)[:most]
    logger.info("%s", type(error).__name__, exc_info=error)
    if isinstance(error, MemoryError):
        return f"not enough memory ({type(error).__name__})"
    return f"{type(error).__name__}: {error}"[:most].removesuffix(": ")
