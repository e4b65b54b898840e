"""Reference pictures of the miniature world, from which its models are calibrated as others are from photographs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from grefine_core.calibration.reference import Reference, ReferencePicture
from grefine_core.miniature.world import COLOURS, FORMS, THINGS, Split

from . import worlds
from .generator import make_sample
from .sample import Sample, as_tensor
from .worlds import World

FIRST = 3_000_000
"""Of the samples of a split, those from this number on."""


def miniature_reference(
    count: int = 64, split: Split = "validation", first: int = FIRST, world: World = worlds.SHIPPED
) -> Reference:
    """Clean scenes with what is there, what is not, and colours that are wrong; the same arguments, the same pictures.

    Args:
        count: of pictures.
        split: of the samples.
        first: number of the first one.
        world: of the samples.
    """
    pictures = tuple(_picture(make_sample(split, first + number, kinds=(), world=world)) for number in range(count))
    return Reference(pictures, f"miniature {world.name} {split} {first} {count}")


def _picture(sample: Sample) -> ReferencePicture:
    shown = {item.kind for item in sample.scene.items}
    rng = np.random.default_rng(sample.index)
    others = [(noun, noun in FORMS) for noun in (*FORMS, *THINGS) if noun not in shown]
    chosen = [others[place] for place in rng.permutation(len(others))]
    wrong = []
    for item in sample.scene.items:
        if item.colour is not None:
            colours = [colour for colour in COLOURS if colour != item.colour]
            wrong.append(f"{colours[int(rng.integers(len(colours)))]} {item.kind}")
    return ReferencePicture(
        name=f"{sample.split} {sample.index}",
        load=_image(sample),
        caption=sample.caption.prompt,
        present=tuple(dict.fromkeys(" ".join(phrase.words) for phrase in sample.caption.phrases)),
        absent=tuple(chosen),
        wrong=tuple(wrong),
    )


def _image(sample: Sample) -> Callable[[], Tensor]:
    return lambda: as_tensor(sample.image)
