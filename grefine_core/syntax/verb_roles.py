"""Participles and verbs, the hard part of prompts: "bear eating bagels", "wooden sailing vessel", "flying car"."""

from __future__ import annotations

from collections.abc import Sequence

from .lexicon import common_words, style_lexicon, word_lists
from .tokens import AND, COMMA, HYPHEN, STOP, Token

# What a word does; one letter each, see `roles`.
NOUN, MODIFIER, ADVERB, VERB, SKIP, PREPOSITION, CONJUNCTION = "N", "A", "R", "V", "B", "P", "C"
DETERMINER, RELATIVE, NEGATION, PARTICLE, GLUE, POSSESSIVE, BREAK, END = "D", "W", "X", "T", "H", "S", ",", "."
NOMINAL = NOUN + MODIFIER

_LOOK_AHEAD = 12  # words; noun phrases are not longer, and the time stays linear


def kinds(word: str) -> list[str]:
    """Tags the word (lower case) is known to take; [""] for an unknown one."""
    return common_words().get(word, "").split("|")


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
            if not word.endswith("ing") or word in style_lexicon().media or word in style_lexicon().heads:
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
    if token is None or token.kind in (COMMA, STOP, AND):
        return True
    return token.tag in ("DT", "PRP$", "PDT", "IN", "TO", "RP", "PRP", "CC", "WDT", "WRB", "EX", "MD")


def ing_role(tokens: Sequence[Token], i: int, before: str) -> str:
    """Role of a word in -ing: verb, modifier or noun; `before` is the role in front of it."""
    token, lists = tokens[i], word_lists()
    word = token.lower
    after = tokens[i + 1] if i + 1 < len(tokens) else None
    if word in style_lexicon().media or word in style_lexicon().heads:
        opens = after is not None and after.tag in ("DT", "PRP$")
        somebody = before in NOMINAL and tokens[i - 1].lower.removesuffix("s") in lists["animate"]
        return VERB if opens and (somebody or (before == NOUN and token.tag == "VBG")) else NOUN
    if word not in common_words() and i and tokens[i - 1].lower in style_lexicon().first_names:
        return NOUN  # a surname: "jesper ejsing"
    ahead = nominal_ahead(tokens, i)
    noun_like = word in lists["noun-ing"]
    if before == MODIFIER and any(letter.isdigit() for letter in tokens[i - 1].text):
        before = NOUN  # a number behind its noun: "Ford F-150 coming"
    if noun_like and token.tag == "NN" and "VBG" not in kinds(word) and word not in lists["transitive"]:
        return NOUN
    if before in (NOUN, POSSESSIVE) or (before in (PARTICLE, ADVERB) and i > 1):
        if follows_phrase(after):
            opens = after is not None and after.tag in ("DT", "PRP$") and word in lists["transitive"]
            acts = word in lists["transparent-verbs"] or word in lists["transitive"]
            if noun_like and token.tag == "NN" and not acts and not at_preposition(after) and not opens:
                return NOUN
            ends = after is None or after.kind in (COMMA, STOP)
            somebody = (
                tokens[i - 1].lower in lists["animate"] or tokens[i - 1].lower.removesuffix("s") in lists["animate"]
            )
            if noun_like and ends and not somebody and word not in lists["transparent-verbs"]:
                return NOUN  # "small hut building"
            return VERB
        if after is not None and after.tag.startswith("RB"):
            return VERB
        if ahead:
            if tokens[i - 1].lower in lists["compound-ing"] and word not in ("wearing", "holding", "riding"):
                acts = word in lists["transitive"] and word != "eating" and tokens[i - 1].lower in lists["animate"]
                return VERB if acts else MODIFIER  # "people watching fireworks", but "man eating plant"
            if word in lists["adjective-ing"]:
                return MODIFIER
            return (
                NOUN
                if noun_like
                and after is not None
                and after.tag.startswith("NN")
                and token.tag == "NN"
                and (word not in lists["transitive"])
                else VERB
            )
        return VERB if token.tag == "VBG" or word in lists["transitive"] else NOUN
    if ahead:
        starts = before in (BREAK, END, CONJUNCTION, VERB, PARTICLE, SKIP, RELATIVE)
        if word in lists["transitive"] and not noun_like and word not in lists["adjective-ing"]:
            return VERB if starts or before == PREPOSITION else MODIFIER
        if after is not None and after.tag in ("DT", "PRP$"):
            return VERB
        return MODIFIER
    if before == DETERMINER:
        acts = at_preposition(after) and word in lists["transparent-verbs"]
        return VERB if acts else NOUN  # "both sitting at a bar"
    if before == MODIFIER:
        thing = noun_like and word not in lists["transparent-verbs"] and word not in lists["transitive"]
        acts = token.tag == "VBG" and follows_phrase(after) and after is not None
        return VERB if acts and not thing else NOUN
    if (after is None or after.kind in (COMMA, STOP)) and before in (BREAK, END):
        return NOUN if noun_like else MODIFIER  # a fragment of one word: "twirling"
    return VERB


def ed_role(tokens: Sequence[Token], i: int, before: str) -> str:
    """Role of a past participle (or a past tense, which in prompts is mostly a participle misread)."""
    token = tokens[i]
    after = tokens[i + 1] if i + 1 < len(tokens) else None
    ahead = nominal_ahead(tokens, i)
    if before in (NOUN, POSSESSIVE):
        if follows_phrase(after) or not ahead or token.lower in ("named", "called", "titled"):
            return VERB
        if after is not None and after.tag.startswith("RB") and token.tag == "VBD":
            return VERB
        return VERB if token.tag == "VBD" and not token.lower.endswith("ed") else MODIFIER
    if before in (SKIP, ADVERB, RELATIVE) and not ahead:
        return VERB
    if ahead:
        return MODIFIER
    if before == DETERMINER:
        return NOUN
    if at_preposition(after) or (after is not None and after.tag == "RP"):
        return VERB
    return MODIFIER


def finite_role(tokens: Sequence[Token], i: int, before: str) -> str:
    """Role of what the tagger takes for a finite verb; in noun phrases that is often a noun ("a set")."""
    token = tokens[i]
    word, tag = token.lower, token.tag
    after = tokens[i + 1] if i + 1 < len(tokens) else None
    if tag == "VB" and i and tokens[i - 1].tag in ("TO", "MD"):
        return VERB
    if before in (RELATIVE, SKIP, ADVERB, VERB):
        return VERB
    if before in (DETERMINER, MODIFIER, GLUE, PREPOSITION):
        return NOUN
    if before in (BREAK, END):
        opens = after is not None and after.tag in ("DT", "PRP$", "PRP")
        if opens and tag in ("VB", "VBP"):
            return SKIP if before == END else VERB  # "imagine a castle", "create an image of"
        return VERB if opens else NOUN
    if before == CONJUNCTION:
        return VERB if tag == "VBZ" and follows_phrase(after) else NOUN
    if tag == "VBZ":
        describes = after is not None and after.tag[:2] in ("JJ", "RB")
        return VERB if "NNS" not in kinds(word) or follows_phrase(after) or describes else NOUN
    if follows_phrase(after) and after is not None and after.kind not in (COMMA, STOP):
        return VERB
    if tag == "VBP" and tokens[i - 1].tag == "NNP" and after is not None and not after.tag.startswith("NN"):
        return VERB
    return NOUN if "NN" in kinds(word) or after is not None else VERB
