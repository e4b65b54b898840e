"""Fixed phrases: prepositions of several words, known tags, signs that forbid, what keeps something out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .lexicon import phrases_of, style_lexicon, wide_prepositions, word_lists
from .tokens import AND, BREAKS, HYPHEN, WORD, Token
from .words import GLUE, MODIFIER, NEGATION, NOUN, PREPOSITION, SKIP, VERB


def known_terms(tokens: Sequence[Token]) -> dict[int, str]:
    """Roles of prepositions of several words, and of fragments that are one known tag ("dungeons & dragons")."""
    fixed: dict[int, str] = {}
    wide, terms = wide_prepositions(), style_lexicon().terms
    adverbs = phrases_of("adverb-phrases")
    signs, negations, fillers = word_lists()["no-signs"], phrases_of("negation-phrases"), phrases_of("not-negated")
    pictures, moves, small = phrases_of("picture-phrases"), word_lists()["camera-moves"], word_lists()["small"]
    negating = fillers.keys() | negations.keys()
    start = 0
    for i in range(len(tokens) + 1):
        if i < len(tokens) and tokens[i].kind not in BREAKS:
            for words in wide.get(tokens[i].lower, ()):
                verb = i + len(words) < len(tokens) and tokens[i + len(words)].tag == "VB"
                if verb and words in (("down", "to"), ("up", "to")):
                    continue  # "stooping down to enter"
                if tuple(token.lower for token in tokens[i : i + len(words)]) == words:
                    for k in range(i, i + len(words)):
                        fixed[k] = PREPOSITION  # all of it: "next to jupiter" is no infinitive
                        tokens[k].tag = "IN"
                    break
            if i in fixed:
                continue
            if tokens[i].lower in ("years", "year", "yrs") and _is_age(tokens, i):
                for k in (i, i + 1):
                    fixed[k], tokens[k].tag = MODIFIER, "JJ"
                continue
            if i + 1 < len(tokens) and f"{tokens[i].lower} {tokens[i + 1].lower}" in moves:
                fixed[i], fixed[i + 1] = MODIFIER, NOUN
                continue
            if length := starts_phrase(tokens, i, pictures):
                fixed |= dict.fromkeys(range(i, i + length - 1), GLUE) | {i: MODIFIER, i + length - 1: NOUN}
                continue
            if length := starts_phrase(tokens, i, adverbs):
                for k in range(i, i + length):
                    fixed[k], tokens[k].tag = SKIP, "RB"
            elif tokens[i].lower in negating and (
                (length := starts_phrase(tokens, i, fillers)) or (length := starts_phrase(tokens, i, negations))
            ):
                role = SKIP if starts_phrase(tokens, i, fillers) else NEGATION
                fixed |= dict.fromkeys(range(i, i + length), role)
            elif length := _bans(tokens, i):
                fixed |= dict.fromkeys(range(i, i + length), NEGATION)
            elif _forbids(tokens, i) and (end := _sign_behind(tokens, i, signs)):
                fixed |= dict.fromkeys(range(i, end), MODIFIER) | {end: NOUN}  # "no smoking sign"
            elif tokens[i].lower == "lettering" and not tokens[i].quoted and not _bears_lettering(tokens, i):
                fixed[i], tokens[i].tag = NOUN, "NN"
            elif _bears_lettering(tokens, i):
                if tokens[i + 1].lower == "out" and not tokens[i + 1].quoted:
                    fixed[i + 1], tokens[i + 1].tag = SKIP, "RP"
                fixed[i], tokens[i].tag = VERB, "VBG" if tokens[i].lower.endswith("ing") else "VBN"
            elif tokens[i].quoted:
                fixed[i] = NOUN  # text to be shown, whatever its words are elsewhere
            elif tokens[i].lower == "close" and i + 1 < len(tokens) and tokens[i + 1].lower in ("up", "ups"):
                fixed[i], fixed[i + 1] = MODIFIER, NOUN
            elif (
                tokens[i].lower == "close"
                and i + 2 < len(tokens)
                and tokens[i + 1].kind == HYPHEN
                and (tokens[i + 2].lower in ("up", "ups"))
            ):
                fixed[i], fixed[i + 1], fixed[i + 2] = MODIFIER, GLUE, NOUN
            continue
        if 1 < i - start <= 6 and " ".join(token.lower for token in tokens[start:i]) in terms:
            for k in range(start, i):
                filler = tokens[k].kind != WORD or tokens[k].lower in small
                fixed[k] = GLUE if filler else NOUN if k == i - 1 else MODIFIER
        start = i + 1
    return fixed


def starts_phrase(tokens: Sequence[Token], i: int, phrases: Mapping[str, tuple[tuple[str, ...], ...]]) -> int:
    """How many words the longest of the fixed phrases that starts at token `i` has; 0 if none does."""
    for words in phrases.get(tokens[i].lower, ()):
        if tuple(token.lower for token in tokens[i : i + len(words)]) == words:
            return len(words)
    return 0


def _bans(tokens: Sequence[Token], i: int) -> int:
    """How many words at the start of a clause keep out of the picture what follows: "avoid …", "leave out …"."""
    listed = word_lists()["forbidding"]
    if tokens[i].lower not in listed and tokens[i].lower not in phrases_of("forbidding-phrases"):
        return 0
    before = tokens[i - 1] if i else None
    opens = (
        before is None or before.kind in (*BREAKS, AND) or before.lower in ("and", "please", "but", "also", "i", "we")
    )
    if not opens or i + 1 == len(tokens) or tokens[i + 1].kind != WORD:
        return 0
    if length := starts_phrase(tokens, i, phrases_of("forbidding-phrases")):
        return length
    return int(tokens[i].lower in listed)


def is_ban(tokens: Sequence[Token], i: int) -> bool:
    """Whether the word of negation at `i` keeps out of the picture all that a list behind it names."""
    return _bans(tokens, i) > 0


def _forbids(tokens: Sequence[Token], i: int) -> bool:
    """Whether the words of a sign that forbids may start here: "no …", "do not …"."""
    return tokens[i].lower == "no" or (tokens[i].lower == "do" and i + 1 < len(tokens) and tokens[i + 1].lower == "not")


def _bears_lettering(tokens: Sequence[Token], i: int) -> bool:
    """Whether a participle is followed by what is to be read: "a sign labeled 'OPEN'", "lights spelling LOVE"."""
    word, k = tokens[i].lower, i + 1
    if k + 1 < len(tokens) and tokens[k].lower == "out":
        k += 1  # "spelling out 'MARRY ME'"
    if i == 0 or k >= len(tokens) or not tokens[k].quoted or tokens[i].quoted:
        return False
    described = tokens[i - 1].tag.startswith(("JJ", "VBN", "DT")) or tokens[i - 1].kind in BREAKS
    if word == "lettering" and (described or tokens[i - 1].lower in word_lists()["colors"]):
        return False  # "bold lettering 'FRESH JUICE'"
    return word in word_lists()["lettering"] and word.endswith(("ed", "ing")) and tokens[i - 1].kind == WORD


def _is_age(tokens: Sequence[Token], i: int) -> bool:
    """Whether the years at `i` are somebody's age: "25 years old", of no thing in the picture."""
    return i > 0 and tokens[i - 1].tag == "CD" and i + 1 < len(tokens) and tokens[i + 1].lower == "old"


def _sign_behind(tokens: Sequence[Token], i: int, signs: frozenset[str]) -> int:
    """Index of the sign that forbids something, a few words behind a "no"; 0 if none is there."""
    for k in range(i + 2, min(i + 5, len(tokens))):
        if tokens[k].lower in signs:
            return k
        if tokens[k].kind not in (WORD, HYPHEN, AND) or tokens[k].lower in word_lists()["small"]:
            break
    return 0
