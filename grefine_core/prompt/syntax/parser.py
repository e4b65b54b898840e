"""The parser: prompt in, phrases out (method section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ...errors import InputError
from .chunks import Chunker
from .roles import assign_roles
from .style import mark_style
from .tagger import Tagger, make_tagger, shipped_model
from .tokens import WORD, Token, tokenize
from .tree import Phrase, PromptTree, Unit, Word


@lru_cache(maxsize=1)
def default_tagger() -> Tagger:
    """The tagger that ships with the package, read once."""
    from .lexicon import prompt_words

    return make_tagger(shipped_model(), prompt_words())


_CHAIN = 32  # steps up a chain of governors; beyond, the first content phrase is as good
_UNSAID = frozenset(["the", "a", "an", "of", "and", "or"])  # never part of a phrase, wherever a rule put them


def parse(prompt: str) -> PromptTree:
    """Parse a prompt into content phrases and style tags.

    Every noun makes a phrase with the adjectives, numbers, compound nouns, verbs and predicate adjectives that belong
    to it; articles, prepositions, conjunctions and forms of "be" are left out. Markup (weights, LoRA tags, …) is no
    text. What the prompt negates ("no hat", "without glasses") is in no phrase at all: nothing may ask for it.

    Raises InputError if `prompt` is not a string; any string is parsed, whatever is in it.
    """
    if not isinstance(prompt, str):
        raise InputError(f"prompt: expected a string, got {type(prompt).__name__}; pass one prompt at a time")
    from ..markup import plain_text

    tokens = tokenize(plain_text(prompt))
    if not tokens:
        return PromptTree(prompt, ())
    default_tagger().tag(tokens)
    units = mark_style(Chunker(tokens, assign_roles(tokens)).run())
    return PromptTree(prompt, _phrases(prompt, units))


def _phrases(prompt: str, units: Sequence[Unit]) -> tuple[Phrase, ...]:
    """Units with words, in the order of the prompt; ancestors as indices."""
    kept: list[tuple[Unit, tuple[Word, ...], Word]] = []
    for unit in units:
        tokens = sorted(
            {token.start: token for token in unit.words + unit.verbs if token.kind == WORD}.values(),
            key=lambda token: token.start,
        )
        words = _words(prompt, tokens)
        if words:
            kept.append((unit, words, _head(unit, words)))
    kept.sort(key=lambda entry: entry[1][0].start)
    positions = {id(unit): index for index, (unit, _, _) in enumerate(kept)}
    root = next((index for index, (unit, _, _) in enumerate(kept) if not unit.style), None)
    phrases = []
    for index, (unit, words, head) in enumerate(kept):
        ancestor = None if unit.style or index == root else _ancestor(unit, positions, index, root)
        phrases.append(Phrase(words, head, ancestor, unit.style, prompt))
    return tuple(phrases)


def _words(prompt: str, tokens: Sequence[Token]) -> tuple[Word, ...]:
    words: list[Word] = []
    for token in tokens:
        if token.tag == "POS" and words and words[-1].end == token.start:
            last = words.pop()
            words.append(Word(prompt[last.start : token.end], last.start, last.tag))
        elif token.lower not in _UNSAID:
            words.append(Word(token.text, token.start, token.tag))
    return tuple(words)


def _head(unit: Unit, words: tuple[Word, ...]) -> Word:
    wanted = unit.head or (unit.words[-1] if unit.words else None)
    if wanted is not None:
        for word in words:
            if word.start <= wanted.start < word.end:
                return word
    return words[-1]


def _ancestor(
    unit: Unit,
    positions: dict[int, int],
    index: int,
    root: int | None,
) -> int | None:
    """Index of the nearest content unit above; the first content phrase where there is none."""
    above, seen = unit.governor, 0
    while above is not None and seen < _CHAIN:
        position = positions.get(id(above))
        # Governors stand in front; anything else would be an error of a rule, and could close a circle.
        if position is not None and position < index and not above.style:
            return position
        above, seen = above.governor, seen + 1
    return root
