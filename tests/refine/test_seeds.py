"""Seeds: the user's own first, reproducible and different for the rest, the same alone and in a batch."""

from __future__ import annotations

import pytest

from grefine_core.errors import InputError
from grefine_core.refine.protocols import picture_seed, region_seed, second_stage_seed, seeds_for


def test_the_first_is_the_users():
    assert picture_seed(42, 0) == 42
    assert region_seed(42, 0) == 42
    assert seeds_for(42, 1) == [42]


def test_all_are_different_and_valid():
    seeds = [region_seed(picture, region) for picture in seeds_for(42, 20) for region in range(20)]
    seeds += [second_stage_seed(picture) for picture in seeds_for(42, 20)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_never_change():
    """Recorded: a change would alter everybody's pictures."""
    assert picture_seed(0, 1) == 2807380222692488153
    assert region_seed(0, 1) == 4423904022805877221
    assert second_stage_seed(0) == 5689558964803465558


def test_one_each():
    assert seeds_for([3, 4], 2) == [3, 4]


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "7", [1, 2, 3], [1, -1], True, None])
def test_bad_seeds(seed):
    with pytest.raises(InputError, match="seed"):
        seeds_for(seed, 2)
