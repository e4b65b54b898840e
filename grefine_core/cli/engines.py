"""The engines of both stages as the command line offers them: their options, made of the registries, and loading."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from ..engines.entry import Entry, Option, Placement, paths
from ..engines.registry import INPAINTERS, RESTORERS
from ..errors import InputError
from ..refine.protocols import Capabilities
from . import common

_GET = (
    "A diffusers folder is fetched by: hf download diffusers/stable-diffusion-xl-1.0-inpainting-0.1 "
    "--local-dir sdxl-inpainting"
)
#: Parameters that every inpainter gets.
_SHARED = ("pipeline", "negative_prompt", "guidance_scale")


def add_inpainter_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Who does stage 1: ``--pipeline``, and what goes with it."""
    first = next(iter(INPAINTERS))
    parser.add_argument("--pipeline", metavar="PATH", help=f"{first.title}: {first.summary}")
    parser.add_argument("--negative-prompt", default="", help="what the pictures should not show")
    parser.add_argument("--guidance-scale", type=float, help="how strictly the prompt is followed; default: 7")
    parser.add_argument("--offload", choices=("none", "model", "sequential"), default="none", help="save GPU memory")
    if len(INPAINTERS.names) > 1:  # else there is nothing to choose
        parser.add_argument(
            "--inpainter",
            choices=INPAINTERS.names,
            default=first.name,
            help="; ".join(f"{entry.name}: {entry.title}{_limits(entry.capabilities)}" for entry in INPAINTERS),
        )
    _add_options(parser, INPAINTERS)


def add_restorer_options(parser: argparse.ArgumentParser) -> None:
    """Who does stage 2."""
    group = parser.add_argument_group("stage 2")
    group.add_argument(
        "--restorer",
        choices=RESTORERS.names,
        default=RESTORERS.names[0],
        help="; ".join(f"{entry.name}: {entry.summary}{_limits(entry.capabilities)}" for entry in RESTORERS),
    )
    _add_options(group, RESTORERS)


def _limits(can: Capabilities) -> str:
    """What is not as with other engines, in words."""
    told = (
        "" if can.steps else "one call, whatever --steps",
        "" if can.strength else "mixed in by the strength",
        "" if can.scale == 1 else f"works at {can.scale} times the size",
    )
    return f" ({', '.join(filter(None, told))})" if any(told) else ""


def _add_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup, entries: Iterable[Entry[Any]]) -> None:
    for entry in entries:
        for option in entry.options:
            parser.add_argument(
                flag(entry, option),
                type=str if option.kind is Path else option.kind,
                default=option.default,
                help=option.help,
                **({"choices": option.choices} if option.choices else {"metavar": option.metavar or None}),
            )


def flag(entry: Entry[Any], option: Option) -> str:
    """What the command line calls an engine's option."""
    return f"--{option.flag or f'{entry.name}-{option.name}'.replace('_', '-')}"


def destination(entry: Entry[Any], option: Option) -> str:
    """The attribute of the parsed arguments that holds it."""
    return flag(entry, option)[2:].replace("-", "_")


def path_destinations() -> tuple[str, ...]:
    """The attributes that hold files and folders of the engines, but ``pipeline``."""
    entries: tuple[Entry[Any], ...] = (*INPAINTERS, *RESTORERS)
    return tuple(destination(entry, option) for entry in entries for option in paths(entry.options))


def chosen_inpainter(arguments: argparse.Namespace) -> Entry[Any]:
    """The entry of the engine of stage 1."""
    return INPAINTERS[getattr(arguments, "inpainter", INPAINTERS.names[0])]


def chosen_restorer(arguments: argparse.Namespace) -> Entry[Any]:
    """The entry of the engine of stage 2."""
    return RESTORERS[arguments.restorer]


def option_values(entry: Entry[Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """The entry's options that have a value, by their names."""
    values = {option.name: getattr(arguments, destination(entry, option), None) for option in entry.options}
    return {name: value for name, value in values.items() if value is not None}


def check_engine_options(arguments: argparse.Namespace) -> None:
    """Find out what is missing before any model is loaded.

    Raises:
        InputError: an option that the engine needs is missing, has a value out of range, or belongs to another engine.
    """
    for choice, registry, chosen in (
        ("inpainter", INPAINTERS, chosen_inpainter(arguments)),
        ("restorer", RESTORERS, chosen_restorer(arguments)),
    ):
        entries: Iterable[Entry[Any]] = registry
        for entry in entries:
            if entry.name == chosen.name:
                continue
            for option in entry.options:
                if getattr(arguments, destination(entry, option), option.default) != option.default:
                    raise InputError(f"{flag(entry, option)}: is {entry.title}'s; add --{choice} {entry.name}.")
        values = option_values(chosen, arguments)
        for option in chosen.options:
            if option.needed and not values.get(option.name):
                raise InputError(f"{flag(chosen, option)}: --{choice} {chosen.name} needs {option.needed}.")
        if chosen.check is not None:
            chosen.check(**values)


def check_pipeline(arguments: argparse.Namespace) -> None:
    """Find out before any work that there is no pipeline, or none that the engine of stage 1 can read.

    Raises:
        InputError: none is named, or there is nothing at its place; says how to get one.
        ModelFileError: what is there is something else.
    """
    if arguments.miniature:
        return
    if not arguments.pipeline:
        raise InputError(
            f"--pipeline: refining needs one, {chosen_inpainter(arguments).summary} (or --miniature). {_GET}"
        )
    if not Path(arguments.pipeline).expanduser().exists():
        raise InputError(f"--pipeline {arguments.pipeline}: no such file or folder. {_GET}")
    check = chosen_inpainter(arguments).check_pipeline
    if check is not None:
        check(arguments.pipeline)


def restorer_identity(arguments: argparse.Namespace) -> str | None:
    """What tells results of this restorer and its options from others; None for one that has nothing to tell."""
    entry = chosen_restorer(arguments)
    return None if entry.identity is None else entry.identity(**option_values(entry, arguments))


class Engines:
    """The two stages' engines, read from disk only when a picture needs them.

    ``load`` gives the inpainter, ``load_restorer`` the restorer; without it the restorer is made of the inpainter.
    """

    def __init__(self, load: Callable[[], Any], load_restorer: Callable[[], Any] | None = None) -> None:
        self._load = lru_cache(maxsize=1)(load)
        self._load_restorer = lru_cache(maxsize=1)(load_restorer or self._of_the_inpainter)

    @classmethod
    def from_options(cls, arguments: argparse.Namespace, load: Callable[[], Any] | None = None) -> Engines:
        """The engines that the options ask for; ``load`` gives another inpainter than they say."""
        engines = cls(load or partial(load_inpainter, arguments))
        engines._load_restorer = lru_cache(maxsize=1)(partial(load_restorer, arguments, engines.inpainter))
        return engines

    def inpainter(self) -> Any:
        """The engine of stage 1."""
        return self._load()

    def restorer(self) -> Any:
        """The engine of stage 2."""
        return self._load_restorer()

    def _of_the_inpainter(self) -> Any:
        return self._load().restorer()


def load_inpainter(arguments: argparse.Namespace) -> Any:
    """The engine of stage 1 that the options ask for."""
    entry = chosen_inpainter(arguments)
    shared = {name: getattr(arguments, name) for name in _SHARED}
    place = Placement(common.pick_device(arguments.device), arguments.offload)
    return entry.load(**shared, **option_values(entry, arguments), place=place)


def load_restorer(arguments: argparse.Namespace, inpainter: Callable[[], Any]) -> Any:
    """The engine of stage 2 that the options ask for; ``inpainter`` gives that of stage 1."""
    entry = chosen_restorer(arguments)
    place = Placement(common.pick_device(arguments.device), arguments.offload, inpainter)
    return entry.load(**option_values(entry, arguments), place=place)
