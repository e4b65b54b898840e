"""What each word does in a prompt: part of a noun phrase, verb, preposition, …

The tagger was trained on sentences; prompts are heaps of noun phrases. The rules here read its tags the way prompts
are meant, above all for participles, which are the hard part: "bear eating bagels", "wooden sailing vessel", "flying
car", "jar buried in sand", "snow covered mountain".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise, zip_longest

from .clauses import mend_clauses
from .compounds import THING, kind_of
from .lexicon import adjectives, common_words, phrases_of, style_lexicon, wide_prepositions, word_lists
from .senses import ADJECTIVE, code_of, names_thing, tag_class
from .tokens import AND, BREAKS, COMMA, HYPHEN, STOP, WALL, WORD, Token

# Participles and verbs, the hard part of prompts: "bear eating bagels", "wooden sailing vessel", "flying car".

# What a word does; one letter each, see `roles`.
NOUN, MODIFIER, ADVERB, VERB, SKIP, PREPOSITION, CONJUNCTION = "N", "A", "R", "V", "B", "P", "C"
DETERMINER, RELATIVE, NEGATION, PARTICLE, GLUE, POSSESSIVE, BREAK, END = "D", "W", "X", "T", "H", "S", ",", "."
BARRIER = "|"  # a wall
STARTS = (BREAK, END, BARRIER)
NOMINAL = NOUN + MODIFIER

_LOOK_AHEAD = 12  # words; noun phrases are not longer, and the time stays linear


def kinds(word: str) -> list[str]:
    """Tags the word (lower case) is known to take; [""] for an unknown one."""
    return (common_words().get(word) or tag_class(word)).split("|")


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
    noun_like = word in lists["noun-ing"] or code_of(word)[:1] in ("M", "O", "L")
    if before == MODIFIER and any(letter.isdigit() for letter in tokens[i - 1].text):
        before = NOUN  # a number behind its noun: "Ford F-150 coming"
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
            lone = word not in lists["transitive"] and word not in lists["transparent-verbs"] and not token.told
            if lone and kind_of(tokens[i - 1].lower) == THING and after is not None and after.tag.startswith("NN"):
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
    if before == NOUN and _acts(tokens[i - 1], token):
        return VERB
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


# Mends of tags that the tagger, trained on sentences, gets wrong in prompts with places and colours.

_OPENING_TAGS = ("DT", "CD", "IN", "VBN", "JJ", "VBG")


_CLOSED_TAGS = frozenset(["PRP$", "PRP", "DT", "PDT", "WDT", "WP", "WP$", "MD", "CC", "EX", "POS", "TO"])


def mend_tags(tokens: Sequence[Token]) -> None:
    """Write better tags into prepositions, verbs of place, counted things and nouns behind colours."""
    for token, after in zip_longest(tokens, tokens[1:]):
        unknown = token.tag.startswith("NN") and token.text.islower() and kinds(token.lower) == [""]
        if token.tag == "JJ" and token.text.islower() and _only_noun(token.lower):
            token.tag = "NN"  # "ficus"
        if token.lower == "round" and token.tag == "IN" and after is not None and after.tag.startswith("NN"):
            token.tag = "JJ"
        if token.lower.startswith("mid-") and (after is None or not after.tag.startswith(("NN", "JJ"))):
            token.tag = "RB"  # "mid-air"
        if unknown and token.text.endswith("ly"):
            token.tag = "RB"  # "dreamily"
    for i, token in enumerate(tokens):
        if token.tag in _CLOSED_TAGS and len(token.lower) > 4 and token.text.isalpha() and kinds(token.lower) == [""]:
            token.tag = "NN"  # a word that the tagger does not know is none of those
        ends = i + 1 == len(tokens) or tokens[i + 1].kind in BREAKS
        alone = ends and (i == 0 or tokens[i - 1].kind in BREAKS)
        if alone and token.lower.endswith("ing") and len(token.lower) > 6 and kinds(token.lower) == [""]:
            token.tag = "VBG"  # "unsheathing" as a tag
    for token, after in pairwise(tokens):
        if token.lower == "one" and after.lower.endswith("s") and after.lower in word_lists()["finite-verbs"]:
            token.tag, after.tag = "PRP", "VBZ"  # "one wears a hat"
        unknown = token.tag.startswith("NN") and token.text.islower() and kinds(token.lower) == [""]
        if unknown and token.text.endswith("ed") and after.lower in ("with", "by", "in", "on", "into"):
            token.tag = "VBN"  # "engraved with"
    for i in range(len(tokens)):
        if tokens[i].counted:
            tokens[i].tag = "NNS" if tokens[i].lower.endswith(("s", "men")) else "NN"
            continue
        if _is_preposition(tokens, i):
            tokens[i].tag = "IN"
        elif _ends_clause(tokens, i):
            tokens[i].tag = "RB"
        elif _is_placed(tokens, i) or _is_finite(tokens, i):
            tokens[i].tag = "VBZ" if tokens[i].lower.endswith("s") else "VBP"
    for i in range(len(tokens) - 1):
        if _is_colored_noun(tokens, i):
            tokens[i].tag, tokens[i + 1].tag = "JJ", "NN"


def _only_noun(word: str) -> bool:
    """Whether WordNet knows the word as a noun for a thing, and the treebank does not know it."""
    return word not in common_words() and code_of(word).isupper() and names_thing(word)


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


def _acts(before: Token, token: Token) -> bool:
    """Whether somebody in front does what the word says: "two robots play chess"."""
    lists = word_lists()
    several = before.lower.endswith("s") or before.lower in _IRREGULAR_PLURALS
    several = several and not token.lower.endswith("s") and token.lower in lists["finite-verbs"]
    return several and (before.lower in lists["animate"] or before.lower.removesuffix("s") in lists["animate"])


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
        return relative or before.tag.startswith("NN")
    if relative:
        return acts or any(kind.startswith("VB") for kind in kinds(word))
    if after.tag[:2] in ("NN", "JJ"):
        return _acts(before, token)
    if not acts or not (
        after.tag in ("DT", "PRP$", "IN", "TO", "RB", "RP", "PRP") or after.lower == "up" or after.kind in BREAKS
    ):
        return False
    if before.tag in ("RB", "PRP"):
        return after.kind not in BREAKS
    if after.lower == "up":
        return before.tag == "NN"
    ends = before.lower.endswith("s") and not before.lower.endswith(("ss", "us", "is"))
    several = before.tag == "NNS" or ends or before.lower in _IRREGULAR_PLURALS
    single = word.endswith("s") and not word.endswith("ss")  # "a man crosses", "men cross"
    return before.tag.startswith("NN") and single != several


_IRREGULAR_PLURALS = frozenset(
    ["children", "people", "women", "men", "mice", "geese", "police", "sheep", "cattle", "fish"]
)


def _is_colored_noun(tokens: Sequence[Token], i: int) -> bool:
    """Whether the word behind a colour is its noun, read as something else: "an orange square", "a gold cross"."""
    color, noun = tokens[i], tokens[i + 1]
    colors = word_lists()["colors"]
    if color.lower not in colors or color.tag not in ("JJ", "NN") or noun.tag not in ("JJ", "VB", "VBP"):
        return False
    opens = i == 0 or tokens[i - 1].tag in _OPENING_TAGS
    return opens and noun.lower not in colors and "NN" in kinds(noun.lower) and not nominal_ahead(tokens, i + 1)


_ADJECTIVE = re.compile(
    r"(?:ous|ful|less|esque|ish|ic|ive|able|ible|al|ed|en|y|punk|core|like|ar|ant|ent|ing|ian|ese)$"
)


def assign_roles(tokens: Sequence[Token]) -> list[str]:
    """One role letter a token."""
    fixed = _known_terms(tokens)
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
    return roles


def _known_terms(tokens: Sequence[Token]) -> dict[int, str]:
    """Roles of prepositions of several words, and of fragments that are one known tag ("dungeons & dragons")."""
    fixed: dict[int, str] = {}
    wide, terms = wide_prepositions(), style_lexicon().terms
    adverbs = phrases_of("adverb-phrases")
    signs, negations, fillers = word_lists()["no-signs"], phrases_of("negation-phrases"), phrases_of("not-negated")
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
            if (
                f"{tokens[i].lower} {tokens[i + 1].lower if i + 1 < len(tokens) else ''}"
                in word_lists()["camera-moves"]
            ):
                fixed[i], fixed[i + 1] = MODIFIER, NOUN
                continue
            if length := starts_phrase(tokens, i, adverbs):
                for k in range(i, i + length):
                    fixed[k], tokens[k].tag = SKIP, "RB"
            elif (length := starts_phrase(tokens, i, fillers)) or (length := starts_phrase(tokens, i, negations)):
                role = SKIP if starts_phrase(tokens, i, fillers) else NEGATION
                fixed |= dict.fromkeys(range(i, i + length), role)
            elif length := _bans(tokens, i):
                fixed |= dict.fromkeys(range(i, i + length), NEGATION)
            elif _forbids(tokens, i) and (end := _sign_behind(tokens, i, signs)):
                fixed |= dict.fromkeys(range(i, end), MODIFIER) | {end: NOUN}  # "no smoking sign"
            elif _bears_lettering(tokens, i):
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
                filler = tokens[k].kind != WORD or tokens[k].lower in word_lists()["small"]
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
    before = tokens[i - 1] if i else None
    opens = before is None or before.kind in (*BREAKS, AND) or before.lower in ("and", "please", "but", "also")
    if not opens or i + 1 == len(tokens) or tokens[i + 1].kind != WORD:
        return 0
    if length := starts_phrase(tokens, i, phrases_of("forbidding-phrases")):
        return length
    return int(tokens[i].lower in word_lists()["forbidding"])


def _forbids(tokens: Sequence[Token], i: int) -> bool:
    """Whether the words of a sign that forbids may start here: "no …", "do not …"."""
    return tokens[i].lower == "no" or (tokens[i].lower == "do" and i + 1 < len(tokens) and tokens[i + 1].lower == "not")


def _bears_lettering(tokens: Sequence[Token], i: int) -> bool:
    """Whether a participle is followed by what is to be read: "a sign labeled 'OPEN'", "lights spelling LOVE"."""
    word = tokens[i].lower
    if i == 0 or i + 1 == len(tokens) or not tokens[i + 1].quoted or tokens[i].quoted:
        return False
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
    if word == "still" and before in (DETERMINER, MODIFIER, NOUN) and (after is None or after.tag == "IN"):
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
    if tag == "MD" or (word in word_lists()["auxiliary"] and is_verbal(after)):
        return SKIP if before not in DETERMINER else NOUN
    if token.told and word in lists["indefinites"] and tag != "DT" and not nominal_ahead(tokens, i):
        return SKIP  # "everything glows"
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
    if behind and word in lists["things-ing"]:
        return NOUN  # "a burning building"
    if word.endswith("ing") and len(word) > 4 and tag[:2] in ("VB", "NN", "JJ") and tag != "NNP":
        return ing_role(tokens, i, before)
    participle = tag == "JJ" and word.endswith(("ed", "grown")) and at_preposition(after)
    if tag in ("VBN", "VBD") or (participle and before in (*NOMINAL, BREAK, BARRIER)):
        return ed_role(tokens, i, before)
    if tag in ("VBZ", "VBP", "VB"):
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
