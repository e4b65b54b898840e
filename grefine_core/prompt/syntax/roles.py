"""What each word does in a prompt: part of a noun phrase, verb, preposition, …

The tagger was trained on sentences; prompts are heaps of noun phrases. The rules here read its tags the way prompts
are meant, above all for participles, which are the hard part: "bear eating bagels", "wooden sailing vessel", "flying
car", "jar buried in sand", "snow covered mountain".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .about import mark_about
from .clauses import mend_clauses
from .compounds import goes_behind
from .lexicon import adjectives, common_words, style_lexicon, word_lists
from .mends import mend_tags
from .senses import ADJECTIVE, code_of, is_gerund
from .terms import known_terms
from .tokens import AND, BREAKS, COMMA, HYPHEN, STOP, WALL, Token
from .verbs import ed_role, finite_role, ing_role
from .words import (
    ADVERB,
    BARRIER,
    BREAK,
    CONJUNCTION,
    DETERMINER,
    END,
    GLUE,
    MODIFIER,
    NEGATION,
    NOMINAL,
    NOUN,
    PARTICLE,
    POSSESSIVE,
    PREPOSITION,
    RELATIVE,
    SKIP,
    VERB,
    at_preposition,
    is_verbal,
    kinds,
    nominal_ahead,
)

_ADJECTIVE = re.compile(
    r"(?:ous|ful|less|esque|ish|ic|ive|able|ible|al|ed|en|y|punk|core|like|ar|ant|ent|ing|ian|ese)$"
)


def assign_roles(tokens: Sequence[Token]) -> list[str]:
    """One role letter a token."""
    fixed = known_terms(tokens)
    mend_tags(tokens)
    certain = {"verb": VERB, "predicate": MODIFIER, "noun": NOUN}
    for i, what in mend_clauses(tokens).items():
        fixed.setdefault(i, certain[what])
    roles: list[str] = []
    for i, token in enumerate(tokens):
        roles.append(fixed.get(i) or _role(tokens, i, roles))
        if roles[i] == VERB and token.part == "style":
            roles[i] = NOUN  # "rating_safe"
        if roles[i] == NOUN and token.tag == "VBG" and token.lower in word_lists()["noun-ing"]:
            token.tag = "NN"  # "burning building"
    mark_about(tokens, roles)
    return roles


def _role(tokens: Sequence[Token], i: int, roles: list[str]) -> str:
    token = tokens[i]
    kind, word, tag = token.kind, token.lower, token.tag
    if kind == COMMA:
        return BREAK
    if kind == STOP:
        return END
    if kind == WALL:
        return BARRIER
    if kind == HYPHEN:
        return GLUE if _glues(tokens, i, roles) else BREAK
    if token.counted:
        return NOUN
    if kind == AND and roles and roles[-1] == MODIFIER and tokens[i - 1].text.isdigit():
        return GLUE  # "6+girls"
    if kind == AND or word in word_lists()["conjunctions"]:
        return CONJUNCTION
    before = roles[-1] if roles else END
    after = tokens[i + 1] if i + 1 < len(tokens) else None
    lists = word_lists()
    if word in ("'s", "'", "’s") and before in NOMINAL:
        return POSSESSIVE
    if word in lists["negation"]:
        return NEGATION
    graded = i > 0 and tokens[i - 1].tag == "RB"  # "so still that"
    titled = word == "still" and not graded and not (token.told and before == NOUN)  # but "brush still in hand"
    if titled and before in (DETERMINER, MODIFIER, NOUN) and (after is None or after.tag == "IN"):
        return NOUN
    if word == "still" and after is not None and after.lower in ("life", "lifes", "frame", "shot", "image", "photo"):
        return MODIFIER
    stands_for_noun = word in ("other", "others", "latter", "former") and not nominal_ahead(tokens, i)
    if stands_for_noun and i and tokens[i - 1].lower in ("each", "the", "one", "any"):
        return SKIP  # "the other thinks"
    if word in word_lists()["be"]:
        return NOUN if word == "being" and before in NOMINAL + DETERMINER and not is_verbal(after) else SKIP
    if before == GLUE and i > 1 and roles[-2] in NOMINAL:
        return NOUN if tag.startswith("NN") or (not nominal_ahead(tokens, i) and not word.endswith("ed")) else MODIFIER
    if tag == "MD" or (word in word_lists()["auxiliary"] and tag != "NN" and is_verbal(after)):
        return SKIP if before not in DETERMINER else NOUN
    owns = after is not None and after.tag == "POS"
    if token.told and word in lists["indefinites"] and tag != "DT" and not nominal_ahead(tokens, i) and not owns:
        return SKIP  # "everything glows"
    if word in ("nothing", "none", "nobody") and not nominal_ahead(tokens, i):
        return SKIP  # "nothing on it"
    if (
        word in ("inside", "around", "else", "there", "left")
        and i
        and tokens[i - 1].lower in ("nothing", "nobody", "none")
    ):
        return PREPOSITION if nominal_ahead(tokens, i) else SKIP
    if word == "missing" and before == NOUN and nominal_ahead(tokens, i):
        return NEGATION  # "a shelf missing several books"
    if (
        token.told
        and word in ("one", "ones")
        and not nominal_ahead(tokens, i)
        and after is not None
        and after.tag != "CD"
    ):
        return SKIP  # "blows another one"
    if word in word_lists()["pronouns"] or tag in ("PRP", "WP", "EX"):
        if tag in ("WP", "WDT") or (word in ("who", "that") and before in NOMINAL):
            return RELATIVE
        return DETERMINER if tag == "DT" else SKIP
    if word == "half" and after is not None and after.tag not in ("DT", "PRP$", "IN"):
        return MODIFIER  # "half - fox woman"
    if tag in ("DT", "PRP$", "PDT", "WP$"):
        return DETERMINER if word != "no" else NEGATION
    if tag == "WDT":
        return RELATIVE
    if tag == "CC":
        return CONJUNCTION
    behind = i > 0 and (tokens[i - 1].tag in ("JJ", "DT", "VBG", "VBN", "CD") or tokens[i - 1].lower.endswith("ing"))
    colored = after is not None and after.tag == "JJ" and after.lower in lists["colors"] and nominal_ahead(tokens, i)
    if colored and word.endswith("ing") and before == DETERMINER:
        return MODIFIER  # "his piercing blue eyes"
    if behind and word in lists["things-ing"] and not colored:
        return NOUN  # "a burning building"
    if word.endswith("ing") and len(word) > 4 and is_gerund(word) and tag[:2] in ("VB", "NN", "JJ") and tag != "NNP":
        return ing_role(tokens, i, before)
    participle = tag == "JJ" and word.endswith(("ed", "grown")) and at_preposition(after)
    if tag in ("VBN", "VBD") or (participle and before in (*NOMINAL, BREAK, BARRIER)):
        return ed_role(tokens, i, before)
    if tag in ("VBZ", "VBP", "VB"):
        if i and not token.told and before == NOUN and goes_behind(tokens[i - 1].lower, word):
            return NOUN  # "rain drops"
        return finite_role(tokens, i, before)
    if tag in ("IN", "TO") or word in ("like", "as", "with"):
        return _preposition_role(tokens, i, before)
    if tag == "RP":
        if before == VERB and tokens[i - 1].lower in lists["posture"] and nominal_ahead(tokens, i):
            return PREPOSITION  # "lying on large rocks"
        return PARTICLE if before == VERB or not nominal_ahead(tokens, i) else PREPOSITION
    if tag in ("RB", "RBR", "RBS", "WRB", "UH"):
        return _adverb_role(tokens, i, before)
    if tag in ("JJ", "JJR", "JJS", "CD"):
        return _adjective_role(tokens, i, before)
    if tag == "NN" and word in lists["colors"] and i and tokens[i - 1].lower in lists["be"] and "JJ" in kinds(word):
        return NOUN if nominal_ahead(tokens, i) else MODIFIER  # "a house that is orange"
    if tag == "NN" and ("JJ" in kinds(word) or word not in common_words()) and _describes(tokens, i, before):
        return MODIFIER
    return NOUN


def _adjective_role(tokens: Sequence[Token], i: int, before: str) -> str:
    """An adjective without a noun stands for one where it can ("made of metal", "the drowned")."""
    token = tokens[i]
    if before == MODIFIER and "NN" in kinds(token.lower):
        after, lists = tokens[i + 1] if i + 1 < len(tokens) else None, word_lists()
        somebody = token.lower in lists["animate"] and token.lower not in lists["sorts"]
        thing = somebody or token.lower in lists["gems"]
        if thing and after is not None and after.tag == "JJ" and after.lower != "clear":
            return NOUN  # "glowing crystal dark forest", "cute robot big eyes"
    if token.tag != "JJ" or before in (NOUN, SKIP, ADVERB) or nominal_ahead(tokens, i):
        return MODIFIER
    if before == PREPOSITION and token.lower in word_lists()["colors"] and not _leads_to_noun(tokens, i):
        return NOUN  # "king in yellow"
    if i + 2 < len(tokens) and tokens[i + 1].tag == "CC" and tokens[i + 2].tag in ("JJ", "CD"):
        return MODIFIER
    if before in (PREPOSITION, DETERMINER, VERB, MODIFIER, CONJUNCTION) and "NN" in kinds(token.lower):
        return NOUN
    if before == DETERMINER and tokens[i - 1].lower == "the":
        return NOUN
    word = token.lower
    known = word in common_words() or code_of(word)[:1] == ADJECTIVE
    if before != GLUE and "-" not in word and not known and not _ADJECTIVE.search(word):
        return NOUN  # the tagger only guessed
    return MODIFIER


def _leads_to_noun(tokens: Sequence[Token], i: int) -> bool:
    """Whether a list of adjectives from word `i` on ends in a noun: "red, white and blue flags"."""
    if i + 1 < len(tokens) and tokens[i + 1].kind != COMMA and tokens[i + 1].tag != "CC":
        return False
    for token in tokens[i + 1 : i + 8]:
        if token.tag.startswith("NN"):
            return True
        if token.kind not in (COMMA, HYPHEN) and token.tag not in ("CC", "JJ", "RB"):
            return False
    return False


def _describes(tokens: Sequence[Token], i: int, before: str) -> bool:
    """Whether a word read as a noun is an adjective: "girl dark", "an organic and colourful city"."""
    after = tokens[i + 1] if i + 1 < len(tokens) else None
    if before == NOUN and (after is None or after.kind in BREAKS):
        return (
            tokens[i].lower in adjectives()
            and tokens[i - 1].tag != "NNP"
            and (tokens[i - 1].lower not in style_lexicon().first_names)
        )
    if before != NOUN and after is not None and after.tag == "CC" and i + 2 < len(tokens):
        if tokens[i + 2].tag == "CD" and "NN" in kinds(tokens[i].lower):
            return False  # "a red square and two stars": a number opens a phrase of its own
        known = "JJ" in kinds(tokens[i].lower) or _ADJECTIVE.search(tokens[i].lower) is not None
        return known and tokens[i + 2].tag in ("JJ", "CD") and nominal_ahead(tokens, i + 2)
    return False


def _preposition_role(tokens: Sequence[Token], i: int, before: str) -> str:
    word = tokens[i].lower
    after = tokens[i + 1] if i + 1 < len(tokens) else None
    if word == "to" and after is not None and after.tag == "VB":
        return SKIP
    if word == "to" and before in NOMINAL and after is not None and nominal_ahead(tokens, i + 1):
        colors = word_lists()["colors"]
        started = i > 1 and tokens[i - 2].tag == "IN"  # "from red to blue" has two ends
        if tokens[i - 1].lower in colors and after.lower in colors and not started:
            return GLUE  # "black to white gradient"
    ends = after is None or after.kind in BREAKS or after.tag in ("IN", "TO", "RB", "CC")
    if before == VERB and ends and word in word_lists()["particle"]:
        return PARTICLE
    if word == "like" and before == NOUN and after is not None and after.tag[:2] in ("NN", "JJ", "VB"):
        # "park like setting": a noun right behind and no article makes one phrase, unless a verb looks like something.
        noun = after.tag.startswith("NN") or after.lower in word_lists()["noun-ing"]
        return MODIFIER if noun and i > 1 and tokens[i - 2].tag not in ("VBZ", "VBG") else PREPOSITION
    return PREPOSITION


def _adverb_role(tokens: Sequence[Token], i: int, before: str) -> str:
    token = tokens[i]
    word = token.lower
    after = tokens[i + 1] if i + 1 < len(tokens) else None
    place = word in word_lists()["place-prepositions"]
    if place and after is not None and (after.tag in ("DT", "PRP$", "CD") or after.tag.startswith(("NN", "JJ"))):
        return PREPOSITION
    if (
        place
        and before in (NOUN, VERB)
        and after is not None
        and after.tag in ("VBN", "VBD")
        and nominal_ahead(tokens, i + 1)
    ):
        return PREPOSITION  # "a hut near ruined walls"
    grades = word in word_lists()["degree-adverbs"] and after is not None and after.tag in ("JJ", "RB")
    if word in word_lists()["skip-adverbs"] and not grades:
        return SKIP
    if token.tag == "WRB":
        return SKIP
    following = after.tag[:2] if after is not None else ""
    if word.endswith("ly") and after is not None and after.tag in ("VBZ", "VBP") and before in (SKIP, NOUN):
        return ADVERB  # "she carefully places"
    if following in ("JJ", "VB", "RB", "CD") or (following == "NN" and before != VERB):
        if following == "VB" and after is not None and not nominal_ahead(tokens, i) and before == NOUN:
            return ADVERB
        return MODIFIER
    return ADVERB


def _glues(tokens: Sequence[Token], i: int, roles: list[str]) -> bool:
    """Whether a hyphen joins its neighbours ("half - fox woman") rather than setting two fragments apart."""
    if not roles or i + 1 >= len(tokens) or roles[-1] not in NOMINAL + VERB + PREPOSITION + ADVERB:
        return False
    left, right = tokens[i - 1], tokens[i + 1]
    if right.kind in (*BREAKS, HYPHEN, AND) or right.lower in word_lists()["small"] - {"a"}:
        return right.lower in ("up", "down", "off", "on")
    if tokens[i].text == "/":
        return True
    if (
        left.lower in word_lists()["hyphen-before"]
        or right.lower in word_lists()["hyphen-behind"]
        or right.lower.endswith(("ed", "ing", "like"))
    ):
        return True
    if len(right.lower) == 1 or not (left.lower in common_words() or right.lower in common_words()):
        return True  # "tri - x", "lecouffe - deharme"
    two = right.lower + " " + (tokens[i + 2].lower if i + 2 < len(tokens) else "")
    if right.tag == "DT" or two in style_lexicon().terms or right.lower in style_lexicon().words:
        return False
    run = 0
    while run < 3 and i - 1 - run >= 0 and roles[i - 1 - run] in NOMINAL:
        run += 1
    return run <= 1 or roles[max(0, i - 2)] == GLUE
