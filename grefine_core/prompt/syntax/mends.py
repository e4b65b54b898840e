"""Mends of tags that the tagger, trained on sentences, gets wrong in prompts with places and colours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise, zip_longest

from .compounds import is_pair
from .lexicon import common_words, style_lexicon, wide_prepositions, word_lists
from .senses import ADVERB, code_of, names_thing
from .tokens import BREAKS, WORD, Token
from .verbs import IRREGULAR_PLURALS, somebody_acts
from .words import kinds, nominal_ahead

_OPENING_TAGS = ("DT", "CD", "IN", "VBN", "JJ", "VBG")


_CLOSED_TAGS = frozenset(["PRP$", "PRP", "DT", "PDT", "WDT", "WP", "WP$", "MD", "CC", "EX", "POS", "TO"])


def mend_tags(tokens: Sequence[Token]) -> None:
    """Write better tags into prepositions, verbs of place, counted things and nouns behind colours."""
    for token, after in zip_longest(tokens, tokens[1:]):
        unknown = token.tag.startswith("NN") and token.text.islower() and kinds(token.lower) == ("",)
        if token.tag in ("JJ", "VB", "VBP") and token.text.islower() and _only_noun(token.lower):
            token.tag = "NN"  # "ficus"
        if token.lower == "round" and token.tag == "IN" and after is not None and after.tag.startswith("NN"):
            token.tag = "JJ"
        if token.lower == "how" and after is not None and after.lower == "to":
            token.tag = "WRB"
        if token.lower == "cans":
            token.tag = "NNS"
        if token.lower.startswith("mid-") and (after is None or not after.tag.startswith(("NN", "JJ"))):
            token.tag = "RB"  # "mid-air"
        if unknown and token.text.endswith("ly"):
            token.tag = "RB"  # "dreamily"
    for i, token in enumerate(tokens):
        if token.tag in _CLOSED_TAGS and len(token.lower) > 4 and token.text.isalpha() and kinds(token.lower) == ("",):
            token.tag = "NN"  # a word that the tagger does not know is none of those
        ends = i + 1 == len(tokens) or tokens[i + 1].kind in BREAKS
        alone = ends and (i == 0 or tokens[i - 1].kind in BREAKS)
        if alone and token.lower.endswith("ing") and len(token.lower) > 6 and kinds(token.lower) == ("",):
            token.tag = "VBG"  # "unsheathing" as a tag
        if _is_misread_thing(tokens, i, ends):
            token.tag = "NN"
    for token, after in pairwise(tokens):
        adverb = after.tag == "RB" and ADVERB not in code_of(after.lower) and names_thing(after.lower)
        if adverb and token.tag == "JJ" and token.kind == WORD and after.lower not in word_lists()["end-adverbs"]:
            after.tag = "NN"  # "snowy hill"
        if after.tag in ("IN", "MD", "JJ", "VB") and is_pair(token.lower, after.lower) and names_thing(after.lower):
            after.tag = "NN"  # "cutting board", "spray can"
        shown = ("says", "reads", "spells")
        if (
            token.lower == "one"
            and (after.lower in shown or after.lower in word_lists()["finite-verbs"])
            and _is_third(after)
        ):
            token.tag, after.tag = "PRP", "VBZ"  # "one wears a hat"
        unknown = token.lower.endswith("ed") and token.tag.startswith("NN") and token.text.islower()
        if unknown and kinds(token.lower) == ("",) and after.lower in ("with", "by", "in", "on", "into"):
            token.tag = "VBN"  # "engraved with"
    for i in range(len(tokens)):
        if tokens[i].counted:
            tokens[i].tag = "NNS" if tokens[i].lower.endswith(("s", "men")) else "NN"
            continue
        if _is_preposition(tokens, i):
            tokens[i].tag = "IN"
        elif _ends_clause(tokens, i):
            tokens[i].tag = "RB"
        elif _is_a_part(tokens, i):
            tokens[i].tag = "NNS"
        elif _is_placed(tokens, i) or _is_finite(tokens, i):
            tokens[i].tag = "VBZ" if tokens[i].lower.endswith("s") else "VBP"
            if tokens[i - 1].lower == "her" and tokens[i - 1].tag == "PRP$":
                tokens[i - 1].tag = "PRP"  # "Behind her stand a horse and a dog"
    for i in range(len(tokens) - 1):
        if _is_colored_noun(tokens, i):
            tokens[i].tag, tokens[i + 1].tag = "JJ", "NN"


def _is_third(token: Token) -> bool:
    return token.lower.endswith("s")


def _only_noun(word: str) -> bool:
    """Whether WordNet knows the word as a noun for a thing, and the treebank does not know it."""
    return word not in common_words() and code_of(word).isupper() and names_thing(word)


def _is_a_part(tokens: Sequence[Token], i: int) -> bool:
    """Whether a word that may be a verb is what something is in: "dew drops", "pork slices", alone in a fragment."""
    if i + 1 < len(tokens) and tokens[i + 1].kind not in BREAKS:
        return False
    opens = next((k for k in range(i, max(-1, i - 4), -1) if k == 0 or tokens[k - 1].kind in BREAKS), None)
    lists = word_lists()
    part = tokens[i].lower in lists["partitive"] or tokens[i].lower in lists["plurals-like-verbs"]
    if opens is None or opens == i or not part or tokens[i].lower[-1:] != "s":
        return False
    return all(token.tag.startswith(("NN", "JJ", "VBN", "CD")) for token in tokens[opens:i])


_DESCRIBING = re.compile(r"(?:ous|ful|less|like|(?<!f)ish|[ai]ble|ed|ing|an|ese|core|punk)$")


def _is_misread_thing(tokens: Sequence[Token], i: int, ends: bool) -> bool:
    """Whether a word read as a verb or an adjective is a thing: "watering can", "old reliquary"."""
    token, before = tokens[i], tokens[i - 1] if i else None
    if token.lower == "can" and before is not None:
        return before.lower in word_lists()["cans"] or (ends and before.tag in ("NN", "VBG", "VBN", "JJ"))
    return token.tag.startswith("JJ") and _is_unknown_thing(tokens, i, ends)


def _is_unknown_thing(tokens: Sequence[Token], i: int, ends: bool) -> bool:
    """Whether a word that no lexicon has is a thing though it ends like an adjective: "amplifier", "old reliquary"."""
    token = tokens[i]
    word = token.lower
    if kinds(word) != ("",) or not token.text.isalpha() or word in style_lexicon().words:
        return False
    if token.tag != "JJ":  # a comparative has a word it compares
        return not any(kinds(base) != ("",) for base in (word[:-1], word[:-2], word[:-3], word[:-3] + "y"))
    if not ends or _DESCRIBING.search(word) is not None:
        return False
    if i == 0 or tokens[i - 1].kind in BREAKS:
        return not word.endswith(("ic", "al", "y", "ive"))
    return tokens[i - 1].tag in ("JJ", "VBN", "VBG", "CD", "DT", "PRP$", "NN")


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
    if _follows_its_place(tokens, i):
        return True
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


def _follows_its_place(tokens: Sequence[Token], i: int) -> bool:
    """Whether a verb of place stands behind the place that opens the sentence: "On the table lie a knife and eggs"."""
    before, after = tokens[i - 1], tokens[i + 1]
    named = before.tag.startswith("NN") or before.lower in ("him", "her", "it", "them", "us", "me")
    if tokens[i].lower.endswith("ing") or not named or after.tag not in ("DT", "CD"):
        return False
    opens = next((k for k in range(i, max(-1, i - 8), -1) if k == 0 or tokens[k - 1].kind in BREAKS), None)
    return opens is not None and opens < i - 1 and tokens[opens].tag == "IN"


def _ends_clause(tokens: Sequence[Token], i: int) -> bool:
    """Whether a preposition ends a clause, and so is an adverb: "a girl walking past", "the rocks below"."""
    word, behind = tokens[i].lower, tokens[i + 1] if i + 1 < len(tokens) else None
    return i > 0 and word in word_lists()["end-adverbs"] and (behind is None or behind.kind in BREAKS)


def _is_finite(tokens: Sequence[Token], i: int) -> bool:
    """Whether a word read as a noun is the verb of a clause: "a hawk circles over", "Steam rises", "that spells"."""
    token = tokens[i]
    if (
        i == 0
        or i + 1 >= len(tokens)
        or not (token.tag.startswith(("NN", "JJ")) or token.tag == "VBG")
        or token.lower.endswith("ing")
    ):
        return False
    before, after, word = tokens[i - 1], tokens[i + 1], token.lower
    if before.tag == "RB" and before.lower.endswith("ly") and i > 1 and tokens[i - 2].tag.startswith("NN"):
        return after.tag in ("DT", "PRP$")  # "a watchmaker carefully repairs a watch"
    told = after.tag == "RB" and after.lower.endswith("ly") and before.tag.startswith("NN")
    acts = (
        told or word in word_lists()["finite-verbs"] or (after.lower == "up" and word in ("lights", "fills", "fires"))
    )
    relative = before.lower in ("that", "which", "who") and before.tag in ("WDT", "WP", "IN", "DT")
    if after.quoted and word in word_lists()["lettering"] and word.endswith("s"):
        return relative or before.tag.startswith("NN") or before.lower in ("one", "other", "another", "first", "second")
    if relative:
        return acts or any(kind.startswith("VB") for kind in kinds(word))
    if after.tag[:2] in ("NN", "JJ"):
        return somebody_acts(before, token)
    if not acts or not (
        after.tag in ("DT", "PRP$", "IN", "TO", "RB", "RP", "PRP") or after.lower == "up" or after.kind in BREAKS
    ):
        return False
    if before.tag in ("RB", "PRP"):
        return after.kind not in BREAKS
    if after.lower == "up":
        return before.tag == "NN"
    ends = before.lower.endswith("s") and not before.lower.endswith(("ss", "us", "is"))
    several = before.tag == "NNS" or ends or before.lower in IRREGULAR_PLURALS
    single = word.endswith("s") and not word.endswith("ss")  # "a man crosses", "men cross"
    return before.tag.startswith("NN") and single != several


def _is_colored_noun(tokens: Sequence[Token], i: int) -> bool:
    """Whether the word behind a colour is its noun, read as something else: "an orange square", "a gold cross"."""
    color, noun = tokens[i], tokens[i + 1]
    colors = word_lists()["colors"]
    if color.lower not in colors or color.tag not in ("JJ", "NN") or noun.tag not in ("JJ", "VB", "VBP"):
        return False
    opens = i == 0 or tokens[i - 1].tag in _OPENING_TAGS
    behind = tokens[i + 2] if i + 2 < len(tokens) else None
    several = i > 1 and tokens[i - 1].lower in ("of", "in") and tokens[i - 2].tag == "NNS"
    if noun.tag == "VBP" and behind is not None and (behind.tag == "PRP$" or (several and behind.tag in ("DT", "IN"))):
        return False  # "tufts of black crown its ears", "ribbons of amber drift from"
    return opens and noun.lower not in colors and "NN" in kinds(noun.lower) and not nominal_ahead(tokens, i + 1)
