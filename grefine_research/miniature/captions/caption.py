"""A prompt with the phrases that it truly consists of, and the writer that keeps both in step."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TruePhrase:
    """One noun with all that describes it, as `grefine_core.parse_prompt` should find it.

    Attributes:
        words: in the order of the prompt, at least one; articles, prepositions and forms of "be" are none of them,
            verbs and predicate adjectives are ("star", "rests").
        head: the noun, one of ``words``.
        ancestor: index, in the caption's phrases, of the phrase that this one hangs on; None for a root.
        item: index into the scene's items of what it names; None for the ground.
        ground: whether it names the ground.
        starts: offset in the prompt of each of ``words``, in characters.
    """

    words: tuple[str, ...]
    head: str
    ancestor: int | None
    item: int | None
    ground: bool
    starts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Caption:
    """A prompt and its phrases in the order of their first words; words of style and quality are in none of them.

    An item that is mentioned twice ("…, and the square is near a ring") has two phrases; the first one says all of it.
    """

    prompt: str
    phrases: tuple[TruePhrase, ...]


@dataclass
class _Draft:
    head: str
    ancestor: int | None
    item: int | None
    words: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)


class Writer:
    """Writes a prompt from left to right and notes which word belongs to which phrase."""

    def __init__(self) -> None:
        self._text = ""
        self._drafts: list[_Draft] = []

    def __len__(self) -> int:
        """Number of phrases so far."""
        return len(self._drafts)

    def say(self, text: str) -> None:
        """Append words that are in no phrase, or punctuation; nothing for the empty string."""
        if text and self._text and text[0] not in ",.;:":
            self._text += " "
        self._text += text

    def open(self, words: tuple[str, ...], ancestor: int | None, item: int | None) -> int:
        """Append a new phrase whose head is the last of ``words`` (``item`` None: the ground); return its index."""
        self._drafts.append(_Draft(words[-1], ancestor, item))
        for word in words:
            self.join(len(self._drafts) - 1, word)
        return len(self._drafts) - 1

    def join(self, phrase: int, word: str) -> None:
        """Append one more word to the prompt and to phrase ``phrase``."""
        self.say(word)
        self._drafts[phrase].words.append(word)
        self._drafts[phrase].starts.append(len(self._text) - len(word))

    def caption(self) -> Caption:
        """What was written."""
        return Caption(
            self._text,
            tuple(
                TruePhrase(tuple(d.words), d.head, d.ancestor, d.item, d.item is None, tuple(d.starts))
                for d in self._drafts
            ),
        )
