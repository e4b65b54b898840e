"""What the inpainting model learns from: parts of clean scenes, each with a mask to paint in and captions.

A view is a whole scene or, as stage 1 cuts them, a part of one enlarged to full size. Masks cover items as detectors of
defects mark them (outlines, ellipses, boxes), blobs, boxes anywhere, or everything. None of it is a label of a defect:
the pictures are clean, and the masks are drawn at random.

Close-ups show one item on its ground, at the size that it has in scenes, in a quarter of their area. From them the
model learns what a star is sooner than from scenes, whose captions leave open which of their forms is to be painted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from grefine_core.miniature.world import SIDE, Split

from ..captions import describe, describe_partly
from ..draw import item_mask
from ..grounds import smooth_noise
from ..scene import Item, Scene
from ..worlds import SHIPPED, WORLDS, Name, World
from .clip_groups import CLOSEUP, GROUP, Drawn, draw_closeups
from .pictures import SEED, scene_at

Mask = NDArray[np.bool_]
CAPTIONS = 2
"""Captions of one view: a full one; a second full or a partial one."""
CLOSEUP_SIDE = SIDE // 2
"""Side of close-ups in pixels."""
LEAST_AREA = 0.04
_ZOOMED = 0.35
_AROUND = 0.5
_KINDS = ("all", "item", "items", "boxes", "blob")
_SHARES = (0.12, 0.44, 0.12, 0.13, 0.19)


@dataclass(frozen=True)
class View:
    """One example.

    Attributes:
        picture: (128, 128, 3) uint8; close-ups (64, 64, 3).
        mask: bool, of the same size; where to paint.
        captions: ``CAPTIONS`` texts.
    """

    picture: NDArray[np.uint8]
    mask: Mask
    captions: tuple[str, ...]


def view_at(
    index: int, pictures: NDArray[np.uint8], split: Split = "train", seed: int = SEED, world: World = SHIPPED
) -> View:
    """Draw one view; the same arguments always give the same one. ``pictures`` are those of ``cached_pictures``."""
    place = index % len(pictures)
    scene, rng = scene_at(place, split, seed, world)
    rng = np.random.default_rng([int(rng.integers(1 << 62)), index])
    captions = _captions(scene, rng, split)
    picture, box = pictures[place], (0, 0, SIDE)
    if rng.random() < _ZOOMED:
        box = _zoom(scene, rng)
        top, left, side = box
        picture = _enlarged(picture[top : top + side, left : left + side])
    return View(picture, draw_mask(scene, box, rng), captions)


def closeup_at(index: int, seed: int = SEED, world: World = SHIPPED) -> View:
    """Draw one close-up; the same arguments always give the same one.

    Four in a row differ in one thing: mostly in the kind of the item.
    """
    drawn = _closeups(index // GROUP, seed, world.name)[index % GROUP]
    scene = drawn.scene
    rng = np.random.default_rng([seed, index, 1])
    captions = _captions(scene, rng, "train")
    shift = rng.integers(CLOSEUP - CLOSEUP_SIDE + 1, size=2)
    top, left = int(shift[0]), int(shift[1])
    edge = (SIDE - CLOSEUP) // 2
    mask = np.ones((CLOSEUP_SIDE, CLOSEUP_SIDE), dtype=bool)
    if rng.random() < _AROUND:
        y, x = edge + top, edge + left
        mask = _around(scene.items[0], rng)[y : y + CLOSEUP_SIDE, x : x + CLOSEUP_SIDE]
    return View(drawn.image[top : top + CLOSEUP_SIDE, left : left + CLOSEUP_SIDE], mask, captions)


def _captions(scene: Scene, rng: np.random.Generator, split: Split) -> tuple[str, str]:
    second = describe(scene, rng, split).prompt if rng.random() < 0.5 else describe_partly(scene, rng, split)
    return describe(scene, rng, split).prompt, second


@lru_cache(maxsize=2)
def _closeups(index: int, seed: int, world: Name) -> list[Drawn]:
    return draw_closeups(index, seed, WORLDS[world])[0]


def draw_mask(scene: Scene, box: tuple[int, int, int], rng: np.random.Generator) -> Mask:
    """(128, 128) bool over the view ``box`` = (top, left, side) of a scene; at least ``LEAST_AREA`` of it is True."""
    whole = box[2] == SIDE
    while True:
        kind = str(rng.choice(_KINDS, p=_SHARES))
        if kind == "all" and whole:
            return np.ones((SIDE, SIDE), dtype=bool)
        if kind == "blob":
            size = int(rng.integers(4, 8))
            mask = smooth_noise(rng, size, size) > rng.uniform(-0.2, 1.0)
        elif kind in ("item", "items"):
            mask = np.zeros((SIDE, SIDE), dtype=bool)
            most = len(scene.items) + 1 if kind == "items" else 2
            for choice in rng.permutation(len(scene.items))[: int(rng.integers(1, most))]:
                mask |= _around(scene.items[int(choice)], rng)
            mask = _cut(mask, box)
        else:
            mask = np.zeros((SIDE, SIDE), dtype=bool)
            for _ in range(int(rng.integers(1, 4))):
                height, width = (int(side) for side in rng.integers(SIDE // 6, SIDE, size=2))
                top, left = int(rng.integers(SIDE - height + 1)), int(rng.integers(SIDE - width + 1))
                mask[top : top + height, left : left + width] = True
        if mask.mean() >= LEAST_AREA:
            return mask


def _zoom(scene: Scene, rng: np.random.Generator) -> tuple[int, int, int]:
    """(top, left, side) of a square part, mostly around an item."""
    side = int(rng.integers(SIDE // 2, SIDE))
    item = scene.items[int(rng.integers(len(scene.items)))]
    aim = (item.y, item.x) if rng.random() < 0.8 else rng.uniform(0, SIDE, 2)
    corner = [round(float(at) - side * rng.uniform(0.35, 0.65)) for at in aim]
    top, left = (min(max(at, 0), SIDE - side) for at in corner)
    return top, left, side


def _enlarged(part: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = torch.from_numpy(np.ascontiguousarray(part)).permute(2, 0, 1)[None].float()
    picture = F.interpolate(picture, size=(SIDE, SIDE), mode="bicubic", align_corners=False)
    return picture[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy()


def _cut(mask: Mask, box: tuple[int, int, int]) -> Mask:
    top, left, side = box
    rows = (np.arange(SIDE) * side) // SIDE
    return mask[np.ix_(top + rows, left + rows)]


def _around(item: Item, rng: np.random.Generator) -> Mask:
    """An item's outline, grown; or an ellipse or a box around it."""
    way = int(rng.integers(3))
    if way == 0:
        grown = int(rng.integers(1, 9))
        mask = torch.from_numpy(item_mask(item))[None, None].float()
        return F.max_pool2d(mask, 2 * grown + 1, stride=1, padding=grown)[0, 0].numpy() > 0
    left, top, right, bottom = (
        edge + sign * float(rng.uniform(1, 14)) for edge, sign in zip(item.box, (-1, -1, 1, 1), strict=True)
    )
    y, x = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    if way == 1:
        return (x > left) & (x < right) & (y > top) & (y < bottom)
    across, down = (2 * x - left - right) / (right - left), (2 * y - top - bottom) / (bottom - top)
    return across**2 + down**2 < 1.7
