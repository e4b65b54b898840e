"""Things in a row without commas: "fox ears blonde hair blue eyes", "red barn green meadow white horse".

A noun phrase is modifiers and nouns in front of its head. Where a modifier stands behind a noun that can be the head of
a thing, or a noun behind one that it cannot form a compound with, another thing starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .compounds import ANIMAL, CARRIED, COLOR, MATERIAL, PERSON, PLANT, SITE, THING, WORN, best_starts, is_pair, kind_of
from .lexicon import adjectives, style_lexicon, word_lists
from .senses import ADJECTIVE, can_be_seen, code_of, singular
from .style import covered
from .tokens import Token
from .words import DETERMINER, GLUE, MODIFIER, NOMINAL, NOUN, PREPOSITION, STARTS, kinds

_ROW = 3  # nouns and modifiers; shorter stretches are one thing
_LONG = 6  # nouns and modifiers between commas; so many are hardly one thing
_SHARE = 0.8  # of the words of a prompt are in a row; who writes commas has parted the things
_LONGEST_TAIL = 5  # style words at the end of a row
_LONG_ROW = 5  # nouns; so many are hardly one thing


def starts_in_rows(tokens: Sequence[Token], roles: Sequence[str]) -> frozenset[int]:
    """Indices of the words that start another thing of the same row."""
    found: set[int] = set()
    rows = _long_rows(tokens, roles)
    for start, end in _stretches(roles):
        counts = start + 1 < end < len(tokens) and tokens[end].lower == "of" and roles[end - 1] == NOUN
        counts = counts and roles[end - 2] == NOUN and tokens[end - 1].lower in word_lists()["partitive"]
        if counts and kind_of(tokens[end - 2].lower) not in (PERSON, ANIMAL):
            found.add(end - 1)  # "shipwreck school of fish"
        if end - start >= _ROW or start in rows:
            found.update(_starts(tokens, roles, start, end, start in rows))
        if start in rows and (end == len(roles) or roles[end] in STARTS):
            for tail in _style_tail(tokens, start, end):
                found = {i for i in found if i < tail} | {tail}
    return frozenset(found)


def _long_rows(tokens: Sequence[Token], roles: Sequence[str]) -> frozenset[int]:
    """Indices of the words of fragments that are rows by their length: heaps of words without articles and commas."""
    found: set[int] = set()
    start, most = 0, _SHARE * sum(role in NOMINAL for role in roles)
    for end in range(len(roles) + 1):
        if end < len(roles) and roles[end] not in STARTS:
            continue
        inside = roles[start:end]
        long = sum(role in NOMINAL for role in inside) >= max(_LONG, most) and DETERMINER not in inside
        if long and inside.count(PREPOSITION) <= 1 and not any(token.told for token in tokens[start:end]):
            found.update(range(start, end))
        start = end + 1
    return frozenset(found)


def _style_tail(tokens: Sequence[Token], start: int, end: int) -> Iterator[int]:
    """Where the style words start that end a row: "… castle smoke | fantasy concept art", "… | tim burton style"."""
    lexicon, lists = style_lexicon(), word_lists()
    words = [token.lower for token in tokens[start:end]]
    for i in range(max(1, len(words) - _LONGEST_TAIL), len(words)):
        tail = words[i:]
        if tail[-1] in lists["style-tails"]:
            named = len(tail) > 2 and (" ".join(tail[:-1]) in lexicon.artists or tail[0] in lexicon.first_names)
            if named or len(tail) == 2 or covered(tail[:-1]):
                yield start + i
                return
        certain = tail[-1] in lists["pure-style"] or " ".join(tail) in lexicon.terms or tail[-1] in lexicon.strong_media
        if not certain or " ".join(tail) in lexicon.sites or tail[0] in lists["loose-heads"] or not covered(tail):
            continue
        if len(tail) > 1 or tail[0] in lists["pure-style"]:
            yield start + i
            return


def _stretches(roles: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(start, end) of the stretches of nouns and modifiers."""
    start = 0
    for i in range(len(roles) + 1):
        if i == len(roles) or roles[i] not in (*NOMINAL, GLUE):
            if i > start:
                yield start, i
            start = i + 1


def _starts(tokens: Sequence[Token], roles: Sequence[str], start: int, end: int, in_row: bool) -> set[int]:
    last = next((i for i in range(end - 1, start, -1) if roles[i] == NOUN), start)
    found = {
        i
        for i in range(start + 1, last + 1)
        if roles[i - 1] == NOUN and _modifies(tokens, roles, i, last) and _describes_anew(tokens, roles, i, in_row)
    }
    in_row, long = in_row or bool(found), last - start >= _ROW
    more = set()
    for i in range(start + 1, last + 1):
        if i not in found and roles[i - 1] == roles[i] == NOUN and _stands_alone(tokens, i, long):
            more.add(i)
    if in_row or (last - start >= _LONG_ROW and set(roles[last - _LONG_ROW : last]) == {NOUN}):
        more.update(_between_nouns(tokens, roles, start, last, found | more))
    if found or more:
        more.update(_style_words(tokens, start, last))
    return found | more


def _between_nouns(
    tokens: Sequence[Token], roles: Sequence[str], start: int, last: int, known: set[int]
) -> Iterator[int]:
    """Where things start among nouns that no adjective parts, see `compounds`."""
    i = start
    while i <= last:
        first = i
        while i <= last and roles[i] == NOUN and not tokens[i].quoted and (i == first or i not in known):
            i += 1
        if i - first > 1:
            words = [token.lower for token in tokens[first:i]]
            plurals = [_is_plural(token) for token in tokens[first:i]]
            described = first > start and first not in known and roles[first - 1] == MODIFIER
            for k in best_starts(words, plurals, described, leading=first <= start + described):
                yield first + k
        i = max(i, first + 1)


def _style_words(tokens: Sequence[Token], start: int, last: int) -> Iterator[int]:
    """Where style words stand in a row, and where they end: "snow HDR sunset", "mountains tracking camera"."""
    terms, scenes = style_lexicon().terms, word_lists()["whole-scenes"]
    for i in range(start + 1, last + 1):
        word = tokens[i].lower
        if tokens[i].text.isupper() and word in terms and word not in scenes:
            yield i
            yield i + 1
    for i in range(max(start + 1, last - 2), last):
        if " ".join(token.lower for token in tokens[i : last + 1]) in terms:
            yield i
            break


def _modifies(tokens: Sequence[Token], roles: Sequence[str], i: int, last: int) -> bool:
    """Whether the word is a modifier, or a colour or a material that was read as a noun in front of another."""
    if roles[i] == MODIFIER:
        return True
    word, lists = tokens[i].lower, word_lists()
    if i >= last or roles[i] != NOUN:
        return False
    listed = any(word in lists[name] for name in ("colors", "materials", "gems", "substances"))
    listed = listed or code_of(word)[:1] == ADJECTIVE or (word in adjectives() and kind_of(word) != PERSON)
    named = word in lists["animate"]
    return listed or (not named and "JJ" in kinds(word) and tokens[i + 1].tag == "JJ")  # "tail blonde messy hair"


def _describes_anew(tokens: Sequence[Token], roles: Sequence[str], i: int, in_row: bool) -> bool:
    """Whether the modifier at `i` opens a phrase of its own: "barn green meadow", not "snow covered hill"."""
    before, word, lists = tokens[i - 1], tokens[i].lower, word_lists()
    if before.quoted or tokens[i].quoted or is_pair(before.lower, word):
        return False
    if (
        i + 1 < len(tokens)
        and is_pair(word, tokens[i + 1].lower)
        and kind_of(before.lower) in (THING, SITE, WORN, CARRIED)
        and _is_thing(before)
    ):
        return True  # "cathedral stained glass windows"
    material = before.lower in lists["materials"] or before.lower in lists["gems"]
    described = i > 1 and roles[i - 2] == MODIFIER and material  # "white sand blue sea"
    hour = before.lower in lists["time"] and i > 1 and tokens[i - 2].lower in lists["time"]  # "summer afternoon long …"
    if not described and not hour and not _is_thing(before) and not (in_row and _ends_thing(before)):
        return False
    tag = tokens[i].tag
    if tag in ("VBN", "VBD") or (tag == "JJ" and word.endswith("ed")):
        if word in lists["compound-ed"]:
            apart = word in lists["apart-ed"] and kind_of(before.lower) in (THING, SITE, WORN, CARRIED, PERSON, ANIMAL)
            return _is_plural(before) or apart  # "figurehead striped sail", but "snow covered hill"
    elif tag == "VBG" or word.endswith("ing"):
        if word in lists["adjective-ing"] and kind_of(before.lower) in (THING, SITE, PLANT, ANIMAL, PERSON, WORN):
            return True
        if before.lower in lists["compound-ing"]:
            return False
        still = word not in lists["transitive"] and word not in lists["noun-ing"] and roles[i] == MODIFIER
        return word in lists["adjective-ing"] or (still and kind_of(before.lower) in (THING, SITE))
    elif tag.startswith("RB"):
        return ADJECTIVE in code_of(word)  # "mermaid long hair"
    return True


def _is_thing(token: Token) -> bool:
    """Whether a noun names a thing that can stand by itself, neither a style nor a material."""
    word, lists, lexicon = token.lower, word_lists(), style_lexicon()
    if word in lists["whole-scenes"] or word in lists["seen-heads"]:
        return True
    if word in lexicon.words or word in lexicon.heads or word in lexicon.media or word in lexicon.sites:
        return word in lists["animate"] or word in lists["feature"]
    if word in lists["materials"] or word in lists["colors"] or word in lists["time"] or word in lists["measures"]:
        return False
    if (
        "JJ" in kinds(word)
        and word not in lists["feature"]
        and (word not in lists["animate"] or word in lists["sorts"])
    ):
        return False  # "female green fox"
    return token.counted or bool({"NN", "NNS"} & set(kinds(word))) or word in lists["feature"] or can_be_seen(word)


def _ends_thing(token: Token) -> bool:
    """Whether a noun of a row hardly describes the adjective behind it: names and style words do not either."""
    word, lists = token.lower, word_lists()
    describes = kind_of(word) in (MATERIAL, COLOR) or word in lists["time"] or word in lists["measures"]
    return not describes and "JJ" not in kinds(word) and code_of(word)[:1] != ADJECTIVE


def _stands_alone(tokens: Sequence[Token], i: int, long: bool) -> bool:
    """Whether the noun at `i` forms no compound with the one in front: "clouds forest", "hair freckles"."""
    before, token, lists = tokens[i - 1], tokens[i], word_lists()
    if before.quoted or token.quoted or is_pair(before.lower, token.lower):
        return False
    if not _is_thing(before):
        return False
    if before.counted or _is_plural(before):
        return True
    if before.lower in lists["feature"] and token.lower in lists["body"]:
        return True
    if long and before.lower in lists["lone-scenes"]:
        return True
    return long and token.lower in lists["whole-scenes"] and before.lower in lists["animate"]


def _is_plural(token: Token) -> bool:
    word, lists = token.lower, word_lists()
    if word in lists["plural-compounds"]:
        return False
    plural = token.tag == "NNS" or "NN" in kinds(word[:-1]) or bool(singular(word))
    return plural and word.endswith("s") and not word.endswith(("ss", "us", "is"))
