"""What the evaluators learn from: pictures of one split with the truth about every cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grefine_core.miniature.world import GROUNDS, KINDS, SIDE, SPLITS, Split

from .. import defects
from ..draw import draw, item_masks
from ..layout import sample_scene
from ..sample import FACTORS
from ..scene import Scene
from ..worlds import SHIPPED, World
from .contents import ATTRIBUTES, NO_KIND, labels_of
from .network import CELL, CELLS

IGNORE = 255
"""Label of cells that nothing can be said of: on an item's edge, or without the attribute."""
LABELS = ("kind", *ATTRIBUTES)
_SEED = 71
#: Shares of pictures with none, one and two kinds of defects.
_DEFECTS = (0.3, 0.5, 0.2)


@dataclass(frozen=True)
class Found:
    """A defect of an example: its kind, strength in (0, 1], severity and mask (128, 128)."""

    kind: str
    strength: float
    severity: float
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Example:
    """One picture and the truth about it.

    Attributes:
        scene: what it shows.
        image: (128, 128, 3) uint8.
        severity: (3, 32, 32) uint8, strength times coverage of each of ``FACTORS``, times 255.
        labels: (5, 32, 32) uint8, class of ``LABELS`` in every cell.
        found: its defects.
    """

    scene: Scene
    image: NDArray[np.uint8]
    severity: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    found: tuple[Found, ...]

    @property
    def ground(self) -> int:
        """Class of the ground."""
        return GROUNDS.index(self.scene.ground)

    def total(self) -> float:
        """Severity of the whole picture, as ``Sample.severity``."""
        kept = 1.0
        for defect in self.found:
            kept *= 1.0 - defect.severity
        return 1.0 - kept


def make_example(split: Split, index: int, world: World = SHIPPED) -> Example:
    """Make one example; the same arguments always give the same one."""
    rng = np.random.default_rng([_SEED, SPLITS.index(split), index])
    scene = sample_scene(rng, split, float(rng.uniform(0.2, 0.8)), world)
    count = int(rng.choice(3, p=_DEFECTS))
    kinds = set(rng.choice(FACTORS, size=count, replace=False))
    image = draw(scene)
    found = []
    for kind in ("natural", "rational", "technical"):
        if kind in kinds:
            image, defect = defects.add(image, scene, kind, rng, float(rng.uniform(0.2, 0.8)))
            # Its severity grows with the area as well; a place is as bad as the defect is strong.
            found.append(Found(kind, defect.strength, defect.severity, defect.mask))
    severity = np.zeros((len(FACTORS), CELLS, CELLS), np.float32)
    for one in found:
        place = FACTORS.index(one.kind)
        severity[place] = np.maximum(severity[place], one.strength * _coverage(one.mask))
    return Example(
        scene,
        (np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8),
        (severity * 255.0 + 0.5).astype(np.uint8),
        _labels(scene),
        tuple(found),
    )


def _labels(scene: Scene) -> NDArray[np.uint8]:
    labels = np.full((len(LABELS), CELLS, CELLS), IGNORE, np.uint8)
    covered = np.zeros((CELLS, CELLS), np.float32)
    for item, mask in zip(scene.items, item_masks(scene), strict=True):
        share = _coverage(mask)
        covered = np.maximum(covered, share)
        core = share > 0.6
        labels[0][core] = KINDS.index(item.kind)
        for place, value in enumerate(labels_of(item).values(), start=1):
            if value is not None:
                labels[place][core] = value
    labels[0][covered < 0.1] = NO_KIND
    return labels


def _coverage(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Share of every cell that a mask (128, 128) covers."""
    return mask.reshape(CELLS, CELL, CELLS, CELL).mean(axis=(1, 3), dtype=np.float32)


class ExampleSet:
    """Many examples as tensors, made once and kept in memory (54 kB each).

    Args:
        split: of the examples.
        count: how many.
        offset: index of the first one.
        world: of the examples.
        passed: what an autoencoder makes of pictures (n, H, W, 3) uint8, in [0, 1]: every third one has passed through
            it, since what it does to a picture is no defect either.
    """

    def __init__(
        self,
        split: Split,
        count: int,
        offset: int = 0,
        world: World = SHIPPED,
        passed: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None,
    ) -> None:
        self.images = torch.empty(count, SIDE, SIDE, 3, dtype=torch.uint8)
        self.severity = torch.empty(count, len(FACTORS), CELLS, CELLS, dtype=torch.uint8)
        self.labels = torch.empty(count, len(LABELS), CELLS, CELLS, dtype=torch.uint8)
        self.ground = torch.empty(count, dtype=torch.long)
        for place in range(count):
            example = make_example(split, offset + place, world)
            self.images[place] = torch.from_numpy(example.image)
            self.severity[place] = torch.from_numpy(example.severity)
            self.labels[place] = torch.from_numpy(example.labels)
            self.ground[place] = example.ground
        if passed is not None:
            again = passed(self.images[::3].numpy())
            self.images[::3] = torch.from_numpy(np.rint(255 * again).astype(np.uint8))

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: Sequence[int] | Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Pictures (B, 3, H, W) in [0, 1] with their truth, half of them mirrored, a third a little soft or noisy.

        What any autoencoder does to a picture is no defect: the evaluators have to bear it.
        """
        chosen = torch.as_tensor(rows)
        images = self.images[chosen].permute(0, 3, 1, 2).float().div_(255.0)
        severity, labels = self.severity[chosen].float().div_(255.0), self.labels[chosen].long()
        mirrored = torch.rand(len(chosen), generator=rng) < 0.5
        images[mirrored] = images[mirrored].flip(-1)
        severity[mirrored] = severity[mirrored].flip(-1)
        labels[mirrored] = labels[mirrored].flip(-1)
        unsharpen(images, rng)
        images = images.contiguous(memory_format=torch.channels_last)
        return {"images": images, "severity": severity, "labels": labels, "ground": self.ground[chosen]}


def unsharpen(images: Tensor, rng: torch.Generator) -> None:
    """Blur by up to 0.7 pixels, or add noise of up to 0.015, to one picture in three each; in place."""
    from kornia.filters import gaussian_blur2d

    draws = torch.rand(len(images), 2, generator=rng)
    for place, (way, much) in enumerate(draws.tolist()):
        if way < 1 / 3 and much > 0.3:
            images[place] = gaussian_blur2d(images[place][None], (5, 5), (0.7 * much, 0.7 * much))[0]
        elif way > 2 / 3:
            noise = torch.randn(images[place].shape, generator=rng)
            images[place] = (images[place] + 0.015 * much * noise).clamp(0.0, 1.0)
