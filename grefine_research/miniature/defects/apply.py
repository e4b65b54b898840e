"""Adding one defect of a kind to a drawn scene."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..sample import Defect
from ..scene import Scene
from ..visibility import seen_change
from . import items, regions

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Kind -> names.
NAMES: dict[str, tuple[str, ...]] = {
    "technical": ("blur", "noise", "blocks", "banding", "overexposure"),
    "rational": ("broken", "doubled", "wrong_part"),
    "natural": ("wrong_colour", "wrong_texture"),
}
_ON_ITEMS: dict[str, Callable[[Array, Scene, np.random.Generator, float], tuple[Array, Mask]]] = {
    "broken": items.broken,
    "doubled": items.doubled,
    "wrong_part": items.wrong_part,
    "wrong_colour": items.wrong_colour,
    "wrong_texture": items.wrong_texture,
}
_VISIBLE = 0.03
"""A change of any channel below this cannot be seen; where most of the region changes less, the draw is repeated."""
_TRIES = 60  # blur of plain snow is never seen: where a name is asked for, the last draw has to do
_LEAST_SEEN = 0.05
#: Mean change that is seen within a defect's mask, which nine of ten defects of strength 1 stay below (500 training
#: scenes): kinds are levelled by it, since a tint changes every pixel of its mask and a doubled item a few.
_LEVELS = {
    "blur": 0.44,
    "noise": 0.94,
    "blocks": 0.56,
    "banding": 0.53,
    "overexposure": 0.70,
    "broken": 0.88,
    "doubled": 0.52,
    "wrong_part": 0.49,
    "wrong_colour": 0.71,
    "wrong_texture": 0.96,
}
_LARGE = 0.4  # share of the picture from which on a defect is as severe as it can be


def add(
    image: Array, scene: Scene, kind: str, rng: np.random.Generator, difficulty: float = 0.5, name: str | None = None
) -> tuple[Array, Defect]:
    """Return the picture with one more defect, and the defect; ``image`` itself is left alone.

    Args:
        image: ``(128, 128, 3)`` float32 in [0, 1], a drawing of ``scene``, perhaps with defects already.
        scene: what it shows.
        kind: "technical", "rational" or "natural".
        rng: every draw comes from it.
        difficulty: in [0, 1]; with it weaker defects are drawn, too.
        name: one of ``NAMES[kind]``; None draws one.
    """
    for _ in range(_TRIES):
        drawn = name or str(rng.choice(NAMES[kind]))
        strength = max(float(rng.uniform(1.0 - difficulty, 1.0)), 0.25)
        change = _ON_ITEMS.get(drawn)
        if change is not None:
            changed, mask = change(image, scene, rng, strength)
        else:
            mask = regions.draw_region(rng, scene.world)
            changed = regions.degrade(image, mask, drawn, strength, rng, scene.world)
        seen = np.abs(changed - image).max(axis=2) > _VISIBLE
        if (seen & mask).sum() < max(60, 0.12 * mask.sum()):
            continue
        if not scene.world.seen or mean_seen(image, changed, mask) >= _LEAST_SEEN:
            break
    if not scene.world.seen:
        return changed, Defect(kind, drawn, severity(strength, mask), mask, strength=strength)
    strength = min(1.0, max(_LEAST_SEEN, mean_seen(image, changed, mask) / _LEVELS[drawn]))
    share = min(1.0, max(0.01, float(mask.mean()) / _LARGE))
    return changed, Defect(kind, drawn, strength * share, mask, strength=strength)


def severity(strength: float, mask: Mask) -> float:
    """In (0, 1], of the first world: grows with the strength, and up to a quarter of the picture with the area."""
    return float(strength * (0.35 + 0.65 * min(1.0, float(mask.mean()) / 0.25)))


def mean_seen(before: Array, after: Array, mask: Mask) -> float:
    """How much the change within a mask is seen, in [0, 1]; 0 for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return 0.0
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return float(seen_change(before[part], after[part])[mask[part]].mean())
