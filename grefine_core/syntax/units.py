"""The unit that the parser works with between words and phrases."""

from __future__ import annotations

from .tokens import Token


class Unit:
    """A noun phrase in the making.

    words: tokens of the phrase; verbs: tokens that joined it as verbs or predicates; head: its noun, None for a unit
    of adjectives alone. governor: the unit it hangs on (None: the root). relation: "start" of a fragment, "prep",
    "object", "conj", "next" to its neighbour; preposition: the word, for "prep" ("by", "in"). fragment, sentence:
    counters. determined: an article stands in front.
    """

    __slots__ = ("determined", "fragment", "governor", "head", "index", "kind", "preposition", "relation", "sentence",
                 "style", "verbs", "words")  # fmt: skip

    def __init__(self, index: int, fragment: int, sentence: int) -> None:
        self.index = index
        self.words: list[Token] = []
        self.verbs: list[Token] = []
        self.head: Token | None = None
        self.governor: Unit | None = None
        self.relation = "start"
        self.preposition = ""
        self.fragment = fragment
        self.sentence = sentence
        self.determined = False
        self.kind = ""  # "predicate": a unit that a verb opened and that has no noun yet
        self.style = False

    @property
    def lower(self) -> list[str]:
        """The words of the phrase, without verbs, in lower case."""
        return [token.lower for token in self.words]

    @property
    def key(self) -> str:
        """The head in lower case, or the last word."""
        return self.head.lower if self.head is not None else (self.words[-1].lower if self.words else "")

    @property
    def last(self) -> Token:
        """The word furthest right."""
        return max(self.words + self.verbs, key=lambda token: token.start)

    def __repr__(self) -> str:
        return " ".join(t.text for t in self.words) + (
            " + " + " ".join(t.text for t in self.verbs) if self.verbs else ""
        )
