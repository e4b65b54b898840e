"""When memory runs out: how to tell, and what is raised then."""

from __future__ import annotations

import torch

from .errors import GRefineError


class OutOfMemory(GRefineError, torch.cuda.OutOfMemoryError):  # noqa: N818 - as torch's own name has it
    """Memory ran out, and nothing smaller is left to try; the message says at what, and what to do.

    It is torch's error, too: what frees memory when it sees that one (ComfyUI does) does so for this.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory ran out: torch has a class for some devices, and only words for others."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def empty_cache() -> None:
    """Give what torch keeps for later back to the device."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
