"""What a program around the sampling may want to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ...memory import empty_cache


@dataclass(frozen=True)
class Hooks:
    """Functions of the program around; all are optional.

    Attributes:
        check: called before every call of the networks, between tiles, too. What it raises stops the work.
        preview: makes a small picture ``(1, h, w, 3)`` in [0, 1] (or None) for ``progress`` of the clean latent
            ``(1, 4, h, w)`` that is expected after a step, in the UNet's scale.
        free_memory: called after memory ran out, before it is tried with less; as it is, torch's cache is emptied.
    """

    check: Callable[[], None] | None = None
    preview: Callable[[Tensor], Tensor | None] | None = None
    free_memory: Callable[[], None] = empty_cache
