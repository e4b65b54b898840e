"""``grefine train``: the indicators from labelled pictures, ``pq`` and ``aq``."""

from __future__ import annotations

from typing import Any

from .train_aq import add_command as add_aq
from .train_pq import add_command as add_pq


def add_command(commands: Any) -> None:
    """Add the command with its two halves."""
    parser = commands.add_parser(
        "train",
        help="train the quality indicators on pictures with ratings",
        description="Trains PQ-Map's embeddings (pq), or sets AQ-Map's bounds (aq), on a data set of generated "
        "pictures with prompts and ratings. A training that was killed goes on where it was.",
    )
    halves = parser.add_subparsers(dest="half", required=True, metavar="pq|aq")
    add_pq(halves)
    add_aq(halves)
