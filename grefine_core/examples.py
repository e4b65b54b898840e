"""The pictures that the shipped workflows open with, as the host's input folder gets them."""

from __future__ import annotations

from pathlib import Path

from .miniature.world import EXAMPLE

__all__ = ["EXAMPLES", "GOOD_PHOTOGRAPH", "GOOD_PROMPT", "MINIATURE", "PHOTOGRAPH", "PHOTOGRAPH_PROMPT"]

_PACKAGE = Path(__file__).parent

#: A drawn picture with known defects.
MINIATURE = EXAMPLE.name
#: A photograph with one broken place, and a prompt that it misses in one word: its saucer is as red as its cup.
PHOTOGRAPH = "g-refine-coffee.webp"
PHOTOGRAPH_PROMPT = "a red cup of coffee on a blue saucer with a silver spoon, on a wooden table"
#: The same photograph as it was taken, and a prompt that it fulfils.
GOOD_PHOTOGRAPH = "g-refine-coffee-good.webp"
GOOD_PROMPT = "a red cup of coffee on a red saucer with a silver spoon, on a wooden table"

#: Name in the host's input folder -> the file.
EXAMPLES = {
    MINIATURE: EXAMPLE,
    PHOTOGRAPH: _PACKAGE / "data" / PHOTOGRAPH,
    GOOD_PHOTOGRAPH: _PACKAGE / "calibration" / "reference" / "coffee.webp",
}
