"""Whether a phrase, seen alone, is made of style vocabulary."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .lexicon import common_words, style_lexicon, word_lists
from .tokens import Token
from .units import Unit
from .verb_roles import kinds

_ADJECTIVE_ENDINGS = re.compile(
    r"(?:ous|ful|less|esque|ish|istic|able|ible|punk|core|wave|ism|inspired|like|ized|ised)$"
)
_NUMBER = re.compile(r"[\d ]+(?:k|d|mm|s|p|fps|px|th)?|\d[\d.:/x]*\w{0,3}|[fƒ] ?/? ?\d.*")


def is_free_style(unit: Unit) -> bool:
    """Whether the unit would be a tag if it stood between commas."""
    lexicon, words = style_lexicon(), unit.lower
    joined = " ".join(words)
    if unit.determined and len(words) == 1 and joined not in lexicon.tail_words and joined not in lexicon.terms:
        return False  # "the drowned and the saved"
    if unit.key in word_lists()["loose-heads"] and unit.verbs:
        return False  # "light filtering through" happens in the picture
    if joined in lexicon.terms or unit.key in lexicon.heads or _NUMBER.fullmatch(joined):
        return True
    if unit.kind == "predicate":
        return False
    if any(joined == term or joined.startswith(term + " ") for term in ("trending",)):
        return True
    if all(_style_word(token, len(words), token is unit.head) for token in unit.words):
        return True
    if (
        words[0] in lexicon.sites
        and unit.words[0].lower not in lexicon.media
        and not unit.verbs
        and all(_NUMBER.fullmatch(word) or len(word) < 3 or word not in common_words() for word in words[1:])
    ):
        return True  # "canon eos r 5", "nikon d850"
    if covered(words) or (" ".join(words[-2:]) in lexicon.common_terms and covered_or_adjectives(unit)):
        return True
    return unit.head is not None and unit.head.lower in lexicon.strong_media and covered(words[:-1])


def is_shorthand(words: Sequence[str]) -> bool:
    """An abbreviation no lexicon knows ("osl", "r/artwork"): jargon of a community rather than a thing."""
    if len(words) == 2 and words[0] in ("r", "u"):
        return True
    return len(words) == 1 and len(words[0]) <= 3 and words[0] not in common_words()


def covered_or_adjectives(unit: Unit) -> bool:
    """Whether all words but the last two are adjectives or style words: "dutch still life"."""
    return all(_style_word(token, len(unit.words), False) for token in unit.words[:-2])


def _style_word(token: Token, count: int, is_head: bool) -> bool:
    word = token.lower
    lexicon = style_lexicon()
    if word in lexicon.words or word in lexicon.heads or word in lexicon.strong_media:
        return True
    tag = token.tag
    if count == 1 and word in word_lists()["adjective-ing"] | word_lists()["transitive"]:
        return True
    if tag in ("JJ", "JJR", "JJS", "RB", "RBR", "RBS", "VBN", "VBG", "CD", "VBD"):
        return not (tag == "JJ" and (count == 1 or is_head) and "NN" in kinds(word))
    if word in common_words():
        return False
    return bool(_ADJECTIVE_ENDINGS.search(word))


def covered(words: Sequence[str]) -> bool:
    """Whether known terms, laid end to end, cover the words."""
    lexicon = style_lexicon()
    reach = [True] + [False] * len(words)
    for end in range(1, len(words) + 1):
        for start in range(max(0, end - 4), end):
            if reach[start]:
                part = words[start:end]
                single = len(part) == 1 and (
                    part[0] in lexicon.words or part[0] in lexicon.heads or part[0] in lexicon.media
                )
                if single or " ".join(part) in lexicon.terms:
                    reach[end] = True
                    break
    return reach[-1]


def subject_length(unit: Unit) -> int:
    """How many words in front of the medium name a thing: "steampunk walter white portrait" has three."""
    lexicon, words = style_lexicon(), unit.lower
    end = len(words)
    while end:
        pair = " ".join(words[end - 2 : end]) if end > 1 else ""
        if pair == "close up" or pair in word_lists()["medium-tails"]:
            end -= 2
        elif words[end - 1] in lexicon.tail_words:
            end -= 2 if pair in lexicon.terms else 1
        else:
            break
    named = any(
        token.tag.startswith("NN") and token.lower not in lexicon.words for token in unit.words[:end]
    ) and not covered(words[:end])
    return end if named else 0
