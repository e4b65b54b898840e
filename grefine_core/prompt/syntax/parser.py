"""The parser: prompt in, phrases out (method section 3.1)."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

from ...errors import InputError
from ..parts import Outline, Part, outline
from ..tags import counted_noun
from .chunks import Chunker
from .clauses import sentences
from .lexicon import prompt_words, sentence_words, word_lists
from .roles import assign_roles
from .senses import tag_class
from .style import mark_style
from .tagger import Tagger, make_tagger, shipped_model
from .tokens import WORD, Token, mark_lettering, tokenize
from .tree import Phrase, PromptTree, Unit, Word
from .words import NOUN, VERB, kinds


@lru_cache(maxsize=1)
def default_tagger() -> Tagger:
    """The tagger that ships with the package, read once."""
    return make_tagger(shipped_model(), prompt_words(), tag_class)


@lru_cache(maxsize=1)
def sentence_tagger() -> Tagger:
    """The tagger of what is written as a sentence, read once: there many a noun is a verb ("moss carpets the logs")."""
    return make_tagger(shipped_model("tagger_sentences.json.gz"), sentence_words(), tag_class)


_TITLE = re.compile(
    r"""(?i)\b(?:text|caption|title|lettering|words?|slogan|inscription|label|logo|headline)\s*[:=]\s*["'“‘«„]$"""
)
_CHAIN = 32  # steps up a chain of governors; beyond, the first content phrase is as good
_READINGS = 3
_UNSAID = frozenset(["the", "a", "an", "of", "and", "or"])  # never part of a phrase, wherever a rule put them


def parse(prompt: str) -> PromptTree:
    """Parse a prompt into content phrases and style tags.

    Every noun makes a phrase with the adjectives, numbers, compound nouns, verbs and predicate adjectives that belong
    to it; articles, prepositions, conjunctions and forms of "be" are left out. Markup (weights, LoRA tags, parameters,
    …), headings and the keys of JSON are no text. What the prompt keeps out of the picture ("no hat", "without
    glasses", "--no text") is in no phrase at all: nothing may ask for it; it is in `absent`. What is in another
    language is a phrase that says so (`is_foreign`).

    Raises InputError if `prompt` is not a string; any string is parsed, whatever is in it.
    """
    if not isinstance(prompt, str):
        raise InputError(f"prompt: expected a string, got {type(prompt).__name__}; pass one prompt at a time")
    outlined = outline(prompt)
    chunker, units = _read(prompt, outlined)
    walls: frozenset[int] = frozenset()
    for _ in range(_READINGS if outlined.groups else 0):
        more = _walls(outlined, chunker, units) - walls
        if not more:
            break
        walls |= more  # what stands between walls may read otherwise, and be glued then
        outlined = outline(prompt, walls)
        chunker, units = _read(prompt, outlined)
    foreign = [_foreign(prompt, part) for part in outlined.parts if part.kind == "foreign"]
    absent = tuple(
        Phrase(words, _head(unit, words), prompt=prompt)
        for unit in chunker.absent
        if unit.head is not None and (words := _words(prompt, _sorted(unit)))
    )
    return PromptTree(prompt, _phrases(prompt, units, foreign, outlined.regions), absent)


def _read(prompt: str, outlined: Outline) -> tuple[Chunker, list[Unit]]:
    tokens = tokenize(outlined.text)
    if tokens:
        _mark(prompt, tokens, outlined)
        plain = _plain_sentences(tokens)
        if sum(end - start + 1 for start, end in plain) < len(tokens):
            default_tagger().tag(tokens)
            plain = _plain_sentences(tokens)
        for start, end in plain:
            sentence_tagger().tag(tokens[start : end + 1])
    chunker = Chunker(tokens, assign_roles(tokens))
    return chunker, mark_style(chunker.run())


def _plain_sentences(tokens: Sequence[Token]) -> list[tuple[int, int]]:
    return [(start, end) for start, end in sentences(tokens) if _is_plain_sentence(tokens, start, end)]


def _is_plain_sentence(tokens: Sequence[Token], start: int, end: int) -> bool:
    """Whether a stretch is punctuated like a sentence of a text: no "!!!" at its end, no heap of names in it."""
    capitals = sum(token.text[:1].isupper() for token in tokens[start + 1 : end])
    names = capitals > 2 and 5 * capitals > end - start
    return (end == len(tokens) or len(tokens[end].text) == 1) and not names


def _walls(outlined: Outline, chunker: Chunker, units: Sequence[Unit]) -> frozenset[int]:
    """The edges of weight groups that must be walls: where words inside and outside would be one phrase.

    A group without a noun ("(kneeling:1.3)") is no thing; it goes on belonging to what it belongs to without brackets.
    So brackets around what is a phrase anyway change nothing, and a prompt reads the same once it is emphasised.
    """
    tokens = chunker.tokens
    starts = [token.start for token in tokens]
    owners = {token.start: unit for unit in units for token in unit.words + unit.verbs}
    loose: set[int] = set()
    parts, walls = word_lists()["partitive"], set[int]()
    things = []
    for group in outlined.groups:
        inside = range(bisect_left(starts, group.start), bisect_left(starts, group.end))
        if any(chunker.roles[i] == NOUN or _names(tokens[i], len(inside) > 1 and i == inside[-1]) for i in inside):
            things.append(group)
            if len(inside) > 1 and chunker.roles[inside[-1]] == VERB and tokens[inside[-1]].lower in parts:
                walls.update(group.walls)  # "(pork slices) (green onions)": nothing is sliced
        else:
            loose.update(inside)
    foreign = [(part.start, part.end) for part in outlined.parts if part.kind == "foreign"]
    for group in things:
        for edge in group.walls:
            right = bisect_left(starts, edge)
            between = 0 < right < len(tokens) and not {right - 1, right} & loose and not tokens[right].quoted
            unit = owners.get(starts[right - 1]) if between else None
            glued = unit is not None and unit is owners.get(starts[right])
            if glued or any(start <= edge < end for start, end in foreign):
                walls.update(group.walls)
    return frozenset(walls)


def _names(token: Token, last: bool) -> bool:
    """Whether a word read as something else may be a noun: the smile of "(girl) (smile)", an unknown `last` one."""
    if token.kind != WORD or token.lower.endswith(("ing", "ed", "ly")):
        return False
    known = set(kinds(token.lower))
    return bool({"NN", "NNS"} & known) or (last and known == {""})


def _mark(prompt: str, tokens: Sequence[Token], outlined: Outline) -> None:
    """Write into the tokens what part they stand in, and which of them count something."""
    for token, kind in zip(tokens, outlined.kinds(token.start for token in tokens), strict=True):
        token.part = kind
        token.titled = token.quoted and _TITLE.search(prompt[max(0, token.start - 30) : token.start]) is not None
        token.counted = token.text[0].isdigit() and counted_noun(token.text) is not None
    for before, token in pairwise(tokens):
        token.titled = token.titled or (token.quoted and before.quoted and before.titled)
    mark_lettering(tokens, word_lists()["lettering"])


def _foreign(prompt: str, part: Part) -> Phrase:
    """A foreign part as one phrase."""
    text = prompt[part.start : part.end]
    words = [Word(token.text, part.start + token.start) for token in tokenize(text) if token.kind == WORD]
    words = words or [Word(text, part.start)]
    return Phrase(tuple(words), words[-1], prompt=prompt, language=part.language)


def _sorted(unit: Unit) -> list[Token]:
    """The words of a unit in the order of the prompt, each once."""
    words = {token.start: token for token in unit.words + unit.verbs if token.kind == WORD}
    return [words[start] for start in sorted(words)]


def _phrases(
    prompt: str, units: Sequence[Unit], foreign: Sequence[Phrase], regions: Sequence[int]
) -> tuple[Phrase, ...]:
    """Units with words, and foreign parts, in the order of the prompt; ancestors as indices.

    What hangs on nothing hangs on the thing that is counted in front of it ("1girl, red hair"), else on the first one
    of its region of the picture, and that on the first of all.
    """
    kept: list[tuple[Unit | None, Phrase]] = [(None, phrase) for phrase in foreign]
    for unit in units:
        words = _words(prompt, _sorted(unit))
        if words:
            kept.append((unit, Phrase(words, _head(unit, words), None, unit.style, prompt)))
    kept.sort(key=lambda entry: entry[1].words[0].start)
    positions = {id(unit): index for index, (unit, _) in enumerate(kept) if unit is not None}
    root = next((index for index, (_, phrase) in enumerate(kept) if not phrase.is_style), None)
    phrases = []
    main, region = root, 0
    for index, (source, phrase) in enumerate(kept):
        here = bisect_right(regions, phrase.words[0].start)
        counts = source is not None and source.head is not None and source.head.counted
        if counts or (here != region and not phrase.is_style):
            main, region = index, here
        if not phrase.is_style and index != root:
            ancestor = _ancestor(source, positions, index, root if index == main else main)
            phrase = replace(phrase, ancestor=ancestor)
        phrases.append(phrase)
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
    unit: Unit | None,
    positions: dict[int, int],
    index: int,
    root: int | None,
) -> int | None:
    """Index of the nearest content unit above; the first content phrase where there is none."""
    above, seen = None if unit is None else unit.governor, 0
    while above is not None and seen < _CHAIN:
        position = positions.get(id(above))
        # Governors stand in front; anything else would be an error of a rule, and could close a circle.
        if position is not None and position < index and not above.style:
            return position
        above, seen = above.governor, seen + 1
    return root
