"""``grefine check``: what the quality model can tell with the weights that are there, and what it cannot."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..errors import InputError
from . import common, miniature


def add_command(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "check",
        help="say in plain words what can be trusted with these weights",
        description="Measures the reference pictures, damaged copies of them, and phrases that do and do not fit "
        "them; once for each set of weights, embeddings and resolution.",
    )
    common.add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    miniature.add_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load, measure if that was not done before, and say what came of it."""
    from ..calibration.fingerprint import compare_token_rows
    from ..calibration.notes import report_lines

    miniature.settle(arguments)
    model = miniature.load_quality(arguments)
    calibration = model.calibration
    if calibration is None:
        raise InputError(
            "Nothing was measured. Leave --calibration at auto, and GREFINE_CALIBRATION unset, to have it measured."
        )
    if arguments.json:
        common.print_json(
            {
                "model": model.name,
                "miniature": miniature.is_bundled(arguments),
                "resolution": list(model.resolution),
                "embeddings": model.embedding_source,
                "tokens in the embeddings": compare_token_rows(model).belonging,
                "pictures": calibration.pictures,
                "figures": {name: vars(figure) for name, figure in calibration.trust.items()},
                "notes": list(calibration.notes),
            }
        )
    else:
        bundled = miniature.is_bundled(arguments)
        for line in miniature.about(calibration.pictures) if bundled else report_lines(model):
            common.say(line, sys.stdout)
    return 0
