"""What a phrase is contrasted with: other nouns for its head, other words of the same kind for its modifiers.

The lists lie in ``data/``: nouns in groups (members that are synonyms share an entry), modifiers by kind with sets of
words that mean nearly the same, and captions of other pictures for whole prompts (method, section 3.3 b).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

_DATA = Path(__file__).parent / "data"
_IRREGULAR = {
    "men": "man",
    "women": "woman",
    "children": "child",
    "people": "person",
    "feet": "foot",
    "teeth": "tooth",
    "mice": "mouse",
    "geese": "goose",
    "leaves": "leaf",
    "knives": "knife",
    "wolves": "wolf",
    "shelves": "shelf",
    "glasses": "glasses",
    "sunglasses": "sunglasses",
    "clothes": "clothes",
}


@dataclass(frozen=True)
class NounEntry:
    """One thing of the noun bank: its name, its synonyms, the words for its group."""

    name: str
    synonyms: frozenset[str]
    group: frozenset[str]
    close: bool
    """Whether the members of the group describe the same things (man, soldier): none contrasts another then."""


@lru_cache(maxsize=1)
def noun_bank() -> tuple[NounEntry, ...]:
    """All nouns, in the order of the file."""
    entries = []
    for group in _read("nouns.json")["groups"].values():
        names = frozenset(group["names"])
        members = frozenset(word for member in group["members"] for word in member)
        for member in group["members"]:
            words = names | members if group["close"] else names
            entries.append(NounEntry(member[0], frozenset(member), words, bool(group["close"])))
    return tuple(entries)


@lru_cache(maxsize=1)
def captions() -> tuple[str, ...]:
    """Captions of other pictures, for whole prompts."""
    return tuple(_read("prompts.json")["prompts"])


@lru_cache(maxsize=1)
def modifier_kinds() -> dict[str, tuple[str, ...]]:
    """Kind of modifier -> its words, in the order of the file."""
    return {kind: tuple(words) for kind, words in _read("modifiers.json")["kinds"].items()}


def other_nouns(head: str, mentioned: Iterable[str] = ()) -> tuple[str, ...]:
    """Nouns that a picture of ``head`` should not show.

    Left out: synonyms of the head and of every other noun that the prompt mentions (those are in the picture, too), the
    members of a group that is named ("animal" against "dog"), and members of the same group where they describe the
    same things ("girl" against "woman").
    """
    words = {singular(word) for word in (head, *mentioned)}
    return tuple(entry.name for entry in noun_bank() if not words & entry.synonyms and not words & entry.group)


def kind_of(word: str, tag: str = "") -> str | None:
    """The kind of a modifier: colour, material, size, …; by its tag where the word is in no list; None for words that
    nothing can be exchanged for (degree adverbs, possessives, function words)."""
    lowered = word.lower()
    for kind, words in modifier_kinds().items():
        if lowered in words:
            return kind
    if lowered.isdigit() or tag == "CD":
        return "number"
    if tag.startswith("VB"):
        return "action"
    if tag.startswith("NN"):
        return "noun"
    return "general" if tag.startswith("JJ") else None


def others_of_kind(word: str, kind: str, count: int, mentioned: Iterable[str] = ()) -> tuple[str, ...]:
    """At most ``count`` words of the same kind that mean something else, the commonest first; always the same.

    Left out: words that mean nearly the same as the word, or as one chosen already, and words that the prompt itself
    uses (``mentioned``). For compound nouns the nouns of the bank, spread evenly.
    """
    if kind == "noun":
        nouns = other_nouns(word, mentioned)
        return nouns if len(nouns) <= count else tuple(nouns[(i * len(nouns)) // count] for i in range(count))
    barred = {word.lower(), *(other.lower() for other in mentioned)} | _alike(word.lower())
    chosen: list[str] = []
    for other in modifier_kinds()[kind]:
        if other not in barred and len(chosen) < count:
            chosen.append(other)
            barred |= {other} | _alike(other)
    return tuple(chosen)


@lru_cache(maxsize=1024)
def _alike(word: str) -> frozenset[str]:
    return frozenset(other for group in _read("modifiers.json")["alike"] if word in group for other in group)


def singular(noun: str) -> str:
    """The singular of an English noun by rule, lower case: for comparing words, not for writing them."""
    word = noun.lower()
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        return word[:-1]
    return word


@lru_cache(maxsize=4)
def _read(name: str) -> Any:
    return json.loads((_DATA / name).read_text(encoding="utf-8"))
