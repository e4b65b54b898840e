"""Mends of tags that the tagger, trained on sentences, gets wrong in prompts with places and colours."""

from __future__ import annotations

from collections.abc import Sequence

from .lexicon import wide_prepositions, word_lists
from .tokens import Token
from .verb_roles import kinds, nominal_ahead

_OPENING_TAGS = ("DT", "CD", "IN", "VBN", "JJ", "VBG")


def mend_tags(tokens: Sequence[Token]) -> None:
    """Write better tags into prepositions, verbs of place and nouns behind colours."""
    for i in range(len(tokens)):
        if _is_preposition(tokens, i):
            tokens[i].tag = "IN"
        elif _is_placed(tokens, i):
            tokens[i].tag = "VBZ" if tokens[i].lower.endswith("s") else "VBP"
    for i in range(len(tokens) - 1):
        if _is_colored_noun(tokens, i):
            tokens[i].tag, tokens[i + 1].tag = "JJ", "NN"


def _is_preposition(tokens: Sequence[Token], i: int) -> bool:
    """Whether a word read as an adjective is a preposition: "dog floating above water", "boat, over clouds"."""
    word = tokens[i].lower
    if not tokens[i].tag.startswith("JJ") or word not in word_lists()["place-prepositions"] or "IN" not in kinds(word):
        return False
    behind = i > 0 and tokens[i - 1].tag.startswith(("NN", "VB"))
    return "JJ" not in kinds(word) or (behind and nominal_ahead(tokens, i))


def _is_placed(tokens: Sequence[Token], i: int) -> bool:
    """Whether a word read as a noun is a verb of place: "a cat rests on", "that sits in"."""
    word = tokens[i].lower
    if i == 0 or i + 1 == len(tokens) or not tokens[i].tag.startswith("NN") or word not in word_lists()["posture"]:
        return False
    before, after = tokens[i - 1], tokens[i + 1]
    if word.endswith("ing") or after.tag not in ("IN", "RB", "RP"):
        return False
    if after.lower not in word_lists()["place-prepositions"] and after.lower not in wide_prepositions():
        return False
    if before.lower in ("that", "which", "who"):
        return True
    if not before.tag.startswith("NN") and not (before.tag == "JJ" and "NN" in kinds(before.lower)):
        return False
    several = before.tag == "NNS" or (before.lower.endswith("s") and not before.lower.endswith("ss"))
    return word.endswith("s") != several  # "a cat rests", "cats rest"


def _is_colored_noun(tokens: Sequence[Token], i: int) -> bool:
    """Whether the word behind a colour is its noun, read as something else: "an orange square", "a gold cross"."""
    color, noun = tokens[i], tokens[i + 1]
    colors = word_lists()["colors"]
    if color.lower not in colors or color.tag not in ("JJ", "NN") or noun.tag not in ("JJ", "VB", "VBP"):
        return False
    opens = i == 0 or tokens[i - 1].tag in _OPENING_TAGS
    return opens and noun.lower not in colors and "NN" in kinds(noun.lower) and not nominal_ahead(tokens, i + 1)
