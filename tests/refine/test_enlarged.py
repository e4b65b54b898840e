"""The guard over pictures that came back at another size."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from grefine_core.errors import InputError
from grefine_core.refine.crops import resize_images
from grefine_core.refine.enlarged import guard_resized


def judge(refused):
    """Refuses what ``refused`` ``(H, W)`` says, and notes the sizes that it is shown."""
    seen = []

    def answer(before, after):
        seen.append((tuple(before.shape), tuple(after.shape)))
        return SimpleNamespace(image=torch.where(refused[None, :, :, None], before, after))

    return answer, seen


@pytest.fixture
def before():
    return torch.rand(1, 30, 20, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(120, 80), (61, 41), (15, 10)])
def test_what_is_accepted_comes_out_as_it_came(before, size):
    after = torch.rand(1, *size, 3)
    answer, seen = judge(torch.zeros(30, 20, dtype=torch.bool))
    result, _ = guard_resized(before, after, answer)
    assert result is after
    assert seen == [((1, 30, 20, 3), (1, 30, 20, 3))]


def test_what_is_refused_is_the_old_picture_at_the_new_size(before):
    after = torch.rand(1, 120, 80, 4)
    refused = torch.zeros(30, 20, dtype=torch.bool)
    refused[:10] = True
    result, _ = guard_resized(before, after, judge(refused)[0])
    assert torch.equal(result[:, 40:], after[:, 40:])
    assert torch.equal(result[:, :40, :, :3], resize_images(before, (120, 80))[:, :40])
    assert torch.equal(result[..., 3], after[..., 3])


def test_other_proportions_are_refused(before):
    with pytest.raises(InputError, match="other proportions"):
        guard_resized(before, torch.rand(1, 80, 80, 3), judge(torch.zeros(30, 20, dtype=torch.bool))[0])
