"""What a miniature picture shows: a ground, items on it, and how they lie to each other."""

from __future__ import annotations

from dataclasses import dataclass, field

from grefine_core.miniature.world import COUNTS, FORMS, Combination

from .worlds import SHIPPED, World


@dataclass(frozen=True)
class Item:
    """One object, or two or three alike side by side.

    Attributes:
        kind: one of ``world.KINDS``.
        colour: one of ``world.COLOURS``; None for things, which have colours of their own.
        pattern: one of ``world.PATTERNS``, or None for plain; None for things.
        size: "small", "large", or None for a middling one.
        count: 1, 2 or 3.
        x, y: centre in pixels, of all copies together.
        radius: half the extent of one copy, in pixels.
        angle: of rotation in radians, clockwise; small, so that a square is no diamond.
        world: how it is drawn.
    """

    kind: str
    colour: str | None
    pattern: str | None
    size: str | None
    count: int
    x: float
    y: float
    radius: float
    angle: float = 0.0
    world: World = field(default=SHIPPED, repr=False)

    @property
    def is_form(self) -> bool:
        """Whether it is a geometric form, which may have any colour and pattern."""
        return self.kind in FORMS

    @property
    def centres(self) -> tuple[tuple[float, float], ...]:
        """Centre (x, y) of each copy."""
        gap = 2.3 * self.radius
        return tuple((self.x + gap * (i - (self.count - 1) / 2), self.y) for i in range(self.count))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) in pixels around all copies."""
        half = self.radius + 1.15 * self.radius * (self.count - 1)
        return self.x - half, self.y - self.radius, self.x + half, self.y + self.radius

    @property
    def modifiers(self) -> tuple[str, ...]:
        """The words that tell this item from others of its kind: count, size, pattern, colour."""
        words = (COUNTS.get(self.count), self.size, self.pattern, self.colour)
        return tuple(word for word in words if word)


@dataclass(frozen=True)
class Relation:
    """``items[subject]`` lies ``name`` (one of ``world.RELATIONS``) ``items[object]``."""

    subject: int
    name: str
    object: int


@dataclass(frozen=True)
class Scene:
    """A ground, one to four items, relations between them.

    Attributes:
        ground: one of ``world.GROUNDS``.
        items: in the order in which they are drawn: a later one covers an earlier.
        relations: each item takes part in at most two.
        texture: seed of the ground's texture and of small variations of the looks.
        world: how the ground is drawn, and what a defect of it is like.
    """

    ground: str
    items: tuple[Item, ...]
    relations: tuple[Relation, ...]
    texture: int
    world: World = field(default=SHIPPED, repr=False)

    @property
    def combinations(self) -> frozenset[Combination]:
        """Every item with its colour, and with its pattern, on the ground."""
        return frozenset(
            (item.kind, word, self.ground)
            for item in self.items
            for word in ((item.colour or "",) if item.pattern is None else (item.colour or "", item.pattern))
        )
