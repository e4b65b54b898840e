"""How well two nouns in a row make one thing: "oil lamp" and "stone lantern", but "armchair, globe" and "coat, parrot".

What stands between them is unknown in a prompt without commas, so the kinds of things that the nouns name have to tell:
materials, plants, food and times describe what stands behind them, clothes and furniture hardly ever do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from .lexicon import word_lists
from .senses import ADJECTIVE, code_of, noun_kinds, noun_pairs, singular

MATERIAL, COLOR, TIME, PERSON, ANIMAL, WORN, CARRIED, PLANT, FOOD, SITE, SCENE, THING, ACT, UNKNOWN = (
    "material",
    "color",
    "time",
    "person",
    "animal",
    "worn",
    "carried",
    "plant",
    "food",
    "site",
    "scene",
    "thing",
    "act",
    "unknown",
)
_BY_SENSE = {
    "Y": MATERIAL, "P": PERSON, "A": ANIMAL, "V": PLANT, "D": FOOD, "L": SITE, "O": SCENE, "H": SCENE,
    "M": THING, "B": WORN, "I": THING, "W": THING, "S": ACT, "K": ACT, "E": ACT, "C": ACT,
}  # fmt: skip
_BONDS: dict[str, dict[str, float]] = {
    MATERIAL: {THING: 1.5, WORN: 1.5, CARRIED: 1.5, SITE: 1.5, PLANT: 0.8, FOOD: 0.8, PERSON: 0.6, ANIMAL: 0.6,
               UNKNOWN: 1.0, "": 0},
    TIME: {SITE: 1.5, SCENE: 1.5, "": 0.5},
    COLOR: {"": 2},
    PERSON: {PERSON: 1, ANIMAL: 1, SITE: 0.3, THING: 0, WORN: -0.7, CARRIED: -1, UNKNOWN: 0.3, "": -0.8},
    ANIMAL: {ANIMAL: 1, PERSON: 1, THING: 0.1, ACT: -1, WORN: 0.5, SITE: 0.3, UNKNOWN: 0.3, "": -0.8},
    WORN: {UNKNOWN: 0, THING: -0.7, "": -1},
    CARRIED: {UNKNOWN: 0, THING: -0.7, "": -1},
    PLANT: {PLANT: 1, FOOD: 1, THING: 0.8, SITE: 0.8, WORN: 0.3, SCENE: -0.3, UNKNOWN: 0.3, "": -0.8},
    FOOD: {FOOD: 1, PLANT: 0.5, PERSON: 0.7, THING: 0.8, SITE: 0.6, ACT: 0.8, UNKNOWN: 0.3, "": -0.5},
    SITE: {THING: 0.1, SITE: 0.5, SCENE: 0.3, PERSON: 0.3, ANIMAL: 0.1, PLANT: 0.3, FOOD: 0.4, ACT: 0.3, UNKNOWN: 0.3,
           "": -0.7},
    SCENE: {SCENE: -0.3, THING: -0.3, SITE: -0.2, UNKNOWN: 0.3, "": -0.8},
    THING: {ACT: -1, THING: -0.5, SITE: -0.3, PERSON: -0.3, ANIMAL: -0.7, UNKNOWN: 0.3, "": -1},
    ACT: {THING: 0.4, SITE: 0.5, UNKNOWN: 0.3, "": 0},
    UNKNOWN: {UNKNOWN: 1, "": 0.7},
}  # fmt: skip
_PAIR, _DESCRIBING, _DOING = 3.0, 1.0, 1.2
_PLURAL, _CLOSED, _ALONE, _TIME = -1.0, -0.6, -0.45, -1.0
_LONGEST = 6  # nouns in one thing


@lru_cache(maxsize=4096)
def kind_of(word: str) -> str:
    """What a noun names, roughly: one of the kinds above."""
    lists, basic = word_lists(), singular(word) or word
    if word in lists["colors"] and word not in lists["materials"]:
        return COLOR
    if word in lists["materials"] or word in lists["gems"] or word in lists["substances"]:
        return MATERIAL
    if word in lists["time"]:
        return TIME
    if word in lists["sites"] or basic in lists["sites"]:
        return SITE
    kinds = noun_kinds(word)
    if word in lists["carried"]:
        return CARRIED
    if word in lists["feature"]:
        return WORN
    if word in lists["whole-scenes"]:
        return SCENE
    if word in lists["furniture"]:
        return THING
    if word in lists["animate"] or basic in lists["animate"]:
        return ANIMAL if kinds[:1] == "A" else PERSON
    if not kinds:
        return UNKNOWN
    return next((_BY_SENSE[kind] for kind in kinds if kind in _BY_SENSE), ACT)


def is_pair(first: str, second: str) -> bool:
    """Whether two nouns are known to be one thing."""
    known, lists = noun_pairs(), word_lists()
    return any(
        pair in known or pair in lists["compounds"] for pair in (f"{first} {second}", f"{first} {singular(second)}")
    )


def bond(first: str, second: str, plural: bool) -> float:
    """How much speaks for one thing, rather than two; `plural`: the first noun is a plural."""
    if is_pair(first, second):
        return _PAIR
    kind, other = kind_of(first), kind_of(second)
    bonds = _BONDS[kind]
    found = bonds.get(other, bonds[""])
    if other == TIME:
        found = _TIME
    code = code_of(first)
    if code[:1] == ADJECTIVE or (ADJECTIVE in code and kind in (ANIMAL, ACT)):  # "stray cat"
        found = max(found, _DESCRIBING)
    if first.endswith("ing") and kind in (ACT, UNKNOWN):
        found = max(found, _DOING)
    return found + (_PLURAL if plural else 0)


def best_starts(words: Sequence[str], plurals: Sequence[bool], described: bool) -> list[int]:
    """Where things start in a row of nouns, the first one left out; `described`: an adjective stands in front."""
    count = len(words)
    best = [0.0] + [float("-inf")] * count
    back = [0] * (count + 1)
    for end in range(1, count + 1):
        for start in range(max(0, end - _LONGEST), end):
            score = best[start]
            if end - start == 1 and not (start == 0 and described):
                score += _ALONE
            for i in range(start + 1, end):
                link = bond(words[i - 1], words[i], plurals[i - 1])
                closed = i - start > 1 or (start == 0 and described)
                score += link + (_CLOSED if closed and link < _PAIR else 0)
            if score > best[end] or (score == best[end] and start < back[end]):
                best[end], back[end] = score, start
    starts = []
    end = count
    while back[end] > 0:
        end = back[end]
        starts.append(end)
    return starts
