"""Checking plain arguments: numbers in a range, one word out of several."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, SupportsFloat, TypeVar

from .errors import InputError

Word = TypeVar("Word", bound=str)


def number(value: object, name: str, low: float, high: float) -> float:
    """Return ``value`` as a float in [``low``, ``high``]; rounding errors of 1e-6 at the ends are forgiven.

    Raises:
        InputError: no single number (a bool or a string is none), not finite, or out of range.
    """
    if isinstance(value, (bool, str, bytes)) or not isinstance(value, SupportsFloat):
        raise InputError(f"{name}: expected a number from {low:g} to {high:g}, got {type(value).__name__}.")
    try:
        result = float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # a tensor of several numbers, or 10**400
        raise InputError(f"{name}: expected one number from {low:g} to {high:g}, got {value!r:.80}.") from error
    if not math.isfinite(result):
        raise InputError(f"{name}: {result} is not a finite number; the step that made it failed.")
    if not low - 1e-6 <= result <= high + 1e-6:
        raise InputError(f"{name}: {result:g} is out of range, it must be from {low:g} to {high:g}.")
    return min(max(result, low), high)


def whole_number(value: object, name: str, low: int, high: int) -> int:
    """Return ``value`` as an int in [``low``, ``high``].

    Raises:
        InputError: no whole number, or out of range.
    """
    result = number(value, name, low, high)
    if result != int(result):
        raise InputError(f"{name}: expected a whole number from {low} to {high}, got {result:g}.")
    return int(result)


def choice(value: object, name: str, allowed: Sequence[Word]) -> Word:
    """Return ``value`` if it is one of the words in ``allowed``.

    Raises:
        InputError: it is not; the message lists the words.
    """
    for word in allowed:
        if isinstance(value, str) and value == word:
            return word
    words = ", ".join(map(repr, allowed))
    raise InputError(f"{name}: {value!r:.80} is not known; choose one of {words}.")


def per_picture(values: object, count: int, name: str, kind: type | tuple[type, ...]) -> list[Any]:
    """``values`` as one for each of ``count`` pictures: a single one serves all.

    Raises:
        InputError: another number of values, or one of a wrong type.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    given = [values] * count if isinstance(values, kinds) else values
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        wanted = " or ".join(each.__name__ for each in kinds)
        raise InputError(f"{name}: expected one {wanted}, or a sequence of one for each picture, got {values!r:.100}.")
    if len(given) == 1:
        given = list(given) * count
    if len(given) != count:
        raise InputError(f"{name}: {len(given)} values for {count} pictures; give one, or one for each picture.")
    for value in given:
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise InputError(f"{name}: {value!r:.100} has the wrong type ({type(value).__name__}).")
    return list(given)


def quality_model(value: object, name: str = "model") -> None:
    """Refuse what does not encode pictures as a ``QualityModel`` does.

    Raises:
        InputError: it is something else, an open_clip model for one.
    """
    if not hasattr(value, "features_of"):
        raise InputError(
            f"{name}: expected a QualityModel (see load_quality_model, or QualityModel(clip) for an open_clip model in "
            f"memory), got {type(value).__name__}."
        )


Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def renamed(**names: str) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Decorate a function some of whose parameters had other names: it takes the old ones, too, with a warning.

    Args:
        names: old name -> today's.

    Returns:
        The decorator. What it makes raises InputError where a call gives both names.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @wraps(function)
        def call(*args: Parameters.args, **keywords: Parameters.kwargs) -> Result:
            for old in names.keys() & keywords.keys():
                new = names[old]
                if new in keywords:
                    raise InputError(f"{old}: is called {new} now, and both are given; give {new} alone.")
                warnings.warn(f"{old} is called {new} now", DeprecationWarning, stacklevel=2)
                keywords[new] = keywords.pop(old)
            return function(*args, **keywords)

        return call

    return decorate
