"""Signed distances of forms and of the parts of things, in units of half the item's extent; negative inside.

``u`` grows to the right and ``v`` downwards, both in about [-1, 1] over the item. Distances are exact near the edge,
which is where they are used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .worlds import World

Distance = Callable[[Any, Any], Any]


def disc(x: float, y: float, radius: float) -> Distance:
    """A disc around (x, y)."""
    return lambda u, v: np.hypot(u - x, v - y) - radius


def box(x: float, y: float, width: float, height: float) -> Distance:
    """A box around (x, y) of half width and half height."""
    return lambda u, v: np.maximum(np.abs(u - x) - width, np.abs(v - y) - height)


def ellipse(x: float, y: float, width: float, height: float) -> Distance:
    """An ellipse around (x, y), its distance approximate."""
    return lambda u, v: (np.hypot((u - x) / width, (v - y) / height) - 1.0) * min(width, height)


def gable(x: float, top: float, bottom: float, width: float) -> Distance:
    """A triangle: apex at (x, top), base of half width at bottom."""
    slope = np.hypot(bottom - top, width)
    return lambda u, v: np.maximum(((bottom - top) * np.abs(u - x) - width * (v - top)) / slope, v - bottom)


def union(*parts: Distance) -> Distance:
    """All of them together."""
    return lambda u, v: np.minimum.reduce([part(u, v) for part in parts])


def within(first: Distance, second: Distance) -> Distance:
    """What lies in both."""
    return lambda u, v: np.maximum(first(u, v), second(u, v))


def star(inner: float) -> Distance:
    """Five points, the inner corners this far from the middle: the sector between two corners, mirrored."""
    corner = (inner * np.sin(np.pi / 5), inner * np.cos(np.pi / 5))
    across, down = corner[0], corner[1] - 1.0

    def distance(u: Any, v: Any) -> Any:
        angle = np.arctan2(u, -v) % (2 * np.pi / 5)
        angle = np.minimum(angle, 2 * np.pi / 5 - angle)
        radius = np.hypot(u, v)
        x, y = radius * np.sin(angle), radius * np.cos(angle)
        return (x * -down + (y - 1.0) * across) / np.hypot(across, down)

    return distance


def ring(radius: float, half: float) -> Distance:
    """A ring, its middle at a radius."""
    return lambda u, v: np.abs(np.hypot(u, v) - radius) - half


def _diamond(u: Any, v: Any) -> Any:
    return (np.abs(u) / 0.72 + np.abs(v) - 1.0) * 0.584


@lru_cache(maxsize=8)
def _forms(inner: float, arm: float, middle: float, half: float) -> dict[str, Distance]:
    return {
        "circle": disc(0, 0, 0.95),
        "square": box(0, 0, 0.85, 0.85),
        "triangle": gable(0, -0.95, 0.8, 0.98),
        "star": star(inner),
        "cross": union(box(0, 0, 0.95, arm), box(0, 0, arm, 0.95)),
        "ring": ring(middle, half),
        "heart": union(
            disc(-0.45, -0.38, 0.5),
            disc(0.45, -0.38, 0.5),
            lambda u, v: np.maximum(0.777 * np.abs(u) + 0.628 * v - 0.597, -0.2 - v),
        ),
        "diamond": _diamond,
    }


def form_distance(form: str, world: World) -> Distance:
    """The distance of a form, as a world has it."""
    return _forms(world.star, world.cross, *world.ring)[form]


@dataclass(frozen=True)
class Part:
    """One part of a thing: where, and in which colour (RGB in [0, 1])."""

    distance: Distance
    colour: tuple[float, float, float]


#: From below upwards.
THING_PARTS: dict[str, tuple[Part, ...]] = {
    "apple": (
        Part(box(0.04, -0.75, 0.07, 0.25), (0.36, 0.22, 0.10)),
        Part(union(disc(-0.3, 0.22, 0.62), disc(0.3, 0.22, 0.62)), (0.80, 0.10, 0.12)),
        Part(ellipse(0.42, -0.68, 0.32, 0.16), (0.18, 0.58, 0.16)),
    ),
    "tree": (
        Part(box(0, 0.6, 0.15, 0.36), (0.42, 0.26, 0.12)),
        Part(union(disc(-0.36, -0.08, 0.44), disc(0.36, -0.08, 0.44), disc(0, -0.46, 0.48)), (0.10, 0.40, 0.14)),
    ),
    "house": (
        Part(box(0, 0.42, 0.72, 0.52), (0.90, 0.80, 0.60)),
        Part(gable(0, -0.95, -0.05, 0.98), (0.62, 0.18, 0.12)),
        Part(box(-0.3, 0.58, 0.18, 0.36), (0.38, 0.22, 0.12)),
        Part(box(0.34, 0.34, 0.2, 0.2), (0.55, 0.78, 0.92)),
    ),
    "mushroom": (
        Part(box(0, 0.5, 0.24, 0.45), (0.94, 0.90, 0.80)),
        Part(within(ellipse(0, 0.15, 0.95, 1.05), box(0, -0.85, 2.0, 1.0)), (0.78, 0.12, 0.10)),
        Part(disc(-0.42, -0.22, 0.15), (0.97, 0.96, 0.92)),
        Part(disc(0.32, -0.38, 0.16), (0.97, 0.96, 0.92)),
        Part(disc(0.6, -0.03, 0.11), (0.97, 0.96, 0.92)),
    ),
    "flower": (
        Part(
            union(*(disc(0.56 * np.sin(a), -0.56 * np.cos(a), 0.38) for a in 2 * np.pi * np.arange(5) / 5)),
            (0.96, 0.56, 0.74),
        ),
        Part(disc(0, 0, 0.32), (0.97, 0.82, 0.16)),
    ),
    "fish": (
        Part(lambda u, v: np.maximum(np.abs(v) - 0.9 * (u - 0.42), u - 0.98), (0.86, 0.40, 0.30)),
        Part(ellipse(-0.18, 0, 0.78, 0.48), (0.95, 0.60, 0.46)),
        Part(disc(-0.58, -0.1, 0.1), (0.08, 0.08, 0.10)),
    ),
}
