"""Sentences about pictures, made from a grammar and word lists, with the tag of every word.

The treebank is made of web text, which hardly ever tells what is seen ("Moss carpets the logs", "spray drifts across
the rail"): there a word that is a noun as well as a verb is a noun. Here such words stand where verbs stand in
descriptions, and beside them the same words as nouns. What the sentences mean does not matter, the tagger looks at
classes of words and at their order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

from grefine_core.prompt.syntax.lexicon import (
    adjectives,
    common_words,
    participle,
    plural,
    read_sections,
    third_person,
    word_lists,
)
from grefine_core.prompt.syntax.lexicon import present_participle as gerund
from grefine_core.prompt.syntax.senses import names_thing

Tagged = list[tuple[str, str]]

_PLACES = [
    "in",
    "on",
    "at",
    "over",
    "under",
    "across",
    "into",
    "through",
    "along",
    "around",
    "behind",
    "beside",
    "above",
    "below",
    "near",
    "from",
    "toward",
    "against",
]
_PATHS = [
    "across",
    "into",
    "through",
    "along",
    "around",
    "over",
    "from",
    "toward",
    "past",
    "out",
    "down",
    "up",
    "off",
    "onto",
    "between",
    "beneath",
    "among",
]
_PLACES_WIDE = ["next to", "in front of", "on top of", "out of", "at the edge of", "in the middle of"]
_ADVERBS = [
    "slowly",
    "gently",
    "softly",
    "quietly",
    "silently",
    "lazily",
    "proudly",
    "calmly",
    "nervously",
    "carefully",
    "playfully",
    "eagerly",
    "loosely",
    "tightly",
    "overhead",
    "nearby",
    "outside",
    "everywhere",
    "upward",
    "downward",
    "away",
    "together",
    "alone",
    "past",
    "below",
    "above",
    "outward",
    "skyward",
    "endlessly",
    "faintly",
    "barely",
    "slightly",
    "neatly",
]
_PEOPLE = [
    "townspeople",
    "villagers",
    "people",
    "children",
    "men",
    "women",
    "police",
    "passersby",
    "onlookers",
    "fishermen",
    "women",
    "geese",
    "mice",
    "wolves",
    "crew",
]
_ABSTRACT = "mood atmosphere palette composition lighting color texture scene image photo camera lens tone style depth"
_MEDIA = [
    "photo",
    "photograph",
    "painting",
    "illustration",
    "image",
    "picture",
    "drawing",
    "render",
    "portrait",
    "shot",
    "view",
    "close-up",
]
_QUALITIES = [
    "soft",
    "dramatic",
    "muted",
    "shallow",
    "warm",
    "pastel",
    "cinematic",
    "moody",
    "high",
    "vivid",
    "subtle",
    "painterly",
    "gritty",
]
_STYLE_NOUNS = [
    "lighting",
    "tones",
    "focus",
    "contrast",
    "colors",
    "detail",
    "grain",
    "palette",
    "brushwork",
    "shadows",
    "depth",
    "texture",
]
_PRONOUNS = [("he", 1), ("she", 1), ("it", 1), ("they", 0), ("one", 1), ("another", 1), ("others", 0), ("we", 0)]
_OWNERS = ["his", "her", "its", "their"]


class Scenes:
    """Draws sentences; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        verbs = read_sections("verbs.txt")
        self.still, self.acting = sorted(set(verbs["still"])), sorted(set(verbs["acting"]))
        nouns = {word for words in read_sections("nouns.txt").values() for word in words if word.isalpha()}
        known = common_words()
        nouns |= {word for word, kind in known.items() if "NN" in kind.split("|") and names_thing(word)}
        either = set(self.still) | set(self.acting)
        nouns |= {word for word in either if names_thing(word)}
        lists = word_lists()
        self.nouns = sorted(word for word in nouns if word.isalpha() and not word.endswith(("s", "ing")))
        self.both = sorted(either & set(self.nouns))
        self.actors = sorted(word for word in lists["animate"] if word.isalpha() and not word.endswith("s"))
        self.features = sorted(word for word in lists["feature"] if word.isalpha())
        plain = {word for word, kind in known.items() if kind == "JJ" and word.isalpha() and len(word) > 2}
        self.adjectives = sorted(plain | {word for word in adjectives() if word.isalpha()})
        self.colors = sorted(word for word in lists["colors"] if word.isalpha())

    def sentence(self) -> Tagged:
        """One sentence with its full stop, or what stands for one: a phrase, a list."""
        kinds: list[tuple[int, Callable[[], Tagged]]] = [
            (30, self._clause),
            (14, lambda: [*self._clause(), (",", ","), *self._and(), *self._clause()]),
            (12, lambda: [*self._clause(), *self._and(), *self._clause()]),
            (10, lambda: [*self._clause(), (self._one(["while", "as", "where", "when"]), "IN"), *self._clause()]),
            (8, lambda: [*self._place(), (",", ","), *self._clause()]),
            (5, self._inverted),
            (4, self._imperative),
            (4, self._existential),
            (5, self._about_picture),
            (14, self._phrase),
            (6, self._list),
        ]
        weights, makers = zip(*kinds, strict=True)
        words = self.draw.choices(makers, weights)[0]()
        first, tag = words[0]
        if self.draw.random() < 0.85:
            words[0] = (first[:1].upper() + first[1:], tag)
        return [*words, (".", ".")]

    # Parts of sentences ---------------------------------------------------------------------------------------------

    def _one(self, options: Sequence[str]) -> str:
        return self.draw.choice(options)

    def _maybe(self, chance: float, maker: Callable[[], Tagged]) -> Tagged:
        return maker() if self.draw.random() < chance else []

    def _and(self) -> Tagged:
        return [("and" if self.draw.random() < 0.9 else "but", "CC")]

    def _adjective(self) -> Tagged:
        drawn = self.draw.random()
        if drawn < 0.55:
            return [(self._one(self.adjectives), "JJ")]
        if drawn < 0.75:
            return [(self._one(self.colors), "JJ")]
        if drawn < 0.88:
            return [(participle(self._one(self.acting)), "VBN")]
        return [(gerund(self._one(self.still)), "VBG")]

    def _noun(self, single: bool, actor: float = 0.0) -> Tagged:
        drawn = self.draw.random()
        if not single and drawn < 0.08:
            return [(self._one(_PEOPLE), "NNS")]
        if self.draw.random() < actor:
            noun = self._one(self.actors)
        elif drawn < 0.25:
            noun = self._one(self.both)
        elif drawn < 0.35:
            noun = self._one(self.features)
            if noun.endswith("s"):
                return [(noun, "NNS")]
        else:
            noun = self._one(self.nouns)
        front = self._one(self.nouns if self.draw.random() < 0.7 else self.both)
        compound: Tagged = [(front, "NN")] if self.draw.random() < 0.25 else []
        if compound and self.draw.random() < 0.4:
            noun = self._one(self.both)
        return [*compound, (noun, "NN") if single else (plural(noun), "NNS")]

    def _noun_phrase(self, single: bool | None = None, actor: float = 0.0, depth: int = 0) -> tuple[Tagged, bool]:
        """Words of a noun phrase, and whether it goes with a verb in -s."""
        single = self.draw.random() < 0.6 if single is None else single
        noun = self._noun(single, actor)
        single = noun[-1][1] == "NN"
        words: Tagged = []
        drawn = self.draw.random()
        if single:
            if drawn < 0.78:
                words = [(self._one(["a", "a", "a", "the", "the", "one", "each", "another"]), "DT")]
                if words[0][0] == "one":
                    words = [("one", "CD")]
            elif drawn < 0.92:
                words = [(self._one(_OWNERS), "PRP$")]
        elif drawn < 0.2:
            words = [("the", "DT")]
        elif drawn < 0.35:
            words = [(self._one(_OWNERS), "PRP$")]
        elif drawn < 0.45:
            words = [(self._one(["two", "three", "four", "dozen", "several", "many"]), "CD")]
            if words[0][0] in ("several", "many"):
                words = [(words[0][0], "JJ")]
        for _ in range(self.draw.choices([0, 1, 2], [45, 42, 13])[0]):
            words += self._adjective()
        if words and words[-1][0] == "a" and noun[0][0][:1] in "aeiou":
            words[-1] = ("an", "DT")
        words += noun
        if depth < 2 and self.draw.random() < 0.16:
            words += [("of", "IN"), *self._noun_phrase(depth=depth + 1)[0]]
        elif depth < 2 and self.draw.random() < 0.14:
            words += [(self._one(["in", "with", "with", "on", "from"]), "IN"), *self._noun_phrase(depth=depth + 1)[0]]
        elif depth < 1 and self.draw.random() < 0.05:
            other, _ = self._noun_phrase(depth=2)
            words, single = [*words, ("and", "CC"), *other], False
        return words, single

    def _place(self) -> Tagged:
        drawn = self.draw.random()
        if drawn < 0.85:
            head: Tagged = [(self._one(_PLACES if self.draw.random() < 0.6 else _PATHS), "IN")]
        else:
            head = [(word, _WIDE_TAGS.get(word, "NN")) for word in self._one(_PLACES_WIDE).split()]
        if drawn > 0.97:
            return [*head[:1], (self._one(["him", "her", "it", "them"]), "PRP")]
        return [*head, *self._noun_phrase(depth=1)[0]]

    def _adverb(self) -> Tagged:
        return [(self._one(_ADVERBS), "RB")]

    def _verb(self, verb: str, single: bool) -> Tagged:
        return [(third_person(verb), "VBZ") if single else (verb, "VBP")]

    def _acts(self, single: bool, form: str = "") -> Tagged:
        """A verb with all that stands behind it; form: "VBG" for a participle."""
        bend = (lambda verb: [(gerund(verb), "VBG")]) if form == "VBG" else partial(self._verb, single=single)
        drawn = self.draw.random()
        if drawn < 0.5:
            words = bend(self._one(self.still))
            words += self._maybe(0.18, self._adverb)
            words += self._maybe(0.75 if len(words) == 1 else 0.55, self._place)
            words += self._maybe(0.08, self._place)
        elif drawn < 0.92:
            words = [*bend(self._one(self.acting)), *self._noun_phrase(depth=1)[0], *self._maybe(0.35, self._place)]
        else:
            words = [*bend(self._one(self.acting)), *self._adverb()]
        return words

    def _predicate(self, single: bool) -> Tagged:
        """A verb phrase of whatever kind."""
        drawn = self.draw.random()
        front = self._maybe(0.06, self._adverb)
        if drawn < 0.72:
            return [*front, *self._acts(single)]
        if drawn < 0.8:
            return [*self._acts(single), *self._and(), *self._maybe(0.1, self._adverb), *self._acts(single)]
        be: Tagged = [("is", "VBZ") if single else ("are", "VBP")]
        if drawn < 0.87:
            return [*be, (participle(self._one(self.acting)), "VBN"), *self._place()]
        if drawn < 0.91:
            return [*be, *self._acts(single, "VBG")]
        if drawn < 0.96:
            return [*be, *self._maybe(0.2, self._adverb), (self._one(self.adjectives), "JJ")]
        return [("has", "VBZ") if single else ("have", "VBP"), *self._noun_phrase(depth=1)[0]]

    def _subject(self) -> tuple[Tagged, bool]:
        drawn = self.draw.random()
        if drawn < 0.08:
            word, single = self.draw.choice(_PRONOUNS)
            tag = {"one": "CD", "another": "DT", "others": "NNS"}.get(word, "PRP")
            return [(word, tag)], bool(single)
        words, single = self._noun_phrase(actor=0.25)
        if drawn < 0.13:
            inside = [(participle(self._one(self.acting)), "VBN"), *self._place()]
            words = [*words, (",", ","), *inside, (",", ",")]
        elif drawn < 0.17:
            words = [*words, (",", ","), *self._noun_phrase(single, depth=1)[0], (",", ",")]
        elif drawn < 0.2:
            words = [*words, ("that", "WDT"), *self._acts(single)]
        elif drawn < 0.22:
            words = [*words, (participle(self._one(self.acting)), "VBN"), *self._place()]
        return words, single

    def _tail(self) -> Tagged:
        """What may stand behind a clause: a participle, something of the subject, a relative clause."""
        drawn = self.draw.random()
        if drawn < 0.1:
            return [(",", ","), *self._acts(True, "VBG")]
        if drawn < 0.2:
            thing = [(self._one(_OWNERS), "PRP$"), *self._noun(self.draw.random() < 0.5)]
            state = [(participle(self._one(self.acting)), "VBN")] if self.draw.random() < 0.5 else None
            behind = self._adverb() if self.draw.random() < 0.25 else self._place()
            return [(",", ","), *thing, *(state or self._acts(True, "VBG")[:1]), *behind]
        if drawn < 0.24:
            return [("that", "WDT"), *self._acts(True)]
        if drawn < 0.27:
            subject, single = self._noun_phrase(depth=2)
            return [("whose", "WP$"), *[word for word in subject if word[1] not in ("DT", "PRP$")], *self._acts(single)]
        if drawn < 0.3:
            return [("to", "TO"), (self._one(self.acting), "VB"), *self._noun_phrase(depth=1)[0]]
        return []

    def _clause(self) -> Tagged:
        subject, single = self._subject()
        return [*subject, *self._predicate(single), *self._tail()]

    # Other sentences ------------------------------------------------------------------------------------------------

    def _inverted(self) -> Tagged:
        subject, single = self._noun_phrase()
        place = self._place() if self.draw.random() < 0.7 else self._adverb()
        verb = self._one(["stand", "lie", "sit", "hang", "loom", "rise", "stretch", "rest", "float", "lurk", "wait"])
        return [*place, *self._verb(verb, single), *subject]

    def _imperative(self) -> Tagged:
        drawn = self.draw.random()
        if drawn < 0.6:
            verb = self._one(["create", "make", "draw", "show", "imagine", "picture", "generate", "add", "give", "put"])
            return [(verb, "VB"), *self._noun_phrase()[0], *self._maybe(0.5, partial(self._acts, True, "VBG"))]
        verb = self._one(["make", "let", "keep"])
        return [(verb, "VB"), *self._noun_phrase(depth=1)[0], (self._one(self.still), "VB"), *self._place()]

    def _existential(self) -> Tagged:
        subject, single = self._noun_phrase()
        be = ("is", "VBZ") if single else ("are", "VBP")
        return [("there", "EX"), be, *subject, *self._maybe(0.4, partial(self._acts, single, "VBG")), *self._place()]

    def _about_picture(self) -> Tagged:
        word = self._one(_ABSTRACT.split())
        verb = self._one(
            ["evokes", "captures", "shows", "has", "creates", "suggests", "emphasizes", "conveys", "features"]
        )
        quality: Tagged = [(self._one(_QUALITIES), "JJ"), (self._one(_STYLE_NOUNS), "NN")]
        if quality[1][0].endswith("s") and quality[1][0] != "focus":
            quality[1] = (quality[1][0], "NNS")
        if self.draw.random() < 0.5:
            return [("the", "DT"), (word, "NN"), (verb, "VBZ"), *quality]
        return [("the", "DT"), (word, "NN"), ("is", "VBZ"), (self._one(self.adjectives), "JJ"), *self._and(),
                (self._one(self.adjectives), "JJ")]  # fmt: skip

    def _phrase(self) -> Tagged:
        """No sentence at all, with the full stop of one: "A wide shot of a town at noon."."""
        front: Tagged = []
        if self.draw.random() < 0.4:
            front = [*self._maybe(0.5, lambda: [("a", "DT")]), *self._maybe(0.6, self._adjective),
                     (self._one(_MEDIA), "NN"), ("of", "IN")]  # fmt: skip
        words = [*front, *self._noun_phrase()[0]]
        drawn = self.draw.random()
        if drawn < 0.3:
            return [*words, *self._acts(True, "VBG")]
        if drawn < 0.45:
            return [*words, (participle(self._one(self.acting)), "VBN"), *self._place()]
        return [*words, *self._place()] if drawn < 0.8 else words

    def _list(self) -> Tagged:
        """Tags behind sentences: "Oil painting, soft light, muted colors."."""
        words: Tagged = []
        for _ in range(self.draw.randint(2, 4)):
            noun = self._one(_STYLE_NOUNS) if self.draw.random() < 0.5 else ""
            tag = "NNS" if noun.endswith("s") and noun != "focus" else "NN"
            part = [(self._one(_QUALITIES), "JJ"), (noun, tag)] if noun else self._noun_phrase(depth=2)[0]
            words += [*([(",", ",")] if words else []), *part]
        return words


_WIDE_TAGS = {
    "next": "IN", "to": "IN", "in": "IN", "on": "IN", "of": "IN", "out": "IN", "at": "IN", "the": "DT",
}  # fmt: skip


def scene_sentences(count: int, seed: int) -> list[Tagged]:
    """Returns `count` sentences, the same for the same seed."""
    scenes = Scenes(seed)
    return [scenes.sentence() for _ in range(count)]
