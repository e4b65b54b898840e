"""Seeds for pictures, regions and stages, all derived from the user's one seed.

Picture 0, region 0 of stage 1 gets the user's seed itself. The derivations compose: running picture ``i`` of a batch
alone with ``picture_seed(seed, i)`` gives what the batch gives for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ..errors import InputError

_LARGEST = 2**64 - 1


def picture_seed(seed: int, index: int) -> int:
    """Seed of picture ``index`` in a batch; ``seed`` itself for the first."""
    return seed if index == 0 else _mix(seed, "picture", index)


def region_seed(seed: int, index: int) -> int:
    """Seed of region ``index`` of the picture whose seed is ``seed``; ``seed`` itself for the first."""
    return seed if index == 0 else _mix(seed, "region", index)


def second_stage_seed(seed: int) -> int:
    """Seed of stage 2. Not stage 1's: the same noise twice burns its pattern into the picture."""
    return _mix(seed, "stage", 2)


def seeds_for(seed: int | Sequence[int], count: int) -> list[int]:
    """One seed for each of ``count`` pictures, from one seed or from a sequence of ``count`` seeds.

    Raises:
        InputError: another number of seeds, or a seed that is no integer in 0 … 2**64 - 1.
    """
    if isinstance(seed, int):
        _check(seed)
        return [picture_seed(seed, index) for index in range(count)]
    if not isinstance(seed, Sequence):
        raise InputError(f"seed: expected an integer from 0 to 2**64 - 1, or one for each picture, got {seed!r}.")
    seeds = list(seed)
    if len(seeds) != count:
        raise InputError(f"seed: {len(seeds)} seeds for {count} pictures; give one, or one for each picture.")
    for value in seeds:
        _check(value)
    return seeds


def _check(seed: object) -> None:
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= _LARGEST:
        raise InputError(f"seed: expected an integer from 0 to 2**64 - 1, got {seed!r}.")


def _mix(seed: int, kind: str, index: int) -> int:
    digest = hashlib.sha256(f"{seed}/{kind}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # 63 bits: a valid signed seed everywhere
