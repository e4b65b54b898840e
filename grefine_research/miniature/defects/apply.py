"""Adding one defect of a kind to a drawn scene."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..sample import Defect
from ..scene import Scene
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
            mask = regions.draw_region(rng)
            changed = regions.degrade(image, mask, drawn, strength, rng)
        seen = np.abs(changed - image).max(axis=2) > _VISIBLE
        if (seen & mask).sum() >= max(60, 0.12 * mask.sum()):
            break
    return changed, Defect(kind, drawn, severity(strength, mask), mask)


def severity(strength: float, mask: Mask) -> float:
    """In (0, 1]: grows with the strength, and up to a quarter of the picture with the area."""
    return float(strength * (0.35 + 0.65 * min(1.0, float(mask.mean()) / 0.25)))
