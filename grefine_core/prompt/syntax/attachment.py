"""Which unit a preposition, a verb or a conjunct hangs on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .lexicon import style_lexicon, word_lists
from .tokens import Token
from .tree import Unit
from .words import kinds

_CHAIN = 8  # steps up a chain of governors; deeper nesting is not language
_EARLY = 40  # units among which the subject of a fragment is looked for
_CLAUSE_TAGS = ("VBZ", "VBP", "MD", "VB")


class Units(Protocol):
    """What was read so far, as `chunks.Chunker` keeps it."""

    tokens: Sequence[Token]
    roles: Sequence[str]
    units: list[Unit]
    dropped: set[int]
    sentence: int
    subject: Unit | None
    clause: Unit | None
    relative: Unit | None
    counted: Unit | None

    def nearest(self) -> Unit | None:
        """The unit that was named last."""


def is_animate(unit: Unit) -> bool:
    """Whether the unit names somebody who can do, hold and wear things."""
    word = unit.key
    animate = word_lists()["animate"]
    if word in animate or (word.endswith("s") and word[:-1] in animate):
        return True
    if unit.head is not None and unit.head.tag == "NNP" and unit.relation != "prep":
        return True  # behind a preposition it is more likely a place
    return word.endswith(("woman", "women", "girl", "boy", "person")) or (word.endswith("man") and len(word) > 4)


def is_feature(word: str) -> bool:
    """Whether the word names clothing, a part of the body or something carried."""
    return word in word_lists()["feature"]


def is_medium(unit: Unit | None) -> bool:
    """Whether the unit names the picture itself, which nothing in the picture hangs on."""
    if unit is None or unit.head is None:
        return False
    lexicon = style_lexicon()
    return unit.key in lexicon.media and (unit.key not in lexicon.weak_media or unit.index == 0)


def wears(unit: Unit, tokens: Sequence[Token], roles: Sequence[str], i: int) -> bool:
    """Whether token `i` opens what the unit wears or has: "male warrior | silver armor", but "knight armor"."""
    if not is_animate(unit) or unit.head is not unit.words[-1]:
        return False
    end, last = i, i
    while end < len(tokens) and end - i < 6 and roles[end] in ("A", "N", "H"):
        if roles[end] == "N":
            last = end
        end += 1
    if last == i or not is_feature(tokens[last].lower):
        return False
    word = tokens[i]
    describes = roles[i] == "A" or "JJ" in kinds(word.lower) or word.lower in word_lists()["materials"]
    return describes and not any(token.lower in word_lists()["animate"] for token in tokens[i:last])


def conjunct_governor(before: Unit) -> Unit | None:
    """Later conjuncts share the governor of the first, or hang on the first if that is the root.

    The first word of a later fragment ("phones, tablets and robots") has no governor yet, but is no root.
    """
    return before if before.governor is None and before.index == 0 else before.governor


def _head_ahead(chunker: Units, start: int) -> tuple[str, bool]:
    """(head of the noun phrase that starts at token `start`, whether a possessive pronoun opens it)."""
    word, own = "", False
    for role, token in zip(chunker.roles[start : start + 10], chunker.tokens[start : start + 10], strict=True):
        if role == "D":
            if word:
                break
            own = token.tag == "PRP$"
        elif role == "N":
            word = token.lower
        elif role not in ("A", "H") or (word and role == "A"):
            break
    return word, own


def governor_of(chunker: Units, preposition: str, start: int) -> Unit | None:
    """Governor of the noun phrase behind a preposition; `start` is the index of its first token."""
    last = chunker.nearest()
    if last is None:
        return None
    if preposition in ("while", "when", "because", "if") and chunker.clause is not None:
        return chunker.clause
    while (
        last.relation == "prep"
        and last.key in word_lists()["time"]
        and last.governor is not None
        and (last.governor.fragment == last.fragment and not is_medium(last.governor))
    ):
        last = last.governor  # "at night in the rain": nothing is in the night
    if preposition not in ("of", "with"):
        last = _made_thing(last)
    above = last.governor
    if above is None or above.fragment != last.fragment or last.relation == "conj" or is_medium(above):
        return last
    places = word_lists()["place-prepositions"]
    place = preposition.split()[0] in places or preposition in ("next to", "in front of", "on top of", "close to")
    head, own = _head_ahead(chunker, start)
    if head in word_lists()["time"] and preposition in ("on", "at", "in", "during"):
        return _scene(last)
    if preposition == "of":
        return above if last.preposition == "in" and last.key in word_lists()["materials"] else last
    if preposition == "with":
        wears = is_feature(head)
        if wears and not is_animate(last):
            for unit in upwards(last):
                if is_animate(unit):
                    return unit
        return last
    if last.relation == "object":
        return above if place and not own else last
    if last.preposition == "with":
        if place and is_animate(above) and is_feature(last.key) and not (own or is_feature(head)):
            return above
        return last
    if last.preposition == "of":
        if place and above.relation == "object" and above.governor is not None and not own:
            return above.governor
        return above if place and not is_animate(last) else last
    if last.preposition and last.preposition.split()[0] in places:
        if preposition in word_lists()["directions"] and above.verbs:
            return above  # "milk pouring from a jug into a bowl"
        if is_feature(last.key) or preposition in ("at", "during") or preposition.startswith("next"):
            return above
        return last
    return last


def _scene(unit: Unit) -> Unit:
    """What stands in the places the unit is one of: the yacht of "yacht in a bay"; times are about that."""
    places = word_lists()["place-prepositions"]
    for _ in range(_CHAIN):
        above = unit.governor
        placed = unit.relation == "prep" and unit.preposition.split()[0] in places
        if above is None or above.fragment != unit.fragment or is_medium(above):
            return unit
        if not placed and unit.relation != "object":
            return unit
        unit = above
    return unit


def _made_thing(unit: Unit) -> Unit:
    """What the unit is the material of: the mug of "mug made of cardboard"; otherwise the unit itself."""
    above = unit.governor
    if above is None or unit.preposition not in ("of", "from", "out of") or not above.verbs:
        return unit
    return above if above.verbs[-1].lower in word_lists()["making"] else unit


def upwards(unit: Unit) -> list[Unit]:
    """The unit and what governs it, bottom up, within its fragment."""
    chain, current = [unit], unit.governor
    while current is not None and current.fragment == unit.fragment and len(chain) < _CHAIN and not is_medium(current):
        chain.append(current)
        current = current.governor
    return chain


def subject_of(chunker: Units, i: int) -> Unit | None:
    """The unit that the verb at token `i` joins."""
    token = chunker.tokens[i]
    word = token.lower
    if chunker.relative is not None:
        subject, chunker.relative = chunker.relative, None
        return subject
    last = chunker.nearest()
    if last is None:
        return subject_before(chunker)
    if chunker.subject is not None:
        return chunker.subject
    clause = chunker.clause if chunker.clause is not None and chunker.clause.fragment == last.fragment else last
    previous = chunker.tokens[i - 1].tag if i else ""
    if token.tag == "VB" and token.told and previous.startswith("NN") and last.relation == "object":
        return last  # "makes the bells ring"
    if not word.endswith("ing") and previous != "TO" and _is_finite(chunker, i):
        own = last.relation == "conj" and token.told and last.head is chunker.tokens[i - 1]
        if own and any(verb.tag in _CLAUSE_TAGS for verb in clause.verbs):
            chunker.clause = last  # "his parka flaps in the gale and his boots sink into the snow"
            return last
        return clause
    if chunker.roles[i - 1] == "C" or previous == "TO":
        return clause
    photo = last.governor
    if word in word_lists()["camera-verbs"] and last.preposition == "of" and photo is not None and is_medium(photo):
        following = chunker.roles[i + 1] if i + 1 < len(chunker.roles) else "."
        if following == "P":
            return photo  # "photo of a room taken with a phone"
    last = _made_thing(last)
    chain = upwards(last)
    if len(chain) == 1 or is_animate(last):
        return last
    if word in word_lists()["making"]:
        near = last.relation == "object" or last.preposition.endswith("of")
        return last if near or (last.preposition == "with" and is_feature(last.key)) else clause
    if word in word_lists()["near-verbs"]:
        return last
    transparent = word in word_lists()["transparent-verbs"]
    places = word_lists()["place-prepositions"]
    if transparent or is_feature(last.key):
        for unit in chain:
            if is_animate(unit):
                return unit
    if is_feature(last.key) and last.relation in ("object", "conj"):
        for unit in chain[1:]:
            if unit.verbs and unit.verbs[-1].lower in ("wearing", "holding", "carrying", "wears"):
                return unit  # "poodle wearing glasses teaching calculus"
    if transparent:
        return last if last.preposition == "with" else clause
    if last.relation == "object":
        return chain[1] if word.endswith("ing") else last
    if last.preposition and last.preposition.split()[0] in places and word.endswith("ing"):
        return chain[1]
    return last


def _is_finite(chunker: Units, i: int) -> bool:
    """Whether the verb is one of a clause; a past tense without an object is a participle that was misread."""
    tag = chunker.tokens[i].tag
    if tag != "VBD":
        return tag in _CLAUSE_TAGS
    following = chunker.roles[i + 1] if i + 1 < len(chunker.roles) else "."
    return following in ("D", "N", "A") or chunker.tokens[i].lower in ("had", "did", "was", "were")


def subject_before(chunker: Units) -> Unit | None:
    """Subject of a verb that opens a fragment: what was counted last, else the first main noun of the sentence."""
    if chunker.counted is not None:
        return chunker.counted
    fallback = None
    for unit in chunker.units[:_EARLY]:
        if unit.head is None or is_medium(unit) or unit.index in chunker.dropped or unit.words[0].part == "style":
            continue
        if unit.key in style_lexicon().words or " ".join(unit.lower) in style_lexicon().terms:
            continue
        main = unit.relation == "start" or (unit.preposition == "of" and is_medium(unit.governor))
        if main and unit.sentence == chunker.sentence:
            return unit
        fallback = fallback or (unit if main else None)
    return fallback
