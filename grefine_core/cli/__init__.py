"""The command line, ``grefine``: thin skins over the library, one file a command.

Exit codes: 0 done; 1 an error that the message explains; 2 wrong usage; 3 some of several pictures failed, the others
are done; 130 cancelled.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from ..errors import Cancelled, GRefineError
from . import bulk, calibrate, demo, evaluate, maps, models, queue, refine, score, train

_COMMANDS = (score, maps, refine, bulk, calibrate, train, evaluate, models, queue, demo)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    from .. import __version__

    parser = argparse.ArgumentParser(
        prog="grefine", description="Find what is wrong with a generated image, and repair exactly that."
    )
    parser.add_argument("--version", action="version", version=f"grefine {__version__}")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="more messages; twice for debugging")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in _COMMANDS:
        module.add_command(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(arguments.verbose, 2)]
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s", stream=sys.stderr)
    if arguments.verbose < 2:
        # Other libraries' chatter would bury our own lines; their warnings stay.
        for noisy in ("httpx", "urllib3", "PIL", "asyncio"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        return int(arguments.run(arguments))
    except (KeyboardInterrupt, Cancelled):
        print("Cancelled.", file=sys.stderr)
        return 130
    except (GRefineError, OSError) as error:
        if arguments.verbose >= 2:
            logging.exception("failed")
        print(f"grefine {arguments.command}: {error}", file=sys.stderr)
        return 1
