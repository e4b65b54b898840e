"""The command line, ``grefine``: thin skins over the library, one file a command.

Exit codes: 0 done, or nobody reads the output any more (``| head``); 1 an error that the message explains; 2 wrong
usage; 3 some of several pictures (or of a workflow's results) failed, the others are done; 130 cancelled (Ctrl-C), 143
ended (SIGTERM): what was finished by then is printed and kept.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from ..errors import Cancelled, GRefineError
from .streams import Unread, forget_unread, plain_streams, stopped_by_signals


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    # Not before it is needed: who ends the program while torch is imported is to see no traceback.
    from .. import __version__
    from . import calibrate, check, demo, maps, models, queue, refine, score
    from .research import ResearchCommand

    bulk, train, evaluate = map(ResearchCommand, ("bulk", "train", "evaluate"))
    parser = argparse.ArgumentParser(
        prog="grefine", description="Find what is wrong with a generated image, and repair exactly that."
    )
    parser.add_argument("--version", action="version", version=f"grefine {__version__}")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="more messages; twice for debugging")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (score, maps, refine, bulk, calibrate, check, train, evaluate, models, queue, demo):
        command.add_command(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    with plain_streams():
        try:
            try:
                with stopped_by_signals():
                    code = _run(build_parser().parse_args(argv))
            except (KeyboardInterrupt, Cancelled) as stop:
                print("Cancelled.", file=sys.stderr)
                code = int(getattr(stop, "code", 130))
            sys.stdout.flush()
        except Unread:
            forget_unread()
            return 0
        return code


def _run(arguments: argparse.Namespace) -> int:
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(arguments.verbose, 2)]
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s", stream=sys.stderr)
    if arguments.verbose < 2:
        # Other libraries' chatter would bury our own lines; their warnings stay.
        for noisy in ("httpx", "urllib3", "PIL", "asyncio"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        return int(arguments.run(arguments))
    except Cancelled:
        raise
    except (GRefineError, OSError) as error:
        if arguments.verbose >= 2:
            logging.exception("failed")
        print(f"grefine {arguments.command}: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        from ..memory import reason_of

        print(
            f"grefine {arguments.command}: {reason_of(error)}. The program was not prepared for this: check the files "
            "and options that were given; 'grefine -v …' shows where it happened, for a report.",
            file=sys.stderr,
        )
        return 1
