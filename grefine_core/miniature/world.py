"""The words and looks of the miniature world, and which of their combinations are held back for which split.

Forms take any colour and pattern; things have a look of their own, so that a wrong one can be seen. Colours are RGB in
[0, 1].
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

SIDE = 128
"""Side of every picture in pixels."""

FORMS = ("circle", "square", "triangle", "star", "cross", "ring", "heart", "diamond")
THINGS = ("apple", "tree", "house", "mushroom", "flower", "fish")
KINDS = FORMS + THINGS
GROUNDS = ("grass", "sand", "water", "snow", "wood", "stone")
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.84, 0.13, 0.13),
    "green": (0.08, 0.50, 0.20),
    "blue": (0.12, 0.26, 0.80),
    "yellow": (0.96, 0.86, 0.14),
    "purple": (0.52, 0.16, 0.62),
    "orange": (0.96, 0.50, 0.08),
    "white": (0.97, 0.97, 0.96),
    "black": (0.08, 0.08, 0.09),
}
PATTERNS = ("striped", "dotted", "checkered")
SIZES = ("small", "large")
COUNTS = {2: "two", 3: "three"}
RELATIONS = ("on", "above", "below", "beside")
"""Subject and object: drawn over a larger one, higher, lower, at its side."""

_NAMED = frozenset(KINDS + GROUNDS)


def knows(words: Iterable[str]) -> bool:
    """Whether one of a phrase's words names a thing or a ground of this world, alone or several of it."""
    return any({word, word.removesuffix("s"), word.removesuffix("es")} & _NAMED for word in map(str.lower, words))


Combination = tuple[str, str, str]
"""(kind, colour or pattern, ground); for things, which have neither, (kind, "", ground)."""


def _of_pairs(second: tuple[str, ...], period: int, offset: int) -> frozenset[Combination]:
    """Some pairs of a form and a word, each on every other ground only: on the rest training scenes show them."""
    return frozenset(
        (form, word, ground)
        for i, form in enumerate(FORMS)
        for j, word in enumerate(second)
        if (i * 3 + j) % period == offset
        for ground in GROUNDS[(i + j) % 2 :: 2]
    )


def _things(offset: int) -> frozenset[Combination]:
    """Every thing on one ground."""
    return frozenset(
        (thing, "", ground)
        for i, thing in enumerate(THINGS)
        for j, ground in enumerate(GROUNDS)
        if (i * 3 + j) % 6 == offset
    )


#: Combinations that only scenes of their split show; those of "train" show none of either. Each word is seen in
#: training with each form, and each ground with each form, but not all three together: what is asked of a model is to
#: put together what it knows, not to believe in what it was taught not to exist.
HELD_BACK: dict[Split, frozenset[Combination]] = {
    "train": frozenset(),
    "validation": _of_pairs(tuple(COLOURS), 8, 1) | _things(1),
    "test": _of_pairs(tuple(COLOURS), 8, 4) | _of_pairs(PATTERNS, 9, 2) | _things(4),
}


def barred(split: Split) -> frozenset[Combination]:
    """Combinations that scenes of ``split`` never show: those held back for other splits."""
    return frozenset().union(*(combinations for other, combinations in HELD_BACK.items() if other != split))


#: Sample of the test split that ``grefine demo`` takes if no other is asked for: the first in which a person sees at a
#: glance that a part of the prompt is not met and that something looks bad (``Sample.clear``), and in which the models
#: notice both, whatever becomes of it.
DEMO_INDEX = 44

#: A later one of these that the models mend well: to show what the method does, not how often.
EXAMPLE_INDEX = 71


#: The same sample as a file, its prompt in its metadata: the picture of the workflow ``grefine_1_start_here``.
EXAMPLE = Path(__file__).with_name("miniature.png")
