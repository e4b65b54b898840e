"""Drawing of miniature scenes: forms and things by signed distances, over a textured ground."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from grefine_core.miniature.world import COLOURS, SIDE

from .grounds import draw_ground, ground_colour
from .scene import Item, Scene
from .shapes import THING_PARTS, form_distance
from .visibility import lab

Array = NDArray[np.float32]
Colour = tuple[float, float, float]
_TOLD_APART = 25.0  # in CIELAB
_Y, _X = (axis.astype(np.float32) + 0.5 for axis in np.mgrid[0:SIDE, 0:SIDE])


def draw(scene: Scene) -> Array:
    """Draw a scene: ``(128, 128, 3)`` float32 in [0, 1], anti-aliased; the same scene gives the same bytes."""
    picture = draw_ground(scene.ground, scene.texture, scene.world)
    for item in scene.items:
        paint(picture, item)
    return picture


def paint(picture: Array, item: Item, recolour: Callable[[Array], Array] | None = None) -> None:
    """Draw one item into ``picture``, in place.

    Args:
        picture: ``(128, 128, 3)``.
        item: what, where.
        recolour: maps the item's colours ``(h, w, 3)`` to others; None leaves them.
    """
    soft, dark = item.world.soft, item.world.rim
    for centre in item.centres:
        ys, xs = _window(item, centre)
        for distance, colour in _layers(item, centre, ys, xs):
            rim = np.clip(0.5 - (distance + 1.6) / soft, 0.0, 1.0)[..., None]
            shaded = colour * (dark + (1.0 - dark) * rim)
            if recolour is not None:
                shaded = recolour(shaded)
            alpha = np.clip(0.5 - distance / soft, 0.0, 1.0)[..., None]
            picture[ys, xs] += alpha * (np.clip(shaded, 0.0, 1.0) - picture[ys, xs])


def item_mask(item: Item) -> NDArray[np.bool_]:
    """``(128, 128)`` bool: the pixels of which the item covers at least half, whatever lies over it."""
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    for centre in item.centres:
        ys, xs = _window(item, centre)
        for distance, _ in _layers(item, centre, ys, xs):
            mask[ys, xs] |= distance < 0.0
    return mask


def item_masks(scene: Scene) -> list[NDArray[np.bool_]]:
    """The visible pixels of every item: what a later one covers is not an earlier one's."""
    masks = [item_mask(item) for item in scene.items]
    for upper in range(len(masks)):
        for lower in range(upper):
            masks[lower] = masks[lower] & ~masks[upper]
    return masks


def _window(item: Item, centre: tuple[float, float]) -> tuple[slice, slice]:
    reach = 1.15 * item.radius + 3.0
    x, y = centre
    top, left = max(0, int(y - reach)), max(0, int(x - reach))
    return slice(top, max(top, min(SIDE, int(y + reach) + 1))), slice(left, max(left, min(SIDE, int(x + reach) + 1)))


def _layers(item: Item, centre: tuple[float, float], ys: slice, xs: slice) -> list[tuple[Array, Array]]:
    """(signed distance in pixels, negative inside; colour (h, w, 3)) of every part, from below upwards."""
    x, y = _X[ys, xs] - centre[0], _Y[ys, xs] - centre[1]
    cos, sin = np.float32(np.cos(item.angle)), np.float32(np.sin(item.angle))
    u, v = (cos * x + sin * y) / item.radius, (cos * y - sin * x) / item.radius
    if item.is_form:
        distance = form_distance(item.kind, item.world)(u, v) * item.radius
        return [(distance.astype(np.float32), _surface(item, u, v))]
    light = (1.0 - 0.06 * (u + v))[..., None]
    return [
        ((part.distance(u, v) * item.radius).astype(np.float32), np.asarray(part.colour, np.float32) * light)
        for part in THING_PARTS[item.kind]
    ]


def _surface(item: Item, u: Array, v: Array) -> Array:
    """Colour of a form at every pixel: plain or in its pattern, a little lighter at the top left."""
    first = np.asarray(COLOURS[item.colour or "white"], np.float32)
    light = (1.0 - 0.06 * (u + v))[..., None]
    if item.pattern is None:
        return (first * light).astype(np.float32)
    second = np.full(3, 0.22 if item.colour in ("white", "yellow") else 0.95, np.float32)
    pixels = max(item.radius, 1.0)
    least, longer = item.world.period
    period = max(least, longer * item.radius) / pixels
    if item.pattern == "striped":
        wave = np.cos(2 * np.pi * (0.8 * u + 0.6 * v) / period)
    elif item.pattern == "checkered":
        wave = np.sin(np.pi * u / (0.6 * period)) * np.sin(np.pi * v / (0.6 * period)) * 3.0
    else:
        wave = (np.cos(2 * np.pi * u / period) + np.cos(2 * np.pi * v / period) - 0.75) * 1.2
    share = np.clip(0.5 + 2.5 * wave, 0.0, 1.0)[..., None]
    return ((first + share * (second - first)) * light).astype(np.float32)


def differs(item: Item, below: Item | str) -> bool:
    """Whether an item can be told by its colour from the item, or from the ground, that it lies on.

    One of a thing's main colours has to differ from each of what lies beneath.
    """
    beneath = (ground_colour(below),) if isinstance(below, str) else _main_colours(below.kind, below.colour)
    own = _main_colours(item.kind, item.colour)
    return any(all(_distance(one, other) >= _TOLD_APART for other in beneath) for one in own)


@lru_cache(maxsize=256)
def _main_colours(kind: str, colour: str | None) -> tuple[Colour, ...]:
    """A form's colour; of a thing the colours of parts that make up a fifth of it."""
    if kind not in THING_PARTS:
        return (COLOURS[colour or "white"],)
    v, u = (axis / 32.0 - 1.0 for axis in np.mgrid[0:65, 0:65])
    top = np.full(u.shape, -1)
    for place, part in enumerate(THING_PARTS[kind]):
        top[part.distance(u, v) < 0.0] = place
    shares = [float((top == place).sum() / (top >= 0).sum()) for place in range(len(THING_PARTS[kind]))]
    return tuple(part.colour for part, share in zip(THING_PARTS[kind], shares, strict=True) if share >= 0.2)


@lru_cache(maxsize=4096)
def _distance(first: Colour, second: Colour) -> float:
    """Of two colours in CIELAB."""
    return float(np.linalg.norm(lab(np.asarray(first, np.float32)) - lab(np.asarray(second, np.float32))))
