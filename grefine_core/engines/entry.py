"""What an engine states about itself, so that the command line and the nodes can offer it without knowing it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..errors import InputError
from ..refine.protocols import Capabilities, Inpainter, Restorer

Engine = TypeVar("Engine", Inpainter, Restorer)


@dataclass(frozen=True)
class Option:
    """One option of an engine.

    Attributes:
        name: the parameter of the entry's ``load`` that gets the value.
        kind: ``str``, ``int``, ``float``, or ``Path`` for a file or folder of weights.
        help: a line for people.
        default: what is meant where nothing is given; None = as the engine has it.
        choices: all values that there are, if they can be listed.
        metavar: what stands for the value in the command line's help.
        flag: how the command line calls it; "" = the engine's name and its own.
        needed: what it is, in words, if the engine cannot be loaded without it.
    """

    name: str
    kind: type
    help: str
    default: Any = None
    choices: tuple[str, ...] = ()
    metavar: str = ""
    flag: str = ""
    needed: str = ""


@dataclass(frozen=True)
class Placement:
    """Where an engine is to run, and with what.

    Attributes:
        device: as torch names it.
        offload: "none"; "model" or "sequential" keep weights off the device while they do nothing.
        inpainter: gives the engine of stage 1, for a restorer that is made of the same weights.
    """

    device: str = "cpu"
    offload: str = "none"
    inpainter: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Entry(Generic[Engine]):
    """An engine that can be chosen by name.

    Attributes:
        name: what it is chosen by, in lower case.
        title: what people call it.
        summary: half a sentence on it.
        load: ``load(**options, place=Placement)`` reads it from files; gets the options that were given.
        options: its own, beside those of all engines of its stage.
        check: ``check(**options)`` finds out what is wrong with them before anything is read.
        check_pipeline: of an inpainter: ``check_pipeline(path)`` finds out whether it can read what is there, without
            reading weights.
        identity: ``identity(**options)`` tells results with these options from others, as long as files are not edited.
        capabilities: as the engine itself has them.
        node: the name of the ComfyUI node, written by hand, that gives it; "" = none, so that a restorer gets one made
            of this entry, unless it ``uses_inpainter``.
        uses_inpainter: it is made of the inpainter's weights, and cannot be loaded by itself.
    """

    name: str
    title: str
    summary: str
    load: Callable[..., Engine]
    options: tuple[Option, ...] = ()
    check: Callable[..., None] | None = None
    check_pipeline: Callable[[str], None] | None = None
    identity: Callable[..., str] | None = None
    capabilities: Capabilities = field(default_factory=Capabilities)
    node: str = ""
    uses_inpainter: bool = False


class Registry(Generic[Engine]):
    """The engines of one stage, in the order in which they are offered."""

    def __init__(self, stage: str, entries: Iterable[Entry[Engine]] = ()) -> None:
        self.stage = stage
        self._entries: dict[str, Entry[Engine]] = {}
        for entry in entries:
            self.register(entry)

    def register(self, entry: Entry[Engine]) -> Entry[Engine]:
        """Offer one more engine.

        Raises:
            InputError: there is one of this name.
        """
        if entry.name in self._entries:
            raise InputError(f"{self.stage} {entry.name!r}: is registered already; choose another name.")
        self._entries[entry.name] = entry
        return entry

    def unregister(self, name: str) -> None:
        """Offer an engine no longer; a name that is not there is left alone."""
        self._entries.pop(name, None)

    def __getitem__(self, name: str) -> Entry[Engine]:
        if name not in self._entries:
            raise InputError(f"{self.stage} {name!r}: expected one of {', '.join(self._entries)}.")
        return self._entries[name]

    def __iter__(self) -> Iterator[Entry[Engine]]:
        return iter(tuple(self._entries.values()))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all engines."""
        return tuple(self._entries)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the ComfyUI nodes that give one, where entries name them: not those made of entries."""
        return tuple(entry.node for entry in self if entry.node)


def paths(options: Iterable[Option]) -> tuple[Option, ...]:
    """Those of the options that name files or folders."""
    return tuple(option for option in options if option.kind is Path)
