"""The pictures that the shipped workflows open with, as the host's input folder gets them."""

from __future__ import annotations

from pathlib import Path

from .miniature.world import EXAMPLE as MINIATURE

__all__ = ["EXAMPLES", "MINIATURE", "PHOTOGRAPH", "PHOTOGRAPH_PROMPT"]

#: A photograph with one broken place, and a prompt that it misses in one word: its saucer is as red as its cup.
PHOTOGRAPH = Path(__file__).with_name("data") / "g-refine-coffee.webp"
PHOTOGRAPH_PROMPT = "a red cup of coffee on a blue saucer with a silver spoon, on a wooden table"
EXAMPLES = (MINIATURE, PHOTOGRAPH)
