"""Names: known artists, and words that look like somebody's name."""

from __future__ import annotations

from collections.abc import Sequence

from .lexicon import common_words, style_lexicon, word_lists
from .tokens import Token


def is_known_artist(words: Sequence[str]) -> bool:
    """Whether the words (lower case) are, or end with, the name of an artist of data/artists.txt."""
    artists = style_lexicon().artists
    if " ".join(words) in artists:
        return True
    return any(" ".join(words[-length:]) in artists for length in range(2, min(5, len(words))))


def is_certain_name(words: Sequence[Token]) -> bool:
    """A name even where a thing may stand ("surrounded by …"): several words, or a capital."""
    several = len(words) > 1 or words[0].text[:1].isupper()
    return several and looks_like_name(words)


def looks_like_name(words: Sequence[Token]) -> bool:
    """Whether the words look like somebody's name: first names, capitals, words no lexicon knows."""
    if not 1 <= len(words) <= 5:
        return False
    lexicon, common = style_lexicon(), common_words()
    plain = [token for token in words if token.lower not in word_lists()["name-particles"]]
    if not plain:
        return False
    first = plain[0].lower
    starts_with_name = first in lexicon.first_names or first.endswith(".")
    strange = 0
    for token in plain:
        word = token.lower
        known = common.get(word)
        named = word in lexicon.first_names or word in lexicon.surnames or (len(word) <= 2 and word.endswith("."))
        if named or known is None or known == "NNP" or (token.text[:1].isupper() and token.tag.startswith("NNP")):
            strange += 1
        if word in lexicon.words and not named:
            return False
    if starts_with_name and len(plain) > 1:
        return strange >= 1 and all(token.tag != "IN" for token in plain)
    return strange == len(plain)
