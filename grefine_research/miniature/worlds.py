"""The numbers of a miniature world: how large its items are, how its grounds look, how strong a defect is.

``SHIPPED`` is that of the models in the package, which began in ``FIRST``. In ``SECOND`` items are larger, grounds are
smooth enough for the autoencoder, everything can be told from what lies beneath it, and a defect is as severe as it is
seen to be. Words and held-back combinations (``grefine_core.miniature.world``) are those of both. The world is an
attribute of scenes and items, so that whatever draws one of them draws it as its world has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from grefine_core.errors import InputError

Range = tuple[float, float]
Name = Literal["first", "second"]


@dataclass(frozen=True)
class Amount:
    """What a strength in (0, 1] means for one defect: ``least + more · strength ** power``."""

    least: float
    more: float
    power: float = 1.0

    def __call__(self, strength: float) -> float:
        """The amount at a strength."""
        return self.least + self.more * strength**self.power


@dataclass(frozen=True, eq=False)
class World:
    """One world; each is there once, also behind a copy or another process.

    Attributes:
        name: of the command lines.
        count: draws the number of items from a generator and a difficulty in [0, 1].
        radii: half extents in pixels of small, middling (None) and large items.
        alone, crowded: half extents of a middling item alone, and of one of three or more.
        copies: half extents of each of several alike; most_copies: how many there are at most.
        upper, base: half extents of what lies on something, and of what carries something.
        gap, edge: pixels between two items, and to the picture's edge.
        closeups: half extents of the items of close-ups, middling and small.
        period: of patterns: at least so many pixels, and this share of the half extent.
        ring: radius of the ring's middle and half its width, as shares of the half extent.
        star: radius of a star's inner corners; cross: half width of a cross's arms; as shares of the half extent.
        soft: width of an edge in pixels.
        rim: how dark the rim of an item is, as a share of its colour.
        smooth: whether grounds are smooth.
        seen: whether every item has to differ in colour from what lies beneath it, things included, and whether a
            defect is as severe as the change that is seen; else some colours are barred from some grounds, and a
            defect is as severe as it was drawn strong.
        splits_copies: whether of several alike one is broken; else the group is cut in the middle, between them.
        box, band: half extents in pixels of regions, and half the width of bands.
        defects: name of a defect, or of a part of it -> its amount.
    """

    name: Name
    count: Callable[[np.random.Generator, float], int]
    radii: Mapping[str | None, Range]
    alone: Range
    crowded: Range
    copies: Range
    most_copies: int
    upper: Range
    base: Range
    gap: float
    edge: float
    closeups: tuple[Range, Range]
    period: Range
    ring: Range
    star: float
    cross: float
    soft: float
    rim: float
    smooth: bool
    seen: bool
    splits_copies: bool
    box: Range
    band: Range
    defects: Mapping[str, Amount] = field(repr=False)

    def __reduce__(self) -> tuple[Callable[[str], World], tuple[str]]:
        return world_named, (self.name,)

    def radius(self, size: str | None, copies: int, items: int) -> Range:
        """Half extents of an item of this size, one of ``copies`` alike, in a scene of so many items."""
        if copies > 1:
            return self.copies
        if size is None and items == 1:
            return self.alone
        return self.crowded if size is None and items > 2 else self.radii[size]


def _up_to_four(rng: np.random.Generator, difficulty: float) -> int:
    most = 2 + round(2 * difficulty)
    return 1 if rng.random() < 0.2 else int(rng.integers(2, most + 1))


def _up_to_three(rng: np.random.Generator, difficulty: float) -> int:
    return 1 + int(rng.choice(3, p=(0.35, 0.65 - difficulty / 4, difficulty / 4)))


FIRST = World(
    name="first",
    count=_up_to_four,
    radii={"small": (12.0, 14.5), None: (18.0, 22.0), "large": (28.0, 32.0)},
    alone=(18.0, 22.0),
    crowded=(18.0, 22.0),
    copies=(12.0, 13.5),
    most_copies=3,
    upper=(13.0, 15.0),
    base=(28.0, 33.0),
    gap=5.0,
    edge=4.0,
    closeups=((15.0, 25.0), (12.0, 14.5)),
    period=(9.0, 0.5),
    ring=(0.7, 0.28),
    star=0.45,
    cross=0.32,
    soft=1.0,
    rim=0.55,
    smooth=False,
    seen=False,
    splits_copies=False,
    box=(22.0, 40.0),
    band=(9.0, 19.0),
    defects={
        "blur": Amount(2.0, 3.0),
        "noise": Amount(0.06, 0.2),
        "blocks": Amount(0.5, 0.5),
        "banding": Amount(1.0, 0.0),
        "gain": Amount(1.0, 0.6),
        "overexposure": Amount(0.15, 0.35),
        "shift": Amount(0.25, 0.35),
        "gap": Amount(1.5, 2.0),
        "doubled": Amount(0.4, 0.5),
        "wrong_part": Amount(0.4, 0.25),
        "wrong_colour": Amount(0.5, 0.4),
        "wrong_texture": Amount(0.6, 0.4),
    },
)
SECOND = World(
    name="second",
    count=_up_to_three,
    radii={"small": (17.0, 20.0), None: (25.0, 30.0), "large": (38.0, 44.0)},
    alone=(29.0, 36.0),
    crowded=(22.0, 25.0),
    copies=(18.0, 21.0),
    most_copies=2,
    upper=(18.0, 21.0),
    base=(40.0, 47.0),
    gap=4.0,
    edge=3.0,
    closeups=((22.0, 27.0), (17.0, 20.0)),
    period=(14.0, 0.62),
    ring=(0.66, 0.32),
    star=0.5,
    cross=0.36,
    soft=1.6,
    rim=0.65,
    smooth=True,
    seen=True,
    splits_copies=True,
    box=(30.0, 54.0),
    band=(16.0, 30.0),
    defects={
        "blur": Amount(1.0, 6.0, 1.5),
        "noise": Amount(0.02, 0.3),
        "blocks": Amount(0.15, 0.85),
        "banding": Amount(0.1, 0.9),
        "gain": Amount(1.0, 0.0),
        "overexposure": Amount(0.03, 0.5),
        "shift": Amount(0.1, 0.7),
        "gap": Amount(2.0, 10.0),
        "doubled": Amount(0.15, 0.85),
        "wrong_part": Amount(0.25, 0.5),
        "wrong_colour": Amount(0.1, 0.85),
        "wrong_texture": Amount(0.1, 0.9),
    },
)
WORLDS: Mapping[Name, World] = {world.name: world for world in (FIRST, SECOND)}
#: What the models in the package were trained on; drawn where no other is asked for.
SHIPPED = SECOND


def world_named(name: str) -> World:
    """The world of a name.

    Raises:
        InputError: there is none of this name.
    """
    for world in WORLDS.values():
        if world.name == name:
            return world
    raise InputError(f"world: expected one of {', '.join(WORLDS)}, got {name!r}.")
