"""Short captions with one word exchanged for another of its kind: "a red ring" where there is a red star.

Most captions of a batch can be told apart without knowing forms, by colours, things and grounds alone; a model then
learns forms last, or never. Against its own caption with one word exchanged there is nothing else to go by.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from grefine_core.miniature.world import COLOURS, FORMS, GROUNDS, PATTERNS, THINGS

from .clip_captions import word_bit

ANSWERS = 8
"""Texts of each question at most: the caption itself, and others with one word exchanged."""
#: Words that can stand for each other, and how often a word of theirs is chosen where a caption has several.
_FAMILIES: tuple[tuple[tuple[str, ...], float], ...] = (
    (FORMS, 4.0),
    (THINGS, 1.0),
    (tuple(COLOURS), 1.0),
    (PATTERNS, 1.5),
    (GROUNDS, 0.5),
)


@dataclass(frozen=True)
class Swap:
    """A token that can be exchanged.

    Attributes:
        bit: of its word.
        others: (token, bit) of the words that can stand in its place.
        weight: how likely it is chosen.
    """

    bit: int
    others: tuple[tuple[int, int], ...]
    weight: float


@lru_cache(maxsize=1)
def swaps() -> dict[int, Swap]:
    """CLIP's tokens of words that can be exchanged, in singular and plural; words of several tokens are left out."""
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    result = {}
    for words, weight in _FAMILIES:
        for ending in ("", "s", "es"):
            spelled = [(tokenizer.encode(word + ending), word_bit(word)) for word in words]
            family = [(tokens[0], bit) for tokens, bit in spelled if len(tokens) == 1]
            for token, bit in family:
                others = tuple(entry for entry in family if entry[0] != token)
                if others:
                    result[token] = Swap(bit, others, weight)
    return result


def ask(
    tokens: NDArray[np.int64],
    wanted: NDArray[np.int64],
    facts: NDArray[np.int64],
    table: dict[int, Swap],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Exchange one word of each caption.

    Args:
        tokens: (B, l) captions.
        wanted: (B, 2) bits of what they tell of.
        facts: (B, F) bits of what their pictures show.
        table: of :func:`swaps`, in the numbers of ``tokens``.
        rng: of the choices.

    Returns:
        (B, ANSWERS, l) tokens, the captions themselves first, and (B, ANSWERS) bool: this one is wrong of the picture.
        Where a caption has no word to exchange, none is.
    """
    texts = np.repeat(tokens[:, None], ANSWERS, axis=1)
    wrong = np.zeros(texts.shape[:2], bool)
    for row, caption in enumerate(tokens):
        places = [place for place, token in enumerate(caption) if int(token) in table]
        if not places:
            continue
        weights = np.array([table[int(caption[place])].weight for place in places])
        place = int(rng.choice(places, p=weights / weights.sum()))
        swap = table[int(caption[place])]
        others = rng.permutation(len(swap.others))[: ANSWERS - 1]
        for number, choice in enumerate(others, start=1):
            token, bit = swap.others[int(choice)]
            told = [(want ^ swap.bit) | bit if want & swap.bit else want for want in wanted[row].tolist()]
            shown = facts[row].tolist()
            texts[row, number, place] = token
            wrong[row, number] = not all(any(want & ~fact == 0 for fact in shown) for want in told if want)
    return texts, wrong
