"""What a word does in a prompt, and questions about words in their place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from .lexicon import common_words, style_lexicon, word_lists
from .senses import tag_class
from .tokens import AND, BREAKS, HYPHEN, Token

# What a word does; one letter each, see `roles`.
NOUN, MODIFIER, ADVERB, VERB, SKIP, PREPOSITION, CONJUNCTION = "N", "A", "R", "V", "B", "P", "C"
DETERMINER, RELATIVE, NEGATION, PARTICLE, GLUE, POSSESSIVE, BREAK, END = "D", "W", "X", "T", "H", "S", ",", "."
BARRIER = "|"  # a wall
STARTS = (BREAK, END, BARRIER)
NOMINAL = NOUN + MODIFIER

_LOOK_AHEAD = 12  # words; noun phrases are not longer, and the time stays linear


@lru_cache(maxsize=8192)
def kinds(word: str) -> tuple[str, ...]:
    """Tags the word (lower case) is known to take; ("",) for an unknown one."""
    return tuple((common_words().get(word) or tag_class(word)).split("|"))


def is_verbal(token: Token | None) -> bool:
    """Whether the token may continue a verb group."""
    return token is not None and (token.tag.startswith("VB") or token.lower.endswith("ing") or token.tag == "RB")


def at_preposition(token: Token | None) -> bool:
    """Whether the token is a preposition or a particle."""
    return token is not None and (token.tag in ("IN", "TO", "RP") or token.lower in ("by", "with", "in"))


def nominal_ahead(tokens: Sequence[Token], i: int) -> bool:
    """Whether a noun follows in the same phrase, with nothing but modifiers between."""
    for k, token in enumerate(tokens[i + 1 : i + 1 + _LOOK_AHEAD], start=i + 1):
        tag = token.tag
        if tag.startswith("NN"):
            # "man smiling wearing": a participle that was read as a noun is none.
            word, lists = token.lower, word_lists()
            if (
                not word.endswith("ing")
                or word in lists["things-ing"]
                or word in style_lexicon().media
                or word in style_lexicon().heads
            ):
                return True
            follower = tokens[k + 1] if k + 1 < len(tokens) else None
            if at_preposition(follower) and "VBG" in kinds(word):
                return False
            return word not in lists["transitive"] and (word in lists["noun-ing"] or not follows_phrase(follower))
        if token.kind == HYPHEN or tag in ("JJ", "JJR", "JJS", "CD", "VBN", "RB", "RBS"):
            continue
        if tag == "VBG" and token.lower not in word_lists()["transitive"]:
            continue
        return False
    return False


def follows_phrase(token: Token | None) -> bool:
    """Whether the word behind a participle starts something new, so that the participle is a verb."""
    if token is None or token.kind in (*BREAKS, AND):
        return True
    return token.tag in ("DT", "PRP$", "PDT", "IN", "TO", "RP", "PRP", "CC", "WDT", "WRB", "EX", "MD")
