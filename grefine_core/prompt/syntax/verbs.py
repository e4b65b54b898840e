"""Participles and verbs, the hard part of prompts: "bear eating bagels", "wooden sailing vessel", "flying car"."""

from __future__ import annotations

from collections.abc import Sequence

from .compounds import ANIMAL, FOOD, PERSON, PLANT, SCENE, SITE, THING, WORN, is_pair, kind_of
from .lexicon import common_words, style_lexicon, word_lists
from .senses import ADJECTIVE, code_of, names_thing
from .tokens import BREAKS, Token
from .words import (
    ADVERB,
    BREAK,
    CONJUNCTION,
    DETERMINER,
    END,
    GLUE,
    MODIFIER,
    NOMINAL,
    NOUN,
    PARTICLE,
    POSSESSIVE,
    PREPOSITION,
    RELATIVE,
    SKIP,
    STARTS,
    VERB,
    at_preposition,
    follows_phrase,
    kinds,
    nominal_ahead,
)

IRREGULAR_PLURALS = frozenset(
    ["children", "people", "women", "men", "mice", "geese", "police", "sheep", "cattle", "fish"]
)


def somebody_acts(before: Token, token: Token) -> bool:
    """Whether somebody in front does what the word says: "two robots play chess"."""
    lists = word_lists()
    several = before.lower.endswith("s") or before.lower in IRREGULAR_PLURALS
    several = several and not token.lower.endswith("s") and token.lower in lists["finite-verbs"]
    return several and (before.lower in lists["animate"] or before.lower.removesuffix("s") in lists["animate"])


def ing_role(tokens: Sequence[Token], i: int, before: str) -> str:
    """Role of a word in -ing: verb, modifier or noun; `before` is the role in front of it."""
    token, lists = tokens[i], word_lists()
    word = token.lower
    after = tokens[i + 1] if i + 1 < len(tokens) else None
    if word in style_lexicon().media or word in style_lexicon().heads:
        opens = after is not None and after.tag in ("DT", "PRP$")
        somebody = before in NOMINAL and tokens[i - 1].lower.removesuffix("s") in lists["animate"]
        acts = somebody or (before == NOUN and (token.tag == "VBG" or token.told or word == "lighting"))
        return VERB if opens and acts else NOUN  # "a man in a coat lighting a cigarette"
    if word not in common_words() and i and tokens[i - 1].lower in style_lexicon().first_names:
        return NOUN  # a surname: "jesper ejsing"
    paired = after is not None and is_pair(word, after.lower) and after.tag.startswith("NN")
    if paired and before == NOUN and not token.told:
        somebody = kind_of(tokens[i - 1].lower) in (PERSON, ANIMAL) and code_of(word)[:1] != ADJECTIVE
        if not (somebody and word in lists["transitive"]):
            return MODIFIER  # "surgeon operating table"
    ahead = nominal_ahead(tokens, i)
    noun_like = word in lists["noun-ing"]
    if token.told and before == PREPOSITION and after is not None and after.tag.startswith("NN"):
        passive = i > 1 and tokens[i - 1].lower == "by" and tokens[i - 2].tag == "VBN"
        if passive or tokens[i - 1].lower not in ("by", "for", "of", "from", "while", "before", "after", "without"):
            return MODIFIER  # "crowned by circling crows", but "steadies it by holding ropes"
    if before == MODIFIER and any(letter.isdigit() for letter in tokens[i - 1].text):
        before = NOUN  # a number behind its noun: "Ford F-150 coming"
    if before == NOUN and i and (tokens[i - 1].lower in lists["animate"]) and word.endswith("ing"):
        ends = after is None or after.kind in BREAKS
        if (
            (nominal_ahead(tokens, i) and kinds(word) == ("",))
            or (ends and word in lists["posture"])
            or (at_preposition(after) and word not in lists["things-ing"])
        ):
            return VERB  # "an owl landing on a post", "an astronaut floating"
    placed = before == NOUN and at_preposition(after) and token.told  # "a ship sailing on a sea"
    if noun_like and token.tag == "NN" and "VBG" not in kinds(word) and word not in lists["transitive"] and not placed:
        return NOUN
    if before in (NOUN, POSSESSIVE) or (before in (PARTICLE, ADVERB) and i > 1):
        if follows_phrase(after):
            opens = after is not None and after.tag in ("DT", "PRP$") and word in lists["transitive"]
            acts = word in lists["transparent-verbs"] or word in lists["transitive"]
            if noun_like and token.tag == "NN" and not acts and not at_preposition(after) and not opens:
                return NOUN
            ends = after is None or after.kind in BREAKS
            somebody = (
                tokens[i - 1].lower in lists["animate"] or tokens[i - 1].lower.removesuffix("s") in lists["animate"]
            )
            place = noun_like or code_of(word)[:1] in ("M", "O", "L")  # "forest clearing"
            if place and ends and not somebody and word not in lists["transparent-verbs"]:
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
            lone = word not in lists["transitive"] and word not in lists["transparent-verbs"] and not token.told
            still = kind_of(tokens[i - 1].lower) in (THING, SITE, PLANT, FOOD, WORN, SCENE)
            if lone and still and after is not None and after.tag.startswith("NN"):
                return MODIFIER  # "wheelchair peeling paint"
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
        starts = before in (*STARTS, CONJUNCTION, VERB, PARTICLE, SKIP, RELATIVE)
        if (
            token.told
            and before == BREAK
            and token.tag == "VBG"
            and word not in lists["adjective-ing"]
            and (not noun_like or word in lists["transitive"])
        ):
            return VERB  # "trudges through a sea, sending ripples outward"
        if word in lists["transitive"] and not noun_like and word not in lists["adjective-ing"]:
            return VERB if starts or before == PREPOSITION else MODIFIER
        if after is not None and after.tag in ("DT", "PRP$"):
            return VERB
        return MODIFIER
    if before == DETERMINER:
        acts = at_preposition(after) and word in lists["transparent-verbs"]
        lone = tokens[i - 1].lower in ("each", "all", "both", "some") and after is not None
        acts = acts or (
            lone and after is not None and after.tag in ("DT", "PRP$", "IN", "CD")
        )  # "clocks, each showing a"
        return VERB if acts else NOUN  # "both sitting at a bar"
    if before == MODIFIER:
        thing = noun_like and word not in lists["transparent-verbs"] and word not in lists["transitive"]
        acts = token.tag == "VBG" and follows_phrase(after) and after is not None
        return VERB if acts and not thing else NOUN
    if (after is None or after.kind in BREAKS) and before in STARTS:
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
    if before == NOUN and ((token.told and tag in ("VBZ", "VBP")) or somebody_acts(tokens[i - 1], token)):
        return VERB  # in a sentence, those that agree with no subject were mended before
    if before in (RELATIVE, SKIP, ADVERB, VERB):
        return VERB
    if before in (DETERMINER, MODIFIER, GLUE, PREPOSITION):
        return NOUN
    if before in STARTS:
        opens = after is not None and after.tag in ("DT", "PRP$", "PRP")
        opens = opens or (tag == "VBZ" and after is not None and after.tag == "TO" and "NNS" not in kinds(word))
        if opens and tag in ("VB", "VBP"):
            return SKIP if before == END else VERB  # "imagine a castle", "create an image of"
        return VERB if opens else NOUN
    if before == CONJUNCTION:
        return VERB if tag == "VBZ" and follows_phrase(after) else NOUN
    if tag == "VBZ":
        describes = after is not None and after.tag[:2] in ("JJ", "RB")
        if describes and not token.told and names_thing(word) and word not in word_lists()["finite-verbs"]:
            return NOUN  # "copper pots wooden table"
        return VERB if "NNS" not in kinds(word) or follows_phrase(after) or describes else NOUN
    if follows_phrase(after) and after is not None and after.kind not in BREAKS:
        return VERB
    if after is not None and after.tag.startswith("RB") and before == NOUN:
        return VERB
    if tag == "VBP" and tokens[i - 1].tag == "NNP" and after is not None and not after.tag.startswith("NN"):
        return VERB
    return NOUN if "NN" in kinds(word) or after is not None else VERB
