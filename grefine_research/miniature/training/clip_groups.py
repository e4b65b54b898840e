"""Groups of scenes that differ in little: what the miniature CLIP has to tell apart within a batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grefine_core.miniature.world import COLOURS, FORMS, GROUNDS, PATTERNS, SIDE, SIZES, THINGS

from .. import defects
from ..draw import draw
from ..layout import changed_item, fits, sample_scene, without
from ..scene import Item, Scene
from ..worlds import SHIPPED, Name, World

GROUP = 4
"""Pictures in a group."""
CLOSEUP = 72
"""Side of close-ups in pixels: those that a step sees, and 4 on each side to move them by."""
#: Kinds of the one defect that each group has, in turn; the rational ones are the hardest to see.
_FAULTS = ("rational", "technical", "natural", "rational", "technical", "natural", "rational")
#: Pictures of a group that have a defect.
FAULTY: dict[Name, int] = {"first": 1, "second": 2}
_SEED = 20261122
_WAYS = ("colour", "pattern", "kind", "remove", "size", "count", "swap", "ground")
_SHARES = (0.24, 0.14, 0.14, 0.14, 0.1, 0.08, 0.12, 0.04)


@dataclass(frozen=True)
class Drawn:
    """One picture of a group.

    Attributes:
        scene: what it shows.
        image: (side, side, 3) uint8.
        fault: name of its defect, or None.
    """

    scene: Scene
    image: NDArray[np.uint8]
    fault: str | None


def draw_group(index: int, seed: int = 0, world: World = SHIPPED) -> tuple[list[Drawn], np.random.Generator]:
    """Draw group ``index``: a training scene, and others that differ from it in one thing each.

    Returns:
        The pictures, and the generator for their captions.
    """
    rng = np.random.default_rng([_SEED, seed, index])
    base = sample_scene(rng, "train", float(rng.uniform(0.0, 1.0)), world)
    scenes = [base]
    while len(scenes) < GROUP:
        changed = change(base, rng)
        if changed is not None and changed not in scenes:
            scenes.append(changed)
    images = [draw(scene) for scene in scenes]
    faults: list[str | None] = [None] * GROUP
    # The last picture is the first one with a defect; one before it is of a scene that is else not shown.
    scenes[-1] = base
    for number in range(FAULTY[world.name]):
        at, kind = GROUP - 1 - number, _FAULTS[(index + 3 * number) % len(_FAULTS)]
        drawn = images[0] if number == 0 else images[at]
        images[at], defect = defects.add(drawn, scenes[at], kind, rng, float(rng.uniform(0.0, 0.6)))
        faults[at] = defect.name
    return [Drawn(*parts) for parts in zip(scenes, map(_bytes, images), faults, strict=True)], rng


def draw_closeups(index: int, seed: int = 0, world: World = SHIPPED) -> tuple[list[Drawn], np.random.Generator]:
    """Draw group ``index`` of close-ups: one item each, cut out of a training scene of nothing else.

    The four differ in the kind of their item alone, or, less often, in its colour or pattern.

    Returns:
        The pictures, ``CLOSEUP`` pixels a side, and the generator for their captions.
    """
    rng = np.random.default_rng([_SEED, seed, index, 1])
    while True:
        kind = str(rng.choice(FORMS)) if rng.random() < 0.8 else str(rng.choice(THINGS))
        middling, small = world.closeups
        size, radius = (None, rng.uniform(*middling)) if rng.random() < 0.7 else ("small", rng.uniform(*small))
        form = kind in FORMS
        colour = str(rng.choice(list(COLOURS))) if form else None
        pattern = str(rng.choice(PATTERNS)) if form and rng.random() < 0.4 else None
        y, x = (float(at) for at in SIDE / 2 + rng.uniform(-6.0, 6.0, 2))
        item = Item(kind, colour, pattern, size, 1, y, x, float(radius), world=world)
        base = Scene(str(rng.choice(GROUNDS)), (item,), (), int(rng.integers(1 << 31)), world)
        if fits(base, "train"):
            break
    scenes = [base]
    way = str(rng.choice(("kind", "colour", "pattern"), p=(0.6, 0.2, 0.2))) if form else "kind"
    for _ in range(40):
        changed = changed_item(base, 0, way, rng)
        # Patterns are few; a form is not to be told from a thing.
        if changed in scenes or changed.items[0].is_form != form or not fits(changed, "train"):
            way = "kind" if way == "pattern" and len(scenes) == len(PATTERNS) else way
            continue
        scenes.append(changed)
        if len(scenes) == GROUP:
            break
    while len(scenes) < GROUP:
        scenes.append(base)
    edge = (SIDE - CLOSEUP) // 2
    images = [draw(scene)[edge : edge + CLOSEUP, edge : edge + CLOSEUP] for scene in scenes]
    return [Drawn(scene, _bytes(image), None) for scene, image in zip(scenes, images, strict=True)], rng


def change(scene: Scene, rng: np.random.Generator) -> Scene | None:
    """The scene with one thing changed: a look, kind, size, number, the ground, colours exchanged, an item less.

    None where the draw does not fit the scene.
    """
    way = str(rng.choice(_WAYS, p=_SHARES))
    index = int(rng.integers(len(scene.items)))
    item = scene.items[index]
    tied = {r.subject for r in scene.relations} | {r.object for r in scene.relations}
    if way in ("colour", "pattern", "swap") and not item.is_form:
        return None
    if way == "remove":
        carries = any(r.object == index and r.name == "on" for r in scene.relations)
        changed = None if len(scene.items) < 2 or carries else without(scene, index)
    elif way in ("colour", "pattern", "kind"):
        changed = changed_item(scene, index, way, rng)
    elif way == "swap":
        changed = _swapped(scene, index, rng)
    elif way == "ground":
        changed = replace(scene, ground=str(rng.choice([ground for ground in GROUNDS if ground != scene.ground])))
    elif index in tied and any(r.name == "on" and index in (r.subject, r.object) for r in scene.relations):
        return None
    else:
        changed = _replaced(scene, index, (_resized if way == "size" else _recounted)(item, len(scene.items), rng))
        changed = changed if changed is not None and _has_room(changed, index) else None
    return changed if changed is not None and fits(changed, "train") else None


def _bytes(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(255 * np.clip(image, 0.0, 1.0)).astype(np.uint8)


def _swapped(scene: Scene, index: int, rng: np.random.Generator) -> Scene | None:
    """Colours and patterns of two forms exchanged."""
    first = scene.items[index]
    others = [n for n, item in enumerate(scene.items) if item.is_form and item.colour != first.colour]
    if not others:
        return None
    other = int(rng.choice(others))
    second = scene.items[other]
    changed = _replaced(scene, index, replace(first, colour=second.colour, pattern=second.pattern))
    return _replaced(changed, other, replace(second, colour=first.colour, pattern=first.pattern))


def _resized(item: Item, items: int, rng: np.random.Generator) -> Item:
    size = str(rng.choice([size for size in SIZES if size != item.size]))
    if item.count > 1:
        return item
    return replace(item, size=size, radius=float(rng.uniform(*item.world.radius(size, 1, items))))


def _recounted(item: Item, items: int, rng: np.random.Generator) -> Item:
    counts = range(1, item.world.most_copies + 1)
    count = int(rng.choice([count for count in counts if count != item.count]))
    if count == 1:
        return replace(item, count=1, size="small", radius=float(rng.uniform(*item.world.radius("small", 1, items))))
    small = "small" if item.size == "small" else None
    return replace(item, count=count, size=small, radius=float(rng.uniform(*item.world.copies)))


def _replaced(scene: Scene, index: int, item: Item) -> Scene:
    return replace(scene, items=(*scene.items[:index], item, *scene.items[index + 1 :]))


def _has_room(scene: Scene, index: int) -> bool:
    """Whether an item lies within the picture and clear of all others."""
    left, top, right, bottom = scene.items[index].box
    if min(left, top) < 3 or max(right, bottom) > SIDE - 3:
        return False
    for number, other in enumerate(scene.items):
        l2, t2, r2, b2 = other.box
        if number != index and left < r2 + 3 and l2 < right + 3 and top < b2 + 3 and t2 < bottom + 3:
            return False
    return True
