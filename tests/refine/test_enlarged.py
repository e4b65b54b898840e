"""The guard over pictures that came back at another size."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from grefine_core.errors import InputError
from grefine_core.refine.crops import resize_images
from grefine_core.refine.enlarged import guard_resized
from grefine_core.refine.guard import guard
from grefine_core.tensors import as_images


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


def test_what_is_refused_looks_as_before_under_any_alpha(before):
    canvas = torch.cat([before, torch.full((1, 30, 20, 1), 0.5)], dim=-1)
    after = torch.cat([torch.rand(1, 60, 40, 3), torch.full((1, 60, 40, 1), 0.5)], dim=-1)
    result, _ = guard_resized(canvas, after, lambda old, new: SimpleNamespace(image=as_images(old, "before")))
    looks = as_images(result, "result")
    expected = resize_images(as_images(canvas, "before"), (60, 40))
    # Bicubic colours that overshoot 1 are cut off before they are seen over white, or after.
    assert float((looks - expected).abs().max()) < 0.1
    assert float((looks - expected).abs().mean()) < 1e-3


@pytest.mark.parametrize("channels", [3, 4])
def test_what_is_accepted_under_alpha_comes_out_as_it_came(before, make_ruler, channels):
    """The guard itself: colours under alpha are others than those that are seen, and no refusal."""
    canvas = torch.cat([before * 0.5, torch.linspace(0.0, 1.0, 20).expand(1, 30, 20).unsqueeze(-1)], dim=-1)
    after = torch.full((1, 60, 40, channels), 0.95)
    result, told = guard_resized(canvas, after, lambda old, new: guard(old, new, None, "", assess=make_ruler()))
    assert [entry.accepted for entry in told.entries[0]] == [True]
    assert result is after


def test_a_thin_refusal_is_kept_where_the_picture_came_back_smaller(before):
    refused = torch.zeros(30, 20, dtype=torch.bool)
    refused[1] = True
    answer, _ = judge(refused)
    after = torch.rand(1, 15, 10, 3)
    result, _ = guard_resized(before, after, answer)
    old = resize_images(before, (15, 10))
    assert torch.allclose(result[:, 0], old[:, 0], atol=1e-6)
    assert torch.equal(result[:, 1:], after[:, 1:])
