"""Calling a node, and what must hold afterwards."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .giving import Given


def judge(
    node: Any,
    given: Mapping[str, Given],
    right: Callable[[tuple[Any, ...]], None],
    errors: tuple[type[Exception], ...],
    *,
    clash: Collection[str] = (),
    ignored: bool = False,
) -> str:
    """Run ``node`` and hold: a right result if all is in order, else an error that names an input that is not.

    clash: inputs that are in order by themselves but do not go together. ignored: with these settings there is nothing
    to do, so a broken input may go unnoticed. Inputs are never written to. Returns what happened, in a word.
    """
    values = {name: each.value for name, each in given.items()}
    before = {name: fingerprint(value) for name, value in values.items()}
    broken = {name for name, each in given.items() if not each.fine} | set(clash)
    outcome = "result"
    try:
        with torch.inference_mode():
            result = node.execute(**values).result
    except Exception as error:
        outcome = "refused"
        message = str(error)
        if not isinstance(error, errors):
            raise AssertionError(f"{type(error).__name__} instead of a clear error: {message[:500]}") from error
        if not broken:
            raise AssertionError(f"what is in order was refused: {message[:500]}") from error
        assert any(re.search(rf"\b{name}\b", message) for name in broken), f"names none of {broken}: {message[:500]}"
        assert re.search(r" .*[.)]\s*$", message, re.DOTALL), f"no sentence: {message[:500]}"
        assert len(message) < 4000, f"{len(message)} characters"
        message.encode("utf-8")  # it is to be sent and logged
    else:
        assert ignored or not broken, f"took { ({name: describe(values[name]) for name in broken}) }"
        if not broken:
            right(result)
    for name, value in values.items():
        assert fingerprint(value) == before[name], f"{name} was written to"
    return outcome


def fingerprint(value: Any) -> Any:
    """Equal only for equal bytes; objects other than tensors and containers count as themselves."""
    if isinstance(value, Tensor):
        if value.is_complex() or value.numel() == 0:
            return repr(value)
        raw = torch.empty(value.shape, dtype=value.dtype).copy_(value).view(-1).view(torch.uint8).numpy()
        return str(value.dtype), tuple(value.shape), hashlib.blake2b(raw.data).hexdigest()
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, dict):
        return {key: fingerprint(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [fingerprint(each) for each in value]
    return repr(value) if isinstance(value, int | float | str | bytes | None) else id(value)


def describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} {tuple(value.shape)}"
    return repr(value)[:80]


def is_image(value: Any, shape: tuple[int, int, int], like: Tensor | None = None) -> None:
    """An IMAGE as the host passes it on, or of the channels and the dtype that it is ``like``."""
    if like is None:
        _is_tensor(value, (*shape, 3))
    else:
        _is_tensor(value, (*shape, like.shape[-1]), like.dtype)


def is_mask(value: Any, shape: tuple[int, int, int]) -> None:
    """A MASK as the host passes it on."""
    _is_tensor(value, shape)


def is_score(value: Any) -> None:
    """A number in [0, 1]."""
    assert isinstance(value, float), f"{value!r} is no float"
    assert 0.0 <= value <= 1.0, f"{value!r} is out of range"


def _is_tensor(value: Any, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
    assert isinstance(value, Tensor), f"{value!r} is no tensor"
    assert tuple(value.shape) == shape, f"shape {tuple(value.shape)}, not {shape}"
    assert value.dtype == dtype, f"{value.dtype}"
    low, high = torch.aminmax(value)
    assert bool((low >= 0.0) & (high <= 1.0)), f"from {float(low)} to {float(high)}"  # false for NaN, too
