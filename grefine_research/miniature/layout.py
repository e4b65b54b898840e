"""Where the items of a miniature scene come from: drawn at random, placed so that they can be told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from grefine_core.miniature.world import (
    COLOURS,
    FORMS,
    GROUNDS,
    HELD_BACK,
    KINDS,
    PATTERNS,
    RELATIONS,
    SIDE,
    SIZES,
    Combination,
    Split,
    barred,
)

from .draw import differs
from .scene import Item, Relation, Scene
from .worlds import SHIPPED, World

#: A form of this colour would hardly be seen on the ground, in the first world.
_LOST = {("green", "grass"), ("white", "snow"), ("blue", "water"), ("yellow", "sand"), ("orange", "sand")}
_LOST |= {("orange", "wood"), ("black", "stone")}


def sample_scene(rng: np.random.Generator, split: Split, difficulty: float = 0.5, world: World = SHIPPED) -> Scene:
    """Draw a scene that its split may show.

    Args:
        rng: every draw comes from it.
        split: "train" shows no held-back combination; the others show at least one of their own and none of another's.
        difficulty: in [0, 1]; more items, patterns and relations with it.
        world: whose sizes the items have.

    Returns:
        A scene of one to four items, all of different kinds, none hidden by another.
    """
    # Drawn once: a scene of many items that finds no room is drawn again, not replaced by one of few.
    count = world.count(rng, difficulty)
    while True:
        items = _draw_items(rng, count, split, difficulty, world)
        ground = str(rng.choice(GROUNDS))
        texture = int(rng.integers(1 << 31))
        if split != "train" and (kept := [pair for pair in sorted(HELD_BACK[split]) if pair[0] == items[0].kind]):
            items[0], ground = _with(items[0], kept[rng.integers(len(kept))])
        tries = (_place(rng, items, difficulty) for _ in range(12))
        placed = next((found for found in tries if found is not None), None)
        if placed is None:
            continue
        scene = Scene(ground, *placed, texture, world)
        if fits(scene, split):
            return scene


def fits(scene: Scene, split: Split) -> bool:
    """Whether a scene belongs into a split, and every item can be seen on its ground."""
    if scene.combinations & barred(split) or (split != "train" and not scene.combinations & HELD_BACK[split]):
        return False
    return told_apart(scene)


def told_apart(scene: Scene) -> bool:
    """Whether every item can be told from what lies beneath it: another item, or the ground."""
    lying = {relation.subject: relation.object for relation in scene.relations if relation.name == "on"}
    for index, item in enumerate(scene.items):
        below = scene.items[lying[index]] if index in lying else None
        if scene.world.seen:
            if not differs(item, below or scene.ground):
                return False
        elif below is not None:
            if item.colour is not None and item.colour == below.colour:
                return False
        elif (item.colour, scene.ground) in _LOST:
            return False
    return True


def vary(scene: Scene, rng: np.random.Generator, split: Split) -> Scene:
    """Return the scene with one small change: another colour, pattern or kind of one item, or one item less."""
    while True:
        index = int(rng.integers(len(scene.items)))
        ways = ["kind", "colour", "pattern"] if scene.items[index].is_form else ["kind"]
        ways += ["remove"] if len(scene.items) > 1 else []
        way = str(rng.choice(ways))
        changed = without(scene, index) if way == "remove" else changed_item(scene, index, way, rng)
        if not changed.combinations & barred(split):
            return changed


def changed_item(scene: Scene, index: int, way: str, rng: np.random.Generator) -> Scene:
    """Return the scene with another "colour", "pattern" or "kind" of one item; a kind that is not there yet."""
    item = scene.items[index]
    if way == "colour":
        others = [colour for colour in COLOURS if colour != item.colour]
        if scene.world.seen:
            changes = ((colour, _replaced(scene, index, replace(item, colour=colour))) for colour in others)
            others = [colour for colour, changed in changes if told_apart(changed)] or others
        else:
            others = [colour for colour in others if (colour, scene.ground) not in _LOST]
        item = replace(item, colour=str(rng.choice(others)))
    elif way == "pattern":
        patterns = [pattern for pattern in (None, *PATTERNS) if pattern != item.pattern]
        item = replace(item, pattern=patterns[rng.integers(len(patterns))])
    else:
        shown = {other.kind for other in scene.items}
        kind = str(rng.choice([kind for kind in KINDS if kind not in shown]))
        item = _of_kind(item, kind, rng)
    return _replaced(scene, index, item)


def _replaced(scene: Scene, index: int, item: Item) -> Scene:
    return replace(scene, items=(*scene.items[:index], item, *scene.items[index + 1 :]))


def without(scene: Scene, index: int) -> Scene:
    """Return the scene without one item and its relations."""
    kept = [relation for relation in scene.relations if index not in (relation.subject, relation.object)]
    moved = tuple(Relation(r.subject - (r.subject > index), r.name, r.object - (r.object > index)) for r in kept)
    return replace(scene, items=scene.items[:index] + scene.items[index + 1 :], relations=moved)


def _of_kind(item: Item, kind: str, rng: np.random.Generator) -> Item:
    if kind not in FORMS:
        return replace(item, kind=kind, colour=None, pattern=None)
    return replace(item, kind=kind, colour=item.colour or str(rng.choice(list(COLOURS))))


def _with(item: Item, combination: Combination) -> tuple[Item, str]:
    _, word, ground = combination
    if word in COLOURS:
        return replace(item, colour=word), ground
    return (replace(item, pattern=word), ground) if word in PATTERNS else (item, ground)


def _draw_items(rng: np.random.Generator, count: int, split: Split, difficulty: float, world: World) -> list[Item]:
    kinds = [str(kind) for kind in rng.choice(KINDS, size=count, replace=False)]
    if split != "train" and not any(pair[0] == kinds[0] for pair in HELD_BACK[split]):
        return _draw_items(rng, count, split, difficulty, world)
    items = []
    for kind in kinds:
        form = kind in FORMS
        several = int(rng.integers(2, world.most_copies + 1)) if rng.random() < 0.12 else 1
        size = str(rng.choice(SIZES)) if several == 1 and rng.random() < 0.4 else None
        if several > 1:
            size = "small" if rng.random() < 0.3 else None
        items.append(
            Item(
                kind=kind,
                colour=str(rng.choice(list(COLOURS))) if form else None,
                pattern=str(rng.choice(PATTERNS)) if form and rng.random() < 0.2 + 0.3 * difficulty else None,
                size=size,
                count=several,
                x=0.0,
                y=0.0,
                radius=0.0,
                angle=float(rng.normal(0.0, 0.08)),
                world=world,
            )
        )
    return items


def _place(
    rng: np.random.Generator, items: list[Item], difficulty: float
) -> tuple[tuple[Item, ...], tuple[Relation, ...]] | None:
    """Give every item a place and some of them relations; None where there is no room."""
    relations: list[Relation] = []
    placed: list[Item] = []
    for index, item in enumerate(items):
        relation = None
        if placed and rng.random() < 0.55 + 0.3 * difficulty:
            partner = int(rng.integers(len(placed)))
            if not any(partner in (r.subject, r.object) and r.name == "on" for r in relations):
                relation = Relation(index, str(rng.choice(RELATIONS)), partner)
        spot = _spot(rng, item, len(items), placed, relation, relations)
        if spot is None:
            return None
        kept, moved = spot
        if moved is not None and relation is not None:
            placed[relation.object] = moved
        placed.append(kept)
        if relation is not None:
            relations.append(relation)
    return tuple(placed), tuple(relations)


def _spot(
    rng: np.random.Generator,
    item: Item,
    items: int,
    placed: list[Item],
    relation: Relation | None,
    relations: list[Relation],
) -> tuple[Item, Item | None] | None:
    """The item, one of so many, at a free place, and its partner where that has to grow to carry it."""
    world = item.world
    for _ in range(30):
        radius = float(rng.uniform(*world.radius(item.size, item.count, items)))
        if relation is not None and relation.name == "on":
            base = placed[relation.object]
            taken = any(relation.object in (r.subject, r.object) for r in relations)
            if taken or item.size == "large" or item.count > 1 or base.count > 1 or base.size == "small":
                return None
            if base.kind == "ring":
                return None
            base = replace(base, radius=float(rng.uniform(*world.base)) if base.size is None else base.radius)
            base = _inside(base)
            kept = replace(item, radius=float(rng.uniform(*world.upper)), x=base.x, y=base.y + 0.1 * base.radius)
            others = [other for i, other in enumerate(placed) if i != relation.object]
            return (kept, base) if _free(base, others) else None
        candidate = replace(item, radius=radius)
        left, top, right, bottom = candidate.box
        width, height = (right - left) / 2 + world.edge, (bottom - top) / 2 + world.edge
        candidate = replace(
            candidate, x=float(rng.uniform(width, SIDE - width)), y=float(rng.uniform(height, SIDE - height))
        )
        fitting = relation is None or _related(candidate, relation.name, placed[relation.object])
        if fitting and _free(candidate, placed):
            return candidate, None
    return None


def _inside(item: Item) -> Item:
    reach = item.radius + item.world.edge
    least, most = reach, SIDE - reach
    return replace(item, x=min(max(item.x, least), most), y=min(max(item.y, least), most))


def _free(item: Item, others: list[Item]) -> bool:
    left, top, right, bottom = item.box
    gap = item.world.gap
    for other in others:
        l2, t2, r2, b2 = other.box
        if left < r2 + gap and l2 < right + gap and top < b2 + gap and t2 < bottom + gap:
            return False
    return True


def _related(item: Item, name: str, partner: Item) -> bool:
    """Above and below more in height than sideways, beside the other way round."""
    across, down = item.x - partner.x, item.y - partner.y
    if name == "beside":
        return abs(down) < 0.5 * abs(across)
    return abs(across) < 0.6 * abs(down) and (down < 0) == (name == "above")
