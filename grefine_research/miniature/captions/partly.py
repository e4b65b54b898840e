"""Short captions that are true and leave most unsaid: bare nouns, single phrases, a pair, the ground."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from grefine_core.miniature.world import Split

from ..scene import Item, Scene
from .naming import article, be, name, noun, pick
from .wordings import GROUND_BEHIND, GROUND_COMMON, OPENINGS, PREPOSITIONS, VERBS

if TYPE_CHECKING:
    from ..sample import Sample

#: How often each kind of caption is drawn, in percent; where a scene cannot have one, a phrase is told instead.
_WAYS = {"noun": 24, "phrase": 34, "less": 12, "pair": 12, "several": 8, "ground": 10}
_OPENED = 0.25
_ARTICLE = 0.4
_VERB = 0.12
_GROUND = 0.3


def describe_partly(picture: Sample | Scene, rng: np.random.Generator, split: Split) -> str:
    """A short caption of what a picture shows, such as "circle", "two small crosses" or "a photo of grass".

    Args:
        picture: of a sample what it shows counts, not its prompt.
        rng: decides what is said, and how.
        split: whose wordings are used.
    """
    scene = picture if isinstance(picture, Scene) else picture.shown
    item = pick(rng, scene.items)
    way = pick(rng, [way for way, percent in _WAYS.items() for _ in range(percent)])
    if way == "ground":
        return _opened(scene.ground, rng, split) if rng.random() < 0.7 else f"{_on(rng, split)} {scene.ground}"
    if way == "pair" and scene.relations:
        relation = pick(rng, scene.relations)
        first, second = scene.items[relation.subject], scene.items[relation.object]
        articles = bool(rng.random() < _ARTICLE)
        preposition = pick(rng, PREPOSITIONS[relation.name][0])
        return f"{phrase(first, rng, articles=articles)} {preposition} {phrase(second, rng, articles=articles)}"
    if way == "several" and len(scene.items) > 1:
        chosen = sorted(int(k) for k in rng.choice(len(scene.items), size=2, replace=False))
        articles = bool(rng.random() < _ARTICLE)
        text = " and ".join(phrase(scene.items[k], rng, articles=articles) for k in chosen)
        return text if rng.random() > _GROUND else f"{text} {_on(rng, split)} {scene.ground}"
    if way == "noun":
        bare = replace(item, colour=None, pattern=None, size=None, count=min(item.count, 2))
        words = (noun(bare),)
        with_article = f"{article(words, item)} {words[0]}".strip()
        return _opened(with_article, rng, split, words[0] if rng.random() > _ARTICLE else None)
    left_out = pick(rng, [word for word in (item.colour, item.pattern, item.size) if word] or [None])
    without = left_out if way == "less" else None
    placed = [r.name for r in scene.relations if scene.items[r.subject] is item]
    if placed and rng.random() < _VERB:
        participle, singular, plural = pick(rng, VERBS[pick(rng, placed)][0])
        verb = pick(rng, (participle, plural if be(item) == "are" else singular))
        return f"{phrase(item, rng, articles=bool(rng.random() < _ARTICLE), without=without)} {verb}"
    named = phrase(item, rng, without=without)
    bare_words = named.removeprefix("an ").removeprefix("a ")
    return _opened(named, rng, split, bare_words if rng.random() > _ARTICLE else None)


def phrase(item: Item, rng: np.random.Generator, *, articles: bool = True, without: str | None = None) -> str:
    """The item with all that is known of it, or without one word of that."""
    words = name(item, rng, without=without)
    return " ".join(word for word in (article(words, item) if articles else "", *words) if word)


def _opened(text: str, rng: np.random.Generator, split: Split, alone: str | None = None) -> str:
    """The text behind an opening, or without one; ``alone``: what it is without one, if that differs."""
    return f"{pick(rng, OPENINGS[split]['of'])} {text}" if rng.random() < _OPENED else alone or text


def _on(rng: np.random.Generator, split: Split) -> str:
    return pick(rng, GROUND_BEHIND[split] + GROUND_COMMON)
