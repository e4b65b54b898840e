"""Mixed precision: matrix products in half of the bits, weights and sums in float32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

Precision = Literal["float32", "bfloat16", "float16"]
#: Asked once, here: the question in the middle of a compiled function would break it into pieces.
_BFLOAT16_UNITS = torch.backends.cpu.get_cpu_capability() not in ("DEFAULT", "NO AVX", "AVX2")


def quick_type(device: torch.device | str) -> torch.dtype:
    """The type of the quickest matrix products on a device: bfloat16, or float32 on processors without units for it.

    There bfloat16 is worked out in float32 piece by piece: a step of a training took ten times as long.
    """
    return torch.bfloat16 if _BFLOAT16_UNITS or torch.device(device).type != "cpu" else torch.float32


def quick(device: torch.device | str) -> AbstractContextManager[Any]:
    """Under which a training's forward pass runs in :func:`quick_type`; for the inside of compiled functions, too."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, quick_type(device) is torch.bfloat16)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Under which the forward pass runs; nothing for float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, precision))
