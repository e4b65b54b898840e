"""Nouns of the miniature world with their modifiers and articles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from grefine_core.miniature.world import COUNTS

from ..scene import Item, Scene
from .wordings import SIZE_WORDS

T = TypeVar("T")


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options, each as likely as the others; an option that stands twice is twice as likely."""
    return options[int(rng.integers(len(options)))]


def noun(item: Item) -> str:
    """The kind in singular or plural, as there are copies."""
    if item.count == 1 or item.kind == "fish":
        return item.kind
    return item.kind + ("es" if item.kind.endswith("s") else "s")


def name(item: Item, rng: np.random.Generator, *, without: str | None = None) -> tuple[str, ...]:
    """All that is known of the item, in natural order, the noun last: ("two", "small", "striped", "red", "stars").

    ``without``: a colour, pattern or size to leave out.
    """
    size = (pick(rng, SIZE_WORDS[item.size]),) if item.size and item.size != without else ()
    looks = [word for word in (item.pattern, item.colour) if word and word != without]
    if rng.random() < 0.3:
        looks.reverse()
    return (*number(item), *size, *looks, noun(item))


def number(item: Item) -> tuple[str, ...]:
    """The number as a word, if there is more than one."""
    return (COUNTS[item.count],) if item.count > 1 else ()


def article(words: Sequence[str], item: Item | None) -> str:
    """What stands in front of the words: "a" or "an", nothing in front of a number or a ground."""
    if item is None or item.count > 1:
        return ""
    return "an" if words[0][0] in "aeiou" else "a"


def be(item: Item | None) -> str:
    """ "is" or "are", as the item is one or several; "is" for a ground."""
    return "are" if item is not None and item.count > 1 else "is"


def short_name(scene: Scene, index: int) -> tuple[str, ...]:
    """The noun of an item that was named before, with as much as tells it from the scene's others of its kind."""
    item = scene.items[index]
    others = [other.modifiers for k, other in enumerate(scene.items) if other.kind == item.kind and k != index]
    telling = [word for word in reversed(item.modifiers) if not any(word in words for words in others)]
    if not others:
        return (noun(item),)
    return (telling[0], noun(item)) if telling else (*item.modifiers, noun(item))
