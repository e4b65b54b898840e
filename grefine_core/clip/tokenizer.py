"""CLIP's tokenizer as open_clip has it, whose time grows with a word's length and not with its square.

open_clip looks at all pairs of a word anew after every merge: a word of 20,000 letters, as pasted base64 is one, takes
most of a minute. The tokens here are the same.
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

LONG_WORD = 64
"""Letters from which on the other way of merging is the quicker one."""


def with_long_words(tokenizer: Any) -> Any:
    """``tokenizer`` with this way of merging, if it is open_clip's ``SimpleTokenizer``; anything else as it is."""
    from open_clip.tokenizer import SimpleTokenizer

    if type(tokenizer) is not SimpleTokenizer or "bpe" in vars(tokenizer):
        return tokenizer
    made = copy.copy(tokenizer)
    made.bpe = partial(_bpe, tokenizer)
    return made


def _bpe(tokenizer: Any, token: str) -> str:
    """The tokens of one word, joined by blanks."""
    if len(token) < LONG_WORD or token in tokenizer.cache:
        return str(tokenizer.bpe(token))
    return " ".join(merged([*token[:-1], token[-1] + "</w>"], tokenizer.bpe_ranks))


def merged(letters: Sequence[str], ranks: Mapping[tuple[str, str], int]) -> list[str]:
    """Byte pair encoding: the pair of neighbours with the lowest rank is joined wherever it stands, until none is left.

    Args:
        letters: of one word.
        ranks: pair -> its rank; pairs without one are never joined.
    """
    symbols: list[str | None] = list(letters)
    count = len(symbols)
    # Joined symbols stand at the place of their first letter; the places between are skipped.
    after, before = list(range(1, count + 1)), list(range(-1, count - 1))
    queue = [(ranks[pair], place) for place, pair in enumerate(pairwise(letters)) if pair in ranks]
    heapq.heapify(queue)

    def rank_at(place: int) -> int | None:
        first, second = symbols[place], symbols[after[place]] if after[place] < count else None
        return None if first is None or second is None else ranks.get((first, second))

    while queue:
        rank, places = queue[0][0], []
        while queue and queue[0][0] == rank:
            places.append(heapq.heappop(queue)[1])
        joined = []
        for place in places:  # from left to right
            if rank_at(place) != rank:
                continue  # one of the two was joined with another since
            second = after[place]
            symbols[place], symbols[second] = f"{symbols[place]}{symbols[second]}", None
            after[place] = after[second]
            if after[place] < count:
                before[after[place]] = place
            joined.append(place)
        for place in joined:
            for start in (before[place], place):
                found = rank_at(start) if start >= 0 else None
                if found is not None:
                    heapq.heappush(queue, (found, start))
    return [symbol for symbol in symbols if symbol is not None]
