"""How well two nouns in a row make one thing: "oil lamp" and "stone lantern", but "armchair, globe" and "coat, parrot".

What stands between them is unknown in a prompt without commas, so the kinds of things that the nouns name have to tell:
materials, plants, food and times describe what stands behind them, clothes and furniture hardly ever do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from .lexicon import adjectives, read_sections, word_lists
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
               UNKNOWN: 1.0, SCENE: -0.3, "": 0},
    TIME: {SITE: 1.5, SCENE: 1.5, PLANT: 0.8, TIME: 0.8, "": 0.5},
    COLOR: {"": 2},
    PERSON: {PERSON: 1, ANIMAL: 0.3, SITE: 0.3, THING: 0, WORN: -0.7, CARRIED: -1, UNKNOWN: 0.3, "": -0.8},
    ANIMAL: {ANIMAL: 1, PERSON: 1, THING: -0.4, ACT: -1, WORN: 0.5, SITE: 0.3, UNKNOWN: 0.3, "": -0.8},
    WORN: {UNKNOWN: -0.5, "": -1.3},
    CARRIED: {UNKNOWN: -0.3, "": -1.3},
    PLANT: {PLANT: -0.3, FOOD: 1, THING: 0, SITE: 0.3, WORN: 0.3, SCENE: -0.5, UNKNOWN: 0.3, "": -0.8},
    FOOD: {FOOD: -0.5, PLANT: 0, PERSON: 0.7, THING: 0.1, SITE: -0.2, ACT: 0.6, UNKNOWN: 0.3, "": -0.8},
    SITE: {THING: -0.45, SITE: 0.2, SCENE: -0.4, PERSON: 0.3, ANIMAL: -0.9, PLANT: -0.6, FOOD: -0.3, ACT: 0,
           UNKNOWN: 0, "": -0.8},
    SCENE: {SCENE: -0.7, THING: -0.8, SITE: -0.8, UNKNOWN: 0, "": -0.9},
    THING: {ACT: -1, THING: -0.85, SITE: -0.8, PERSON: -0.4, ANIMAL: -0.9, UNKNOWN: 0, "": -1},
    ACT: {THING: 0.4, SITE: 0.5, PERSON: 0.5, UNKNOWN: 0.3, "": -0.1},
    UNKNOWN: {UNKNOWN: 0.7, "": 0.5},
}  # fmt: skip
_PAIR, _ADJECTIVE, _DESCRIBING, _DOING, _RECEIVING = 3.0, 1.5, 1.0, 1.2, 1.3
_PLURAL, _CLOSED, _TIME, _MATERIAL = -1.0, -0.5, -1.0, -1.2
_SUBJECT = -1.6  # between who a row is about and what comes next
_ALONE = {PERSON: -0.15, ANIMAL: -0.15, WORN: -0.3, CARRIED: -0.3, SCENE: -0.3, MATERIAL: -0.8, COLOR: -1.0}
_ALONE_ELSE = -0.4  # a thing without any word that describes it
_LONGEST = 6  # nouns in one thing
_RECEIVERS = {
    FOOD: ("behind-food",), PLANT: ("behind-plants",), ANIMAL: ("behind-animals",), SITE: ("behind-sites",),
    THING: ("behind-things", "emanations"), WORN: ("behind-worn",), CARRIED: ("behind-things", "emanations"),
    SCENE: ("behind-scenes", "emanations"), MATERIAL: ("emanations",), PERSON: ("behind-persons",),
    ACT: ("behind-things", "emanations"),
}  # fmt: skip


@lru_cache(maxsize=1)
def _listed_kinds() -> dict[str, str]:
    """Kinds of the nouns of data/nouns.txt, which WordNet may not have."""
    sections = read_sections("nouns.txt")
    kinds = {
        "things": THING,
        "food": FOOD,
        "plants": PLANT,
        "animals": ANIMAL,
        "clothing and body": WORN,
        "people": PERSON,
    }
    return {word: kind for name, kind in kinds.items() for word in sections[name]}


@lru_cache(maxsize=4096)
def kind_of(word: str) -> str:
    """What a noun names, roughly: one of the kinds above."""
    lists, basic = word_lists(), singular(word) or word
    for kind in (MATERIAL, PLANT, FOOD, THING, SCENE, PERSON, ANIMAL, SITE):
        if word in lists[f"{kind}-kind"] or basic in lists[f"{kind}-kind"]:
            return kind
    if word in lists["colors"] and word not in lists["materials"] and word not in lists["things-colors"]:
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
        return ANIMAL if "A" in kinds and kinds[:1] != "P" else PERSON
    if not kinds:
        return _listed_kinds().get(word) or _listed_kinds().get(basic) or UNKNOWN
    return next((_BY_SENSE[kind] for kind in kinds if kind in _BY_SENSE), ACT)


def is_pair(first: str, second: str) -> bool:
    """Whether two nouns are known to be one thing."""
    known, lists = noun_pairs(), word_lists()
    return any(
        pair in known or pair in lists["compounds"] for pair in (f"{first} {second}", f"{first} {singular(second)}")
    )


def bond(first: str, second: str, plural: bool, leading: bool = False) -> float:
    """How much speaks for one thing, rather than two.

    plural: the first noun is a plural. leading: it opens the row, which tells what the picture is about.
    """
    if is_pair(first, second):
        return _PAIR
    kind, other = kind_of(first), kind_of(second)
    bonds = _BONDS[kind]
    found = bonds.get(other, bonds[""])
    receives = any(second in word_lists()[name] for name in _RECEIVERS.get(kind, ()))
    if first in word_lists()["closed-sites"] and not receives and not (leading and other == PERSON):
        return min(found, -1.0)  # "corn field, barn"
    if first in word_lists()["plain-persons"] and (other != PERSON or second in word_lists()["plain-persons"]):
        return _SUBJECT  # "boy, dinosaur costume"
    if other == TIME and kind != TIME:
        found = _TIME
    elif other == MATERIAL and kind not in (MATERIAL, COLOR, TIME, UNKNOWN) and not receives:
        found = _MATERIAL
    elif leading and kind in (PERSON, ANIMAL) and other not in (PERSON, ANIMAL, UNKNOWN, SITE):
        found = min(found, _SUBJECT)  # "surfer wetsuit", but "… fox, nurse uniform"
    elif leading and (other == PERSON or (other == ANIMAL and kind == SITE)) and kind not in (WORN, PERSON):
        found = max(found, _DESCRIBING)  # "lighthouse keeper"
    if kind == MATERIAL and second in word_lists()["airs"]:
        return -1.5  # "ancient oak, mist"
    if receives and (not (leading and kind == PERSON) or second in word_lists()["behind-roles"]):
        found = max(found, _RECEIVING + (other == MATERIAL))  # "wine glass"
    code = code_of(first)
    if first in word_lists()["things-colors"] and other in (WORN, THING, CARRIED, SITE):
        found = max(found, _ADJECTIVE)  # "a coral dress", but "coral, bubbles"
    if first in adjectives():
        found = max(found, _ADJECTIVE)
    if code[:1] == ADJECTIVE or (ADJECTIVE in code and kind in (ANIMAL, ACT)):  # "stray cat"
        found = max(found, _DESCRIBING)
    if first.endswith("ing") and kind in (ACT, UNKNOWN):
        found = max(found, _DOING)
    return found + (_PLURAL if plural else 0)


def goes_behind(first: str, second: str) -> bool:
    """Whether the second word is known to make one thing with the first: "rain drops", "lemon wedges"."""
    return is_pair(first, second) or any(second in word_lists()[name] for name in _RECEIVERS.get(kind_of(first), ()))


def best_starts(words: Sequence[str], plurals: Sequence[bool], described: bool, leading: bool = False) -> list[int]:
    """Where things start in a row of nouns, the first one left out.

    described: an adjective stands in front. leading: nothing else of the row does.
    """
    count = len(words)
    best = [0.0] + [float("-inf")] * count
    back = [0] * (count + 1)
    for end in range(1, count + 1):
        for start in range(max(0, end - _LONGEST), end):
            score = best[start]
            if end - start == 1 and not (start == 0 and described):
                score += _ALONE.get(kind_of(words[start]), _ALONE_ELSE)
            for i in range(start + 1, end):
                first = leading and start == 0
                link = bond(words[i - 1], words[i], plurals[i - 1], first)
                if i + 1 < end and bond(words[i], words[i + 1], False) >= _RECEIVING:
                    # In "cat witch hat" the hat would be the cat's.
                    link = min(link, bond(words[i - 1], words[i + 1], plurals[i - 1], first))
                closed = i - start > 1 or (start == 0 and described)
                score += link + (_CLOSED if closed and link < _RECEIVING else 0)
            if score > best[end] or (score == best[end] and start < back[end]):
                best[end], back[end] = score, start
    starts = []
    end = count
    while back[end] > 0:
        end = back[end]
        starts.append(end)
    return starts
