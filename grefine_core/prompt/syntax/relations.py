"""How two phrases of a prompt stand to each other."""

from __future__ import annotations

import re

from .tree import Phrase

__all__ = ["stand_apart"]

#: Between two things that are both whole, in different places: what joins a list, and what says beside, over or under.
#: Not among them: what makes one a part of the other ("with", "of", "wearing"), lies on it ("on") or hides it ("in
#: front of"), and a comma alone, which in tags means anything.
_APART = frozenset(
    [
        *("and", "plus", "as well as", "and also", "and then", "besides", "or"),
        *("beside", "next to", "near", "close to", "by", "opposite", "across from", "left of", "right of"),
        *("to the left of", "to the right of", "over", "above", "under", "underneath", "below", "beneath", "behind"),
    ]
)
_ARTICLES = frozenset(["a", "an", "the", "some", "another"])
_THERE = re.compile(r"\b(?:and )?there (?:is|are)(?: also)?\b")
_MOST_GAP = 40


def stand_apart(first: Phrase, second: Phrase) -> bool:
    """Whether the prompt puts two things beside each other: "a mushroom, as well as a fish", "an apple over a ring".

    False where one may be a part of the other ("a man with a hat"), where words of a third come between them, and for
    phrases without their prompt.

    Args:
        first, second: of one prompt, in any order.
    """
    if second.words[0].start < first.words[0].start:
        first, second = second, first
    ends = [word.end for word in first.words if word.end <= second.words[0].start]
    if not first.prompt or not ends:
        return False
    gap = first.prompt[max(ends) : second.words[0].start]
    if len(gap) > _MOST_GAP:
        return False
    told = _THERE.sub(" and ", re.sub(r"[,.;:()]", " ", gap.lower()))
    words = told.split()
    while words and words[-1] in _ARTICLES:
        words.pop()
    return " ".join(words) in _APART
