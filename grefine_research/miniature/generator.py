"""Samples of the miniature world: a picture, its prompt, and everything that is wrong with it, from a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grefine_core.checks import choice, number, whole_number
from grefine_core.errors import InputError
from grefine_core.miniature.world import PATTERNS, SIDE, SPLITS, Split, barred

from . import defects
from .captions import Caption, describe
from .draw import draw, item_masks
from .layout import changed_item, sample_scene, told_apart, without
from .sample import FACTORS, Defect, Sample
from .scene import Scene
from .worlds import SHIPPED, World

KINDS_OF_DEFECT = (*FACTORS, "alignment")
ALIGNMENT_DEFECTS = ("missing", "wrong_attribute", "wrong_partner")
#: What ``kinds=None`` draws from, with its shares: a quarter clean, a tenth with two kinds at once.
_MIXTURE: tuple[tuple[tuple[str, ...], float], ...] = (
    ((), 0.25),
    (("technical",), 0.15),
    (("rational",), 0.15),
    (("natural",), 0.15),
    (("alignment",), 0.20),
    (("technical", "alignment"), 0.04),
    (("natural", "alignment"), 0.03),
    (("rational", "technical"), 0.03),
)
_SPLIT_SEEDS = {"train": 11, "validation": 23, "test": 37}

Mask = NDArray[np.bool_]


def make_sample(
    split: Split,
    index: int,
    *,
    kinds: Sequence[str] | None = None,
    difficulty: float = 0.5,
    salt: int = 0,
    world: World = SHIPPED,
) -> Sample:
    """Make one sample; the same arguments always give the same bytes.

    Args:
        split: "train", "validation" or "test": disjoint by seed, by combinations of attributes and by templates.
        index: 0 or more.
        kinds: kinds of its defects, of ``KINDS_OF_DEFECT``; () for a clean, matching picture; None draws them.
        difficulty: in [0, 1]: more items, weaker defects.
        salt: another number gives other samples of the same split.
        world: that the scene is of.

    Raises:
        InputError: an unknown split or kind, a negative index, a difficulty out of range.
    """
    split = choice(split, "split", SPLITS)
    index = whole_number(index, "index", 0, 1 << 40)
    difficulty = number(difficulty, "difficulty", 0.0, 1.0)
    if kinds is not None and (unknown := [kind for kind in kinds if kind not in KINDS_OF_DEFECT]):
        raise InputError(f"kinds: {unknown[0]!r} is none of {', '.join(KINDS_OF_DEFECT)}.")
    rng = np.random.default_rng([_SPLIT_SEEDS[split], index, salt])
    if kinds is None:
        kinds = _MIXTURE[rng.choice(len(_MIXTURE), p=[share for _, share in _MIXTURE])][0]
    while True:
        scene = sample_scene(rng, split, difficulty, world)
        caption = describe(scene, rng, split)
        shown, found = scene, []
        if "alignment" in kinds:
            wrong = mismatch(scene, caption, split, rng)
            if wrong is None:
                continue
            shown, mistake = wrong
            found.append(mistake)
        break
    clean = draw(scene)
    image = draw(shown)
    # Items first, then regions: what is drawn anew would wipe out noise beneath it.
    for kind in ("natural", "rational", "technical"):
        if kind in kinds and (shown.items or kind == "technical"):
            image, defect = defects.add(image, shown, kind, rng, difficulty)
            found.append(defect)
    return Sample(split, index, scene, shown, caption, clean, image, tuple(found))


def mismatch(
    scene: Scene, caption: Caption, split: Split, rng: np.random.Generator, name: str | None = None
) -> tuple[Scene, Defect] | None:
    """What a picture might show instead of ``scene``, and the defect that this is; None where this scene allows none.

    Args:
        scene: what the prompt describes.
        caption: the prompt; its phrases say what hangs on what.
        split: what is shown has to fit into it as well.
        rng: every draw comes from it.
        name: one of ``ALIGNMENT_DEFECTS``; None draws one.
    """
    for _ in range(20):
        drawn = name or str(rng.choice(ALIGNMENT_DEFECTS, p=(0.4, 0.4, 0.2)))
        made = _MISMATCHES[drawn](scene, caption, rng)
        if made is not None and not made[0].combinations & barred(split):
            return made
    return None


def _missing(scene: Scene, caption: Caption, rng: np.random.Generator) -> tuple[Scene, Defect] | None:
    """An item left out; the region of its ancestor has to change, the whole picture if it has none."""
    index = int(rng.integers(len(scene.items)))
    if any(relation.object == index and relation.name == "on" for relation in scene.relations):
        return None  # What lies on it would float.
    phrase = phrase_of(caption, index)
    visible = item_masks(without(scene, index))
    region = np.ones((SIDE, SIDE), dtype=bool)
    above = caption.phrases[phrase].ancestor
    while above is not None:
        item = caption.phrases[above].item
        if item is not None:
            region = visible[item - (item > index)]
            break
        above = caption.phrases[above].ancestor
    return without(scene, index), _defect("missing", region, phrase, scene)


def _wrong_attribute(scene: Scene, caption: Caption, rng: np.random.Generator) -> tuple[Scene, Defect] | None:
    """An item in another colour or pattern than the prompt says; it has to be redrawn where it is."""
    forms = [index for index, item in enumerate(scene.items) if item.is_form]
    if not forms:
        return None
    index = int(rng.choice(forms))
    way = "pattern" if scene.items[index].pattern in PATTERNS and rng.random() < 0.5 else "colour"
    shown = changed_item(scene, index, way, rng)
    lying = {relation.subject: relation.object for relation in shown.relations if relation.name == "on"}
    pairs = [(shown.items[a].colour, shown.items[b].colour) for a, b in lying.items()]
    if any(a == b for a, b in pairs if a is not None) or (shown.world.seen and not told_apart(shown)):
        return None
    return shown, _defect("wrong_attribute", item_masks(shown)[index], phrase_of(caption, index), scene)


def _wrong_partner(scene: Scene, caption: Caption, rng: np.random.Generator) -> tuple[Scene, Defect] | None:
    """Something else in the place of a relation's object: the one that it belongs to has to be redrawn with it."""
    if not scene.relations:
        return None
    relation = scene.relations[int(rng.integers(len(scene.relations)))]
    shown = changed_item(scene, relation.object, "kind", rng)
    upper, lower = shown.items[relation.subject], shown.items[relation.object]
    if relation.name == "on" and (lower.kind == "ring" or (lower.colour and lower.colour == upper.colour)):
        return None
    if shown.world.seen and not told_apart(shown):
        return None
    masks = item_masks(shown)
    region = masks[relation.subject] | masks[relation.object]
    return shown, _defect("wrong_partner", region, phrase_of(caption, relation.object), scene)


_MISMATCHES = {"missing": _missing, "wrong_attribute": _wrong_attribute, "wrong_partner": _wrong_partner}


def phrase_of(caption: Caption, item: int) -> int:
    """Index of the phrase that names an item."""
    return next(index for index, phrase in enumerate(caption.phrases) if phrase.item == item)


def _defect(name: str, region: Mask, phrase: int, scene: Scene) -> Defect:
    """An alignment defect is as severe as the share of the items that it concerns."""
    return Defect("alignment", name, 1.0 / len(scene.items), region, phrase)
