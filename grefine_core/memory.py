"""When memory runs out: how to tell, and what is raised then."""

from __future__ import annotations

import logging
import re
from typing import Any

import torch

from .errors import GRefineError, InputError

logger = logging.getLogger(__name__)


class OutOfMemory(GRefineError, torch.cuda.OutOfMemoryError):  # noqa: N818 - as torch's own name has it
    """Memory ran out, and nothing smaller is left to try; the message says at what, and what to do.

    It is torch's error, too: what frees memory when it sees that one (ComfyUI does) does so for this.
    """


_WORDS = re.compile(
    r"out of memory"  # CUDA, ROCm (HIP), MPS, XPU
    r"|out_of_(?:device_|host_)?(?:memory|resources)"  # SYCL, Level Zero, OpenCL
    r"|e_?outofmemory|0x8007000e|0x887a0005.*memory"  # Windows, and DirectML through it
    r"|error_?(?:out_?of_?memory|memory_?allocation)"  # cudaErrorMemoryAllocation, hipErrorOutOfMemory
    r"|(?:not enough|insufficient)(?: \w+){0,3} memory"  # DefaultCPUAllocator on Windows; DirectML's "video memory"
    r"|(?:can't|cannot|could not|unable to|failed to) allocate memory"  # DefaultCPUAllocator on Linux; errno 12
    r"|invalid buffer size"  # MPS, for a tensor beyond the largest buffer
    r"|alloc(?:ation)?_failed",  # cuBLAS, cuDNN, cuSOLVER, hipBLAS and the like
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether ``error`` says that memory ran out: torch has a class for some devices, and only words for others."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _WORDS.search(str(error)) is not None


def empty_cache() -> None:
    """Give what torch keeps for later back to the devices."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
    if torch.xpu.is_available():
        torch.xpu.empty_cache()


def put_on(device: str | torch.device | None, module: Any, what: str) -> Any:
    """Put a network, or a pipeline of them, on a device; returns it.

    Raises:
        InputError: a device that is not there.
        OutOfMemory: it is, and has too little memory left.
    """
    try:
        return module.to(device)
    except (RuntimeError, AssertionError, MemoryError) as error:
        if is_out_of_memory(error):
            raise OutOfMemory(
                f"{device}: out of memory while {what} was put there ({str(error)[:200]}). Unload other models, or "
                "load it on another device or in a smaller type."
            ) from error
        raise InputError(f"device: {what} cannot be put on {str(device)!r} ({str(error)[:200]}).") from error


def reason_of(error: Exception, most: int = 500) -> str:
    """Why one picture, row or prompt of many failed, in at most so many characters, for the place where it is reported.

    An error raised on purpose speaks for itself. Any other may be a fault of the program: its type is named, and the
    traceback is logged (level INFO). Memory that ran out is given back, so that the next one has it.
    """
    if is_out_of_memory(error):
        empty_cache()
    if isinstance(error, GRefineError | OSError) and str(error):
        return str(error)[:most]
    logger.info("%s", type(error).__name__, exc_info=error)
    if isinstance(error, MemoryError):
        return f"not enough memory ({type(error).__name__})"
    return f"{type(error).__name__}: {error}"[:most].removesuffix(": ")
