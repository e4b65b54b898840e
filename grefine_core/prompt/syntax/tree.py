"""The result of parsing a prompt: words, phrases and the tree that their ancestors span (method section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .tokens import Token

if TYPE_CHECKING:
    from nltk.tree import Tree


@dataclass(frozen=True)
class Word:
    """One word of a prompt.

    `text` is exactly what stands in the prompt from `start` on (so `prompt[word.start : word.end] == word.text`);
    numbers typed apart ("8 k", "1 9 7 9") are one word with the blanks inside. `tag` is a Penn Treebank tag.
    """

    text: str
    start: int
    tag: str = "NN"

    @property
    def end(self) -> int:
        """Offset in the prompt just behind the word."""
        return self.start + len(self.text)


@dataclass(frozen=True)
class Phrase:
    """A noun with everything that describes it.

    words: in the order of the prompt, not empty. head: the noun (one of `words`). ancestor: index, in the tree's
    phrases, of the phrase of the nearest noun above the head; None for a root. is_style: a style or quality tag
    (medium, artist, camera, "8k"), which asks for nothing that could be missing from one place of the picture.
    prompt: the text the offsets refer to; only `spans` reads it, and it takes no part in comparisons. language: the
    name of the language or script of a part that is not English ("German", "Cyrillic script"): it is one phrase without
    a grammar, whose last word is the head.
    """

    words: tuple[Word, ...]
    head: Word
    ancestor: int | None = None
    is_style: bool = False
    prompt: str = field(default="", repr=False, compare=False)
    language: str = ""

    @property
    def is_foreign(self) -> bool:
        """Whether the phrase is in another language than English, which is neither parsed nor measured."""
        return bool(self.language)

    @property
    def modifiers(self) -> tuple[Word, ...]:
        """All words but the head."""
        return tuple(word for word in self.words if word is not self.head and word != self.head)

    @property
    def text(self) -> str:
        """The words joined with one blank each."""
        return " ".join(word.text for word in self.words)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Maximal character ranges [start, end) of the prompt; words with only blanks between them share one.

        Without `prompt` (phrases made by hand) a gap of one character is taken for a blank.
        """
        spans: list[tuple[int, int]] = []
        for word in self.words:
            if spans and self._blank(spans[-1][1], word.start):
                spans[-1] = (spans[-1][0], max(spans[-1][1], word.end))
            else:
                spans.append((word.start, word.end))
        return tuple(spans)

    def _blank(self, start: int, end: int) -> bool:
        if not self.prompt:
            return end - start <= 1
        return not self.prompt[start:end].strip()


@dataclass(frozen=True)
class PromptTree:
    """All phrases of a prompt, in the order of their first words; iterating yields the phrases.

    Ancestors are indices into `phrases`, never form a cycle, and lead from a content phrase to content phrases only.
    absent: what the prompt keeps out of the picture ("no hat", "--no text"), which is in none of the phrases.
    """

    prompt: str
    phrases: tuple[Phrase, ...]
    absent: tuple[Phrase, ...] = ()

    def __iter__(self) -> Iterator[Phrase]:
        return iter(self.phrases)

    def __len__(self) -> int:
        return len(self.phrases)

    @property
    def content(self) -> tuple[int, ...]:
        """Indices of the phrases that are not style or quality tags."""
        return tuple(index for index, phrase in enumerate(self.phrases) if not phrase.is_style)

    @property
    def foreign(self) -> tuple[int, ...]:
        """Indices of the phrases in other languages than English."""
        return tuple(index for index, phrase in enumerate(self.phrases) if phrase.is_foreign)

    @property
    def english(self) -> str:
        """The prompt with blanks in the place of its foreign phrases, of the same length."""
        pieces, start = [], 0
        for phrase in (self.phrases[index] for index in self.foreign):
            first, end = phrase.words[0].start, phrase.words[-1].end
            pieces += [self.prompt[start:first], " " * (end - first)]
            start = end
        return "".join([*pieces, self.prompt[start:]])

    def taken_for_english(self) -> PromptTree:
        """The tree with its foreign phrases as if they were English: what measures then measures them, too."""
        phrases = (replace(phrase, language="") for phrase in self.phrases)
        return replace(self, phrases=tuple(phrases)) if self.foreign else self

    def to_nltk(self) -> Tree:
        """Returns the phrases as an `nltk.Tree`, to be printed (`pretty_print()`), drawn (`draw()`) or searched.

        Below the root "PROMPT" stands a subtree "NP" for every content phrase and "STYLE" for every style tag. It
        holds the words of the phrase, each below its Penn tag, and then the phrases whose ancestor it is; phrases
        stand in the order of the prompt.
        """
        from nltk.tree import Tree

        nodes = [
            Tree("STYLE" if phrase.is_style else "NP", [Tree(word.tag, [word.text]) for word in phrase.words])
            for phrase in self.phrases
        ]
        root = Tree("PROMPT", [])
        for phrase, node in zip(self.phrases, nodes, strict=True):
            (root if phrase.ancestor is None else nodes[phrase.ancestor]).append(node)
        return root


# The unit that the parser works with between words and phrases.


class Unit:
    """A noun phrase in the making.

    words: tokens of the phrase; verbs: tokens that joined it as verbs or predicates; head: its noun, None for a unit
    of adjectives alone. governor: the unit it hangs on (None: the root). relation: "start" of a fragment, "prep",
    "object", "conj", "next" to its neighbour; preposition: the word, for "prep" ("by", "in"). fragment, sentence:
    counters. determined: an article stands in front (article: which one); owned: a possessive pronoun.
    """

    __slots__ = ("article", "determined", "fragment", "governor", "head", "index", "kind", "owned", "preposition",
                 "relation", "sentence", "style", "verbs", "words")  # fmt: skip

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
        self.determined = self.owned = False
        self.article = ""  # the word that determines it, in lower case
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
