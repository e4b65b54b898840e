"""The exceptions of the library. Every message says what was wrong, where, and what to do."""

from __future__ import annotations


class GRefineError(Exception):
    """Base of every error that the library raises on purpose."""


class InputError(GRefineError, ValueError):
    """An argument has the wrong type, shape, range or content. The message names the argument."""


class ModelFileError(GRefineError):
    """A weight file is missing, damaged or of another model. The message names the file and what to do."""


class Cancelled(GRefineError):  # noqa: N818 - as asyncio.CancelledError it is a wish, no fault
    """The caller's callback asked for a stop."""
