"""Short captions for training the miniature CLIP: bare nouns, phrases, mentions of defects; and what they hold of.

A short caption holds of many pictures of a batch. What a caption and a picture say is therefore kept as sets of words
(bits of a number), so that "a star" is a right answer for every picture whose caption tells of a star.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from grefine_core.miniature.world import COLOURS, COUNTS, GROUNDS, KINDS, PATTERNS, SIZES

from ..captions.naming import article, noun, number, pick
from ..captions.wordings import PREPOSITIONS, SIZE_WORDS, VERBS
from ..defects import NAMES
from ..scene import Item, Scene

_FAULTS = tuple(name for names in NAMES.values() for name in names)
_WORDS = (*KINDS, *COLOURS, *PATTERNS, *SIZES, *COUNTS.values(), *GROUNDS, *_FAULTS)
_BIT = {word: 1 << number for number, word in enumerate(_WORDS)}
MOST_FACTS = 6
"""Things of one picture at most: its ground, four items, a defect."""

#: Name of a defect -> how captions mention it; one word of each is in no caption of a picture without a defect.
MENTIONS: dict[str, tuple[str, ...]] = {
    "blur": ("blurry", "blurred", "partly blurred", "out of focus"),
    "noise": ("noisy", "grainy", "with noise"),
    "blocks": ("blocky", "with compression blocks", "pixelated"),
    "banding": ("with banding", "with color banding", "posterized"),
    "overexposure": ("overexposed", "too bright", "washed out"),
    "broken": ("broken", "with a broken thing", "cut in two"),
    "doubled": ("doubled", "with a doubled thing", "with a ghost copy"),
    "wrong_part": ("deformed", "with a wrong part", "malformed"),
    "wrong_colour": ("with an unnatural color", "oddly colored", "with a strange color"),
    "wrong_texture": ("with an unnatural texture", "with a strange texture", "oddly textured"),
}
_OPENINGS = ("a picture of", "a photo of", "an image of")


@dataclass(frozen=True)
class Short:
    """A short caption.

    Attributes:
        text: the caption.
        facts: words that go together, as bits; it holds of a picture if each is within one of the picture's.
        open: it says more than its facts, so that whether it holds of other pictures is not known from them.
    """

    text: str
    facts: tuple[int, ...]
    open: bool = False


def facts_of(scene: Scene, fault: str | None = None) -> tuple[int, ...]:
    """What a picture's full caption tells of: the bits of each item, those of the ground, that of a defect."""
    facts = [_item_bits(item, item.modifiers) for item in scene.items] + [_BIT[scene.ground]]
    return tuple(facts + ([_BIT[fault]] if fault else []))


def word_bit(word: str) -> int:
    """The bit of a word of the world."""
    return _BIT[word]


def phrase_bits(item: Item, plain: bool) -> int:
    """The bits of an item with all its modifiers, or (plain) of its kind alone."""
    return _item_bits(item, () if plain else item.modifiers)


def draw_short(scene: Scene, rng: np.random.Generator) -> Short:
    """Draw a short caption of what ``scene`` shows."""
    way = rng.random()
    if way < 0.01:
        return Short("", ())
    index = int(rng.integers(len(scene.items)))
    if way < 0.10:
        ground = pick(rng, ("{}", "{}", "on {}", "a picture of {}", "{} behind it")).format(scene.ground)
        return Short(ground, (_BIT[scene.ground],))
    first, facts = _phrase(scene.items[index], rng)
    if way < 0.20:
        word = pick(rng, ("on", "on", "against"))
        return Short(f"{first} {word} {scene.ground}", (facts, _BIT[scene.ground]))
    others = [number for number in range(len(scene.items)) if number != index]
    if way < 0.30 and others:
        second, more = _phrase(scene.items[pick(rng, others)], rng)
        return Short(f"{first} {pick(rng, ('and', 'and', ',', 'with'))} {second}", (facts, more))
    if way < 0.36 and scene.relations:
        relation = pick(rng, scene.relations)
        first, facts = _phrase(scene.items[relation.subject], rng)
        second, more = _phrase(scene.items[relation.object], rng)
        return Short(f"{first} {pick(rng, PREPOSITIONS[relation.name][0])} {second}", (facts, more), True)
    if way < 0.42:
        verb = pick(rng, tuple(VERBS.values()))[0][0]
        first = f"{first} {verb[int(rng.integers(len(verb)))]}"
    elif way < 0.55:
        first = f"{pick(rng, _OPENINGS)} {first}"
    return Short(first, (facts,))


def draw_mention(name: str, rng: np.random.Generator) -> Short:
    """Draw a short caption that mentions a defect."""
    words = pick(rng, MENTIONS[name])
    return Short(pick(rng, ("{}", "a picture, {}", "an image, {}")).format(words), (_BIT[name],))


def with_mention(text: str, name: str, rng: np.random.Generator) -> str:
    """A full caption that mentions a defect besides."""
    words = pick(rng, MENTIONS[name])
    return f"{text}, {words}" if rng.random() < 0.6 else f"{words}: {text}"


def mentions_defect(text: str) -> bool:
    """Whether a caption mentions a defect."""
    return any(words in text for options in MENTIONS.values() for words in options)


def _phrase(item: Item, rng: np.random.Generator) -> tuple[str, int]:
    """The noun with some or all or none of what describes it; with an article or without."""
    way = rng.random()
    if way < 0.28:
        kept: list[str] = []
    elif way < 0.65:
        kept = list(item.modifiers)
    else:
        kept = [word for word in item.modifiers if rng.random() < 0.5]
    seen = replace(item, size=item.size if item.size in kept else None)
    looks = [word for word in (item.pattern, item.colour) if word and word in kept]
    if rng.random() < 0.3:
        looks.reverse()
    size = (pick(rng, SIZE_WORDS[seen.size]),) if seen.size else ()
    several = number(item) if set(number(item)) & set(kept) else ()
    # One of several is a star, too.
    name = item.kind if item.count > 1 and not several and rng.random() < 0.3 else noun(item)
    words = (*several, *size, *looks, name)
    text = " ".join(words)
    if rng.random() < 0.5 and name == item.kind and not several:
        text = f"{article(words, replace(item, count=1))} {text}"
    return text, _item_bits(item, kept)


def _item_bits(item: Item, words: tuple[str, ...] | list[str]) -> int:
    return _BIT[item.kind] | sum(_BIT[word] for word in words)
