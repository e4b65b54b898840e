"""What lies in ``grefine_research``, found by name when it is asked for: library and pack come without it, too."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from ..errors import InputError

PACKAGE = "grefine_research"


def installed() -> bool:
    """Whether training, evaluation, bulk work and the making of the miniature world are there."""
    return find_spec(PACKAGE) is not None


def research(module: str, asker: str) -> ModuleType:
    """Import ``grefine_research.<module>``.

    Args:
        module: its dotted name below the package.
        asker: the command or option that needs it, for the message.

    Raises:
        InputError: the package is not installed.
    """
    if not installed():
        raise InputError(
            f"{asker} needs the package {PACKAGE}, which ComfyUI's copy of this pack comes without. Run it from a "
            "clone of the repository, or install that with `pip install .` into an environment of its own."
        )
    return import_module(f"{PACKAGE}.{module}")


@dataclass(frozen=True)
class ResearchCommand:
    """A command whose module lies in ``grefine_research.cli`` under the same name."""

    name: str

    def add_command(self, commands: Any) -> None:
        """Add the command and its options; where the package is absent, one that says so whatever it is given."""
        if installed():
            research(f"cli.{self.name}", "This command").add_command(commands)
            return
        # No character begins an option: all that follows is taken, so that what is missing is all that is said.
        parser = commands.add_parser(self.name, help=f"needs {PACKAGE}", add_help=False, prefix_chars="\0")
        parser.add_argument("rest", nargs="*")
        parser.set_defaults(run=lambda _: research(f"cli.{self.name}", "This command"))
