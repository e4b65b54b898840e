"""Options as they are given on a command line: NAME=VALUE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from grefine_core.errors import InputError

Options = TypeVar("Options")


def parse_settings(settings: Sequence[str], options: Options) -> Options:
    """Options, a data class, changed by ``NAME=VALUE`` texts.

    Raises:
        InputError: an unknown name, one that is not a number or a word, or a value out of range.
    """
    known = {field.name: getattr(options, field.name) for field in fields(options)}  # type: ignore[arg-type]
    simple = {name: value for name, value in known.items() if isinstance(value, int | float | str)}
    changes: dict[str, Any] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in simple:
            raise InputError(f"--set {setting}: {name!r} is not one of {', '.join(simple)}.")
        try:
            changes[name] = type(simple[name])(value)
        except ValueError as error:
            raise InputError(f"--set {setting}: {value!r} is no {type(simple[name]).__name__}.") from error
    return replace(options, **changes)  # type: ignore[type-var]
