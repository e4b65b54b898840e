"""Captions that say how good a picture is: what is wrong with it, or that nothing is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..scene import Scene
from ..world import Split
from .naming import article, noun, pick
from .partly import phrase
from .wordings import GROUND_BEHIND

#: Defect -> what is said of the whole picture: in front of "picture", and behind what it shows.
_PICTURES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "blur": (("blurry", "blurred", "unsharp"), ("partly out of focus", "blurry", "not sharp everywhere")),
    "noise": (("noisy", "grainy"), ("grainy, noisy", "with a lot of noise", "grainy")),
    "blocks": (("blocky", "badly compressed"), ("jpeg artifacts, blocky", "compression artifacts", "blocky")),
    "banding": (("banded", "posterized"), ("color banding", "with banding", "too few shades")),
    "overexposure": (("overexposed", "washed out"), ("too bright", "overexposed, washed out", "blown out lights")),
    "broken": ((), ("something is broken", "broken in pieces", "with a broken shape")),
    "doubled": ((), ("something is doubled", "with a doubled shape", "a ghost copy")),
    "wrong_part": ((), ("a wrong part", "something is malformed", "with a deformed shape")),
    "wrong_texture": (("unnatural",), ("a strange texture", "unnatural texture", "the texture looks wrong")),
    "wrong_colour": (("unnatural",), ("strange colors", "unnatural colors", "the colors look wrong")),
}
#: Defect of an item -> what is said of it, in front of the noun.
_ITEMS: dict[str, tuple[str, ...]] = {
    "broken": ("broken", "shattered", "cut"),
    "doubled": ("doubled", "duplicated"),
    "wrong_part": ("malformed", "deformed", "distorted"),
    "wrong_texture": ("unnatural", "strangely textured", "implausible"),
    "wrong_colour": ("unnatural", "strangely colored", "implausible"),
}
_PRAISE = (("sharp", "clean", "good", "clear"), ("sharp and clean", "high quality", "in perfect quality", "flawless"))
_BARE = 0.25
_IN_FRONT = 0.5
_PICTURE_WORDS = ("picture", "image", "photo")


def mention(
    scene: Scene,
    defect_kind: str,
    defect_name: str,
    rng: np.random.Generator,
    split: Split,
    *,
    item: int | None = None,
) -> str:
    """A caption that mentions a perceptual defect in natural words, without its place.

    Args:
        scene: what the picture shows.
        defect_kind: "technical", "rational" or "natural".
        defect_name: see ``defects.NAMES``.
        rng: decides what is said besides, and how.
        split: whose wordings are used for what is said besides.
        item: index of the item that is wrong, if one is; then "a broken circle" may be said. A scene's only item
            needs no index. Without it nothing is said that might be untrue.
    """
    if item is None and len(scene.items) == 1:
        item = 0
    if defect_kind != "technical" and item is not None and rng.random() < _IN_FRONT:
        wrong = scene.items[item]
        words = (pick(rng, _ITEMS[defect_name]), noun(wrong))
        named = f"{article(words, replace(wrong, count=1 if noun(wrong) == wrong.kind else 2))} {' '.join(words)}"
        return named.strip()
    return _said(scene, _PICTURES[defect_name], rng, split)


def praise(scene: Scene, rng: np.random.Generator, split: Split) -> str:
    """A caption that says that the picture is good."""
    return _said(scene, _PRAISE, rng, split)


def _said(scene: Scene, words: tuple[tuple[str, ...], tuple[str, ...]], rng: np.random.Generator, split: Split) -> str:
    in_front, behind = words
    if in_front and rng.random() < _IN_FRONT:
        word = pick(rng, in_front)
        text = f"{'an' if word[0] in 'aeiou' else 'a'} {word} {pick(rng, _PICTURE_WORDS)}"
        return text if rng.random() < _BARE else f"{text} of {_plain(scene, rng, split)}"
    word = pick(rng, behind)
    return word if rng.random() < _BARE else f"{_plain(scene, rng, split)}, {word}"


def _plain(scene: Scene, rng: np.random.Generator, split: Split) -> str:
    """One item with all that is known of it, on its ground or not."""
    named = phrase(pick(rng, scene.items), rng)
    return f"{named} {pick(rng, GROUND_BEHIND[split])} {scene.ground}" if rng.random() < _BARE else named
