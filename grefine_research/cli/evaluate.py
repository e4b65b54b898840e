"""``grefine evaluate``: the paper's tables, ``indicators`` (6 and 7) and ``refine`` (2 to 5, and 8)."""

from __future__ import annotations

from typing import Any

from . import evaluate_indicators, evaluate_refine


def add_command(commands: Any) -> None:
    """Add the command with its two halves."""
    parser = commands.add_parser(
        "evaluate",
        help="measure indicators against ratings, and pictures before and after refinement",
        description="Makes the paper's tables on a data set: pages, CSV, JSON and plots in a folder, with all that "
        "they were made with. A run that was killed goes on where it was.",
    )
    halves = parser.add_subparsers(dest="half", required=True, metavar="indicators|refine")
    evaluate_indicators.add_command(halves)
    evaluate_refine.add_command(halves)
