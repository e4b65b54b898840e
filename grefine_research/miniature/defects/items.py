"""Rational and natural defects: an item broken, doubled or with a wrong part; an implausible colour or texture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from grefine_core.miniature.world import COLOURS, FORMS, GROUNDS, SIDE

from ..draw import item_mask, paint
from ..grounds import draw_ground, smooth_noise
from ..scene import Item, Scene
from .regions import draw_region

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
_Y, _X = (axis.astype(np.float32) + 0.5 for axis in np.mgrid[0:SIDE, 0:SIDE])
#: All that is at most two steps away, steps going across and down.
_DIAMOND = torch.tensor([[float(abs(y) + abs(x) <= 2) for x in range(-2, 3)] for y in range(-2, 3)])
#: Colours that no natural thing and no ground has.
_UNNATURAL = ((0.10, 0.20, 0.95), (0.95, 0.05, 0.90), (0.05, 0.95, 0.90), (0.45, 0.00, 0.65), (0.60, 1.00, 0.00))


def broken(image: Array, scene: Scene, rng: np.random.Generator, strength: float) -> tuple[Array, Mask]:
    """One item cut in two, its halves moved apart along the cut."""
    item = whole = _pick(scene, rng)
    if scene.world.splits_copies:
        item = _one_copy(item, rng)
    angle = float(rng.uniform(0, np.pi))
    shift = item.radius * scene.world.defects["shift"](strength)
    slip = (shift * np.cos(angle), shift * np.sin(angle))
    apart = scene.world.defects["gap"](strength)
    gap = (-np.sin(angle) * apart, np.cos(angle) * apart)
    side = -np.sin(angle) * (_X - item.x) + np.cos(angle) * (_Y - item.y)
    changed = _erased(image, scene, whole, item)
    for half in (-1.0, 1.0):
        dx, dy = half * (slip[0] + gap[0]) / 2, half * (slip[1] + gap[1]) / 2
        layer = changed.copy()
        paint(layer, replace(item, x=item.x + dx, y=item.y + dy))
        kept = (side - (-np.sin(angle) * dx + np.cos(angle) * dy)) * half > 0
        changed = np.where(kept[..., None], layer, changed)
    return _with_mask(image, _covered(image, changed, scene, whole), item)


def doubled(image: Array, scene: Scene, rng: np.random.Generator, strength: float) -> tuple[Array, Mask]:
    """One item drawn once more over itself, beside its place."""
    item = _pick(scene, rng)
    angle = float(rng.uniform(0, 2 * np.pi))
    reach = item.radius * scene.world.defects["doubled"](strength)
    moved = replace(item, x=item.x + reach * np.cos(angle), y=item.y + reach * np.sin(angle))
    changed = image.copy()
    paint(changed, moved)
    return _with_mask(image, _covered(image, changed, scene, item), item)


def wrong_part(image: Array, scene: Scene, rng: np.random.Generator, strength: float) -> tuple[Array, Mask]:
    """A part of another form grown into one item's edge."""
    item = _pick(scene, rng)
    x, y = item.centres[int(rng.integers(item.count))]
    angle = float(rng.uniform(0, 2 * np.pi))
    others = [form for form in FORMS if form not in (item.kind, "ring")]
    colours = [colour for colour in COLOURS if colour != item.colour]
    part = Item(
        kind=str(rng.choice(others)),
        colour=str(rng.choice(colours)),
        pattern=None,
        size=None,
        count=1,
        x=x + 0.75 * item.radius * float(np.cos(angle)),
        y=y + 0.75 * item.radius * float(np.sin(angle)),
        radius=item.radius * scene.world.defects["wrong_part"](strength),
        angle=float(rng.uniform(0, np.pi)),
        world=scene.world,
    )
    changed = image.copy()
    paint(changed, part)
    return _with_mask(image, _covered(image, changed, scene, item), item)


def wrong_colour(image: Array, scene: Scene, rng: np.random.Generator, strength: float) -> tuple[Array, Mask]:
    """A thing, or a part of the ground, in a colour that its kind never has."""
    colour = np.asarray(_UNNATURAL[rng.integers(len(_UNNATURAL))], np.float32)

    def tinted(pixels: Array) -> Array:
        light = pixels.mean(axis=-1, keepdims=True) + 0.45
        return pixels + scene.world.defects["wrong_colour"](strength) * (np.clip(colour * light, 0.0, 1.0) - pixels)

    things = [item for item in scene.items if not item.is_form]
    if things and rng.random() < 0.6:
        return _repainted(image, scene, things[int(rng.integers(len(things)))], tinted)
    mask = _ground_region(scene, rng)
    return np.where(mask[..., None], tinted(image), image).astype(np.float32), mask


def wrong_texture(image: Array, scene: Scene, rng: np.random.Generator, strength: float) -> tuple[Array, Mask]:
    """An item, or a part of the ground, with a texture that does not belong there."""
    share = scene.world.defects["wrong_texture"](strength)
    if rng.random() < 0.5:
        first, second = (np.asarray(_UNNATURAL[i], np.float32) for i in rng.choice(len(_UNNATURAL), 2, replace=False))
        waves = np.sin(3.0 * smooth_noise(rng, 9, 9) + (_X + _Y) * float(rng.uniform(0.3, 0.6)))
        texture = np.where((waves > 0)[..., None], first, second)
    else:
        other = str(rng.choice([name for name in GROUNDS if name != scene.ground]))
        texture = draw_ground(other, int(rng.integers(1 << 31)), scene.world)
    if rng.random() < 0.5:
        item = _pick(scene, rng)
        mask = _visible(scene, item)
    else:
        mask = _ground_region(scene, rng)
    changed = np.where(mask[..., None], image + share * (texture - image), image)
    return changed.astype(np.float32), mask


def _pick(scene: Scene, rng: np.random.Generator) -> Item:
    return scene.items[int(rng.integers(len(scene.items)))]


def _one_copy(item: Item, rng: np.random.Generator) -> Item:
    """One of several alike."""
    x, y = item.centres[int(rng.integers(item.count))]
    return replace(item, count=1, x=x, y=y)


def _erased(image: Array, scene: Scene, whole: Item, item: Item) -> Array:
    """The picture with an item, one copy of ``whole`` or all of it, painted over by what lies beneath it."""
    below = draw_ground(scene.ground, scene.texture, scene.world)
    for other in scene.items:
        if other is not whole:
            paint(below, other)
    alpha = _soft(item_mask(item))[..., None]
    return (image + alpha * (below - image)).astype(np.float32)


def _covered(image: Array, changed: Array, scene: Scene, item: Item) -> Array:
    """With everything that lies over the item drawn again, where something was drawn beneath it."""
    picture = changed.astype(np.float32)
    for other in scene.items[scene.items.index(item) + 1 :]:
        paint(picture, other)
    return np.where(np.any(changed != image, axis=2, keepdims=True), picture, image).astype(np.float32)


def _soft(mask: Mask) -> Array:
    from kornia.morphology import dilation

    soft: Array = dilation(torch.from_numpy(mask)[None, None].float(), _DIAMOND)[0, 0].numpy()
    return soft


def _with_mask(image: Array, changed: Array, item: Item) -> tuple[Array, Mask]:
    """The whole item is wrong, and every pixel that is not what it was."""
    return changed.astype(np.float32), item_mask(item) | (np.abs(changed - image).max(axis=2) > 0.02)


def _repainted(image: Array, scene: Scene, item: Item, recolour: Callable[[Array], Array]) -> tuple[Array, Mask]:
    mask = _visible(scene, item)
    changed = np.where(mask[..., None], recolour(image), image)
    return changed.astype(np.float32), mask


def _visible(scene: Scene, item: Item) -> Mask:
    """The item's pixels that nothing drawn later covers."""
    mask = item_mask(item)
    for other in scene.items[scene.items.index(item) + 1 :]:
        mask = mask & ~item_mask(other)
    return mask


def _ground_region(scene: Scene, rng: np.random.Generator) -> Mask:
    """A region without the pixels of items."""
    mask = draw_region(rng, scene.world, blob=True)
    for item in scene.items:
        mask = mask & ~item_mask(item)
    return mask
