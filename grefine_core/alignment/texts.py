"""All texts that a prompt needs: itself (in pieces if long), its phrases, their heads, and what contrasts them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from ..syntax.tree import Phrase, PromptTree
from .banks import Banks, shipped_banks
from .calibration import Scoring

EMPTY = ""
VARIANTS = 10
"""Other words tried in the place of one modifier."""
MODIFIERS = 4
"""Modifiers of one phrase that are contrasted; further ones only count in the phrase's own text."""


PART_TEXTS = 1024
PART_PHRASES = 256
"""Different texts, and phrases, that are worked on at a time: what a prompt takes of memory grows little with it."""


@dataclass(frozen=True)
class PhraseTexts:
    """The texts of one phrase."""

    text: str
    head: str
    nouns: tuple[str, ...] = ()
    """What the head is contrasted with."""
    variants: tuple[tuple[str, ...], ...] = ()
    """For each contrasted modifier: the phrase with others in its place."""

    def __iter__(self) -> Iterator[str]:
        yield self.text
        yield self.head
        yield from self.nouns
        for group in self.variants:
            yield from group


@dataclass(frozen=True)
class PromptTexts:
    """The texts of one prompt."""

    pieces: tuple[tuple[str, int], ...]
    """The whole prompt, in pieces that fit into the context, each with its number of tokens."""
    phrases: tuple[PhraseTexts | None, ...]
    """One a phrase of the tree; None for those that are not measured (style tags). Empty without the tree."""
    captions: tuple[str, ...] = ()
    """What the whole prompt is contrasted with."""

    def __iter__(self) -> Iterator[str]:
        yield EMPTY
        yield from (text for text, _ in self.pieces)
        yield from self.captions
        for phrase in self.phrases:
            if phrase is not None:
                yield from phrase


def prompt_texts(
    tree: PromptTree,
    count: Callable[[str], int],
    limit: int,
    scoring: Scoring,
    template: str = "{}",
    include_style: bool = False,
    *,
    banks: Banks | None = None,
    syntax: bool = True,
) -> PromptTexts:
    """Collect the texts of one prompt.

    Args:
        tree: the parsed prompt.
        count: tokens of a text, with start and end.
        limit: tokens that fit into the context.
        scoring: contrast texts are only needed for "contrast".
        template: wording around phrases, heads and what contrasts them; ``{}`` stands for the text.
        include_style: whether style tags are measured, too.
        banks: what the texts are contrasted with; None for the shipped ones.
        syntax: False collects no phrases, the prompt as a whole alone.
    """
    contrasts = _contrasts(scoring, banks)
    whole = _whole_texts(tree, count, limit, contrasts)
    return replace(whole, phrases=tuple(_phrases_texts(tree, contrasts, template, include_style)) if syntax else ())


def prompt_parts(
    trees: Iterable[PromptTree],
    count: Callable[[str], int],
    limit: int,
    scoring: Scoring,
    template: str = "{}",
    include_style: bool = False,
    *,
    banks: Banks | None = None,
    syntax: bool = True,
    interrupt: Callable[[], None] | None = None,
) -> Iterator[dict[int, PromptTexts]]:
    """The texts of prompts, part by part; arguments as for :func:`prompt_texts`.

    Yields:
        ``id`` of a tree -> its next phrases in their order, and with the first of them the prompt as a whole; a tree
        that is there several times comes once. A part has about ``PART_TEXTS`` different texts.
        ``interrupt`` is called between them, and while long prompts are cut into pieces; what it raises stops the work.
    """
    check = interrupt or (lambda: None)
    contrasts = _contrasts(scoring, banks)

    def counted(text: str) -> int:
        check()
        return count(text)

    part: dict[int, PromptTexts] = {}
    texts: set[str] = set()
    collected: list[PhraseTexts | None] = []
    for key, tree in {id(tree): tree for tree in trees}.items():
        whole = _whole_texts(tree, counted, limit, contrasts)
        texts.update(whole)
        for phrase in _phrases_texts(tree, contrasts, template, include_style) if syntax else ():
            if len(texts) >= PART_TEXTS or len(collected) >= PART_PHRASES:
                part[key] = replace(whole, phrases=tuple(collected))
                yield part
                check()
                part, texts, collected, whole = {}, set(), [], PromptTexts((), ())
            texts.update(phrase or ())
            collected.append(phrase)
        part[key], collected = replace(whole, phrases=tuple(collected)), []
    yield part


def _contrasts(scoring: Scoring, banks: Banks | None) -> Banks | None:
    """The words that texts are contrasted with; None where the scoring needs none."""
    if scoring != "contrast":
        return None
    return shipped_banks() if banks is None else banks


def _whole_texts(tree: PromptTree, count: Callable[[str], int], limit: int, banks: Banks | None) -> PromptTexts:
    """The texts of a prompt as a whole, without its phrases."""
    pieces = prompt_pieces(tree, count, limit)
    own = {text for text, _ in pieces}
    captions = tuple(text for text in banks.captions if text not in own) if banks is not None and pieces else ()
    return PromptTexts(pieces, (), captions)


def _phrases_texts(
    tree: PromptTree, banks: Banks | None, template: str, include_style: bool
) -> Iterator[PhraseTexts | None]:
    nouns = frozenset(
        word.text for phrase in tree for word in phrase.words if word.tag.startswith("NN") or word == phrase.head
    )
    words = frozenset(word.text for phrase in tree for word in phrase.words)
    for phrase in tree:
        measured = include_style or not phrase.is_style
        yield _phrase_texts(phrase, banks, nouns, words, template) if measured else None


def prompt_pieces(tree: PromptTree, count: Callable[[str], int], limit: int) -> tuple[tuple[str, int], ...]:
    """Cut a prompt at phrase borders into pieces of at most ``limit`` tokens; (text, tokens) each, none if it is blank.

    A single phrase that is longer than the context is cut at blanks, a single word by the tokenizer.
    """
    from ..markup import plain_text, strip_markup

    whole = strip_markup(tree.prompt)
    if not whole:
        return ()
    if (tokens := count(whole)) <= limit:
        return ((whole, tokens),)
    plain = plain_text(tree.prompt)
    borders = sorted({phrase.words[0].start for phrase in tree} | {len(plain)})
    chunks = _fill(plain, [0, *(border for border in borders if border > 0)], count, limit)
    pieces = []
    for chunk in chunks:
        text = " ".join(chunk.split()).strip(" ,")
        if text:
            pieces.append((text, min(count(text), limit)))
    return tuple(pieces)


def _fill(text: str, borders: list[int], count: Callable[[str], int], limit: int) -> list[str]:
    """Pieces of ``text`` between phrase borders, each as long as it may be; too long ones cut again at blanks."""
    result: list[str] = []
    for piece in _greedy(text, borders, count, limit):
        blanks = [index for index, character in enumerate(piece) if character.isspace() and index > 0]
        result.extend(_greedy(piece, [0, *blanks, len(piece)], count, limit) if count(piece) > limit else [piece])
    return result


def _greedy(text: str, borders: list[int], count: Callable[[str], int], limit: int) -> list[str]:
    pieces: list[str] = []
    start = borders[0]
    for previous, border in pairwise(borders):
        if previous > start and count(text[start:border]) > limit:
            pieces.append(text[start:previous])
            start = previous
    return [*pieces, text[start : borders[-1]]]


def _phrase_texts(
    phrase: Phrase, banks: Banks | None, nouns: frozenset[str], words: frozenset[str], template: str
) -> PhraseTexts:
    """The texts of one phrase; those that contrast it only with ``banks``."""
    text, head = phrase.text, phrase.head.text
    others: tuple[str, ...] = ()
    variants: list[tuple[str, ...]] = []
    if banks is not None:
        others = tuple(template.format(noun) for noun in banks.other_nouns(head, nouns))
        for index, word in enumerate(phrase.words):
            kind = None if word == phrase.head or len(variants) == MODIFIERS else banks.kind_of(word.text, word.tag)
            if kind is None:
                continue
            exchanged = banks.others_of_kind(word.text, kind, VARIANTS, words)
            if not exchanged:
                continue
            before = [other.text for other in phrase.words[:index]]
            after = [other.text for other in phrase.words[index + 1 :]]
            texts = [" ".join(part for part in (*before, new, *after) if part) for new in exchanged]
            variants.append(tuple(template.format(new) for new in texts))
    return PhraseTexts(template.format(text), template.format(head), others, tuple(variants))
