"""Adjectives of sentences that stand without a noun: what something looks like, how it was put, what colour it gets."""

from __future__ import annotations

from collections.abc import Sequence

from .lexicon import word_lists
from .senses import ADJECTIVE, code_of
from .tokens import COMMA, WORD, Token

_LOOK_AHEAD = 12  # words between an adjective and its noun


def mark_painted(tokens: Sequence[Token], found: dict[int, str]) -> None:
    """Colours behind their participles, in sentences or not: "a truck painted bright orange"."""
    for i in range(2, len(tokens)):
        if tokens[i].lower not in word_lists()["colors"] or not ends(tokens, i + 1, len(tokens)):
            continue
        k = i - 1
        while k > 1 and (tokens[k].tag.startswith(("JJ", "RB")) or tokens[k].lower in word_lists()["colors"]):
            k -= 1
        if tokens[k].lower in word_lists()["painted"] and tokens[k - 1].kind == WORD:
            found[k] = "verb"
            found.update(dict.fromkeys(range(k + 1, i + 1), "predicate"))


def mark_predicates(tokens: Sequence[Token], start: int, end: int, found: dict[int, str]) -> None:
    """Adjectives behind linking verbs, in a list, too: "looks crisp, clean and delicious"."""
    lists = word_lists()
    for i in range(start, end - 1):
        if tokens[i].lower not in lists["linking"] and tokens[i].lower not in lists["be"]:
            continue
        if tokens[i].lower in lists["linking"] and not tokens[i].tag.startswith("VB"):
            continue
        last, k = i, i + 1
        adjectives: list[int] = []
        while k < end:
            token = tokens[k]
            participle = token.tag == "VBN" and k + 1 < end and tokens[k + 1].tag in ("IN", "TO", "RP")
            bare = k == i + 1 and tokens[i].lower in lists["linking"] and _may_describe(tokens, k, end)
            if (bare or _is_adjective(token)) and not participle and not _describes_noun(tokens, k, end):
                adjectives.append(k)
                last = k
            elif token.tag != "RB" and token.kind != COMMA and token.tag != "CC":
                break
            k += 1
        if last > i:
            found.update((k, "predicate") for k in adjectives)


def mark_results(tokens: Sequence[Token], start: int, end: int, found: dict[int, str]) -> None:
    """How something was put: "his hat tipped low over his eyes"."""
    for i in range(start + 1, end):
        token, before = tokens[i], tokens[i - 1]
        after = tokens[i + 1] if i + 1 < end else None
        put = before.tag in ("VBN", "VBD") or (before.lower.endswith("ed") and before.tag == "JJ")
        put = put and i > start + 1 and tokens[i - 2].tag.startswith("NN")
        put = put or (before.tag in ("VBZ", "VBP") and before.lower not in word_lists()["be"])
        describes = token.tag in ("NN", "JJ") and code_of(token.lower)[:1] == ADJECTIVE
        if put and describes and (after is None or after.kind != WORD or after.tag in ("IN", "TO", "RB")):
            token.tag = "JJ"
            found[i - 1], found[i] = "verb", "predicate"


def mark_colored(tokens: Sequence[Token], start: int, end: int, found: dict[int, str]) -> None:
    """What colour something gets: "turns the sand copper"."""
    for i in range(start + 2, end):
        token = tokens[i]
        shown = (
            token.lower in word_lists()["colors"] and tokens[i - 1].tag[:2] in ("NN", "VB") and ends(tokens, i + 1, end)
        )
        if shown and any(before.lower in word_lists()["coloring"] for before in tokens[max(start, i - 6) : i]):
            token.tag, found[i] = "JJ", "predicate"


def ends(tokens: Sequence[Token], i: int, end: int) -> bool:
    """Whether no word of the clause stands at `i`."""
    return i >= end or tokens[i].kind != WORD or tokens[i].tag == "CC"


def _is_adjective(token: Token) -> bool:
    if token.kind != WORD or token.quoted:
        return False
    if token.tag in ("JJ", "JJR"):
        return True
    return token.tag in ("NN", "VB", "RB", "VBN") and (code_of(token.lower)[:1] == ADJECTIVE or token.tag == "VBN")


def _may_describe(tokens: Sequence[Token], k: int, end: int) -> bool:
    """Whether what was read as a noun without an article ends a clause as an adjective does: "stays crisp"."""
    described = tokens[k].tag == "NN" and not tokens[k].quoted and ADJECTIVE.lower() in code_of(tokens[k].lower)
    return described and ends(tokens, k + 1, end)


def is_comparative(word: str) -> bool:
    """Whether the word is a known adjective in -er: "darker"."""
    bases = (word[:-2], word[:-1], word[:-3] + "y") if word.endswith("ier") else (word[:-2], word[:-1], word[:-3])
    return word.endswith("er") and not code_of(word) and any(code_of(base)[:1] == ADJECTIVE for base in bases)


def _describes_noun(tokens: Sequence[Token], i: int, end: int) -> bool:
    """Whether a noun follows that the adjective belongs to."""
    for token in tokens[i + 1 : min(end, i + _LOOK_AHEAD)]:
        if token.tag.startswith("NN") and not _is_adjective(token):
            return True
        if not (token.tag in ("JJ", "VBN", "VBG", "CD") or token.kind == "hyphen" or _is_adjective(token)):
            return False
    return False
