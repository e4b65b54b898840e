"""Checking and spreading of the stages' arguments: one value for all pictures, or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..errors import InputError
from ..tensors import as_images


def per_picture(values: object, count: int, name: str, kind: type | tuple[type, ...]) -> list[Any]:
    """``values`` as one for each of ``count`` pictures: a single one serves all.

    Raises:
        InputError: another number of values, or one of a wrong type.
    """
    given: list[Any] = [values] * count if isinstance(values, kind) else _listed(values, name)
    if len(given) == 1:
        given = given * count
    if len(given) != count:
        raise InputError(f"{name}: {len(given)} values for {count} pictures; give one, or one for each picture.")
    for value in given:
        if not isinstance(value, kind) or (kind is not str and isinstance(value, bool)):
            raise InputError(f"{name}: {value!r} has the wrong type ({type(value).__name__}).")
    return given


def _listed(values: object, name: str) -> list[Any]:
    if not isinstance(values, Sequence):
        raise InputError(f"{name}: expected one value or a sequence of them, got {type(values).__name__}.")
    return list(values)


def check_strength(value: float) -> float:
    """``value`` if it is in [0, 1]."""
    if not 0.0 <= float(value) <= 1.0:
        raise InputError(f"strengths: expected values from 0 to 1, got {value!r}.")
    return float(value)


def check_steps(value: int) -> int:
    """``value`` if it is 0 or more."""
    if value < 0:
        raise InputError(f"steps: expected 0 or more, got {value!r}.")
    return value


def check_answer(answer: object, sample: Tensor, name: str) -> Tensor:
    """What an engine returned, as ``(1, h, w, 3)`` in [0, 1] of the size that it was given."""
    picture = as_images(answer, f"result of the {name}")
    if picture.shape != sample.shape:
        raise InputError(f"{name}: was given a picture of {tuple(sample.shape)} and returned {tuple(picture.shape)}.")
    return picture


def untouched(given: object, normalised: Tensor) -> bool:
    """Whether ``given`` may be handed back as it is: normalising it changed neither shape nor type."""
    return isinstance(given, Tensor) and given.shape == normalised.shape and given.dtype == normalised.dtype
