"""The guard: what lowers an indicator is refused, region by region, and the report says so."""

from __future__ import annotations

from importlib import import_module

import pytest
import torch

from grefine_core.errors import InputError
from grefine_core.refine import guard

RED, GREEN = 0, 1


@pytest.fixture
def before():
    return torch.full((1, 101, 70, 3), 0.5)


def changed(before, box, channel, amount):
    after = before.clone()
    top, left, bottom, right = box
    after[:, top:bottom, left:right, channel] += amount
    return after


A, B = (5, 5, 25, 25), (70, 40, 95, 65)


@pytest.fixture
def mask(rectangle):
    return rectangle(101, 70, A, B)


@pytest.fixture
def check(ruler):
    """Guard with a ruler: PS is the mean of red, AS that of green."""

    def run(before, after, **options):
        return guard(before, after, None, "a red balloon", assess=ruler, **options)

    return run


def test_a_worse_region_is_refused_and_a_better_one_kept(before, mask, check, ruler):
    after = changed(changed(before, A, RED, 0.2), B, GREEN, -0.2)
    out = check(before, after, mask=mask)
    assert torch.equal(out.image, changed(before, A, RED, 0.2))
    first, second = out.entries[0]
    assert (first.region, first.accepted, first.stage) == (A, True, 1)
    assert (second.region, second.accepted) == (B, False)
    assert "alignment score falls from 0.5000" in second.reason
    assert first.before == second.before == out.before[0]
    assert second.after[1] < 0.5 == second.before[1]
    assert out.after[0][0] > out.before[0][0]
    assert out.refused == 1
    assert out.encodes == ruler.pictures == 3  # before, and each region alone; one kept needs no further one


def test_both_indicators_count(before, mask, check):
    for channel, name in ((RED, "perceptual"), (GREEN, "alignment")):
        out = check(before, changed(before, A, channel, -0.1), mask=mask)
        assert torch.equal(out.image, before)
        assert name in out.entries[0][0].reason
        assert out.before == out.after


def test_better_and_equal_pass(before, mask, check):
    after = changed(changed(before, A, RED, 0.1), B, 2, 0.3)  # blue is not measured
    out = check(before, after, mask=mask)
    assert torch.equal(out.image, after)
    assert [entry.accepted for entry in out.entries[0]] == [True, True]
    assert out.encodes == 4  # before, two alone, both together


def test_all_refused_is_bit_identical(before, mask, check):
    after = changed(changed(before, A, RED, -0.1), B, RED, -0.1)
    out = check(before, after, mask=mask)
    assert torch.equal(out.image, before)
    assert out.after == out.before


def test_nothing_changed_costs_nothing(before, mask, check, ruler):
    for options in ({}, {"mask": mask}, {"mask": mask * 0}):
        out = check(before, before.clone(), **options)
        assert torch.equal(out.image, before)
        assert out.entries == [[]]
        assert out.encodes == ruler.pictures == 0


def test_harmless_alone_but_not_together(before, mask, make_ruler):
    both = changed(changed(before, A, RED, 0.1), B, RED, 0.2)

    def spoil(picture):
        return 0.5 if torch.equal(picture, both[0]) else 0.0

    out = guard(before, both, None, "x", mask=mask, assess=make_ruler(spoil))
    # The region that gains less goes.
    assert torch.equal(out.image, changed(before, B, RED, 0.2))
    assert [entry.accepted for entry in out.entries[0]] == [False, True]
    assert "together" in out.entries[0][0].reason
    assert out.after[0][0] > out.before[0][0]


def test_three_regions_until_it_passes(before, rectangle, make_ruler):
    boxes = [(5, 5, 20, 20), (45, 5, 60, 20), (85, 5, 100, 20)]
    after = before
    for gain, box in zip((0.1, 0.2, 0.3), boxes, strict=True):
        after = changed(after, box, RED, gain)
    # Any two together are too much; each alone is fine.
    regions = [(slice(box[0], box[2]), slice(box[1], box[3])) for box in boxes]

    def spoil(picture):
        return 0.4 if sum(bool((picture[region] != 0.5).any()) for region in regions) > 1 else 0.0

    ruler = make_ruler(spoil)
    out = guard(before, after, None, "x", mask=rectangle(101, 70, *boxes), assess=ruler, join=8)
    assert [entry.accepted for entry in out.entries[0]] == [False, False, True]
    assert torch.equal(out.image, changed(before, boxes[2], RED, 0.3))
    assert out.encodes == ruler.pictures == 6  # before, three alone, three together, two together


def test_tolerance(before, mask, check):
    after = changed(before, A, RED, -0.1)
    fall = 0.1 * 400 / (101 * 70)
    assert torch.equal(check(before, after, mask=mask, tolerance=fall * 1.01).image, after)
    assert torch.equal(check(before, after, mask=mask, tolerance=fall * 0.99).image, before)


def test_whole_picture_without_a_mask(before, check):
    mixed = changed(changed(before, A, RED, 0.2), B, GREEN, -0.2)
    out = check(before, mixed)
    assert torch.equal(out.image, before)
    (entry,) = out.entries[0]
    assert (entry.region, entry.accepted, entry.stage) == (None, False, 2)
    better = changed(before, A, RED, 0.2)
    assert torch.equal(check(before, better).image, better)


def test_feathered_edges_belong_to_the_nearest_region(before, mask, check):
    """Stage 1 pastes softly: pixels around a region go with it, none is left half changed."""
    after = before.clone()
    after[:, 0:40, :30, RED] += 0.2  # around A
    after[:, 60:, 35:, GREEN] -= 0.2  # around B
    out = check(before, after, mask=mask)
    assert torch.equal(out.image[:, :50], after[:, :50])
    assert torch.equal(out.image[:, 50:], before[:, 50:])


def test_a_change_far_from_any_mask_is_judged_too(before, check):
    out = check(before, changed(before, A, RED, -0.2), mask=torch.zeros(1, 101, 70))
    assert torch.equal(out.image, before)
    assert len(out.entries[0]) == 1


def test_each_picture_by_itself(before, mask, check):
    three = before.repeat(3, 1, 1, 1)
    after = three.clone()
    after[0] = changed(before, A, RED, 0.1)[0]
    after[2] = changed(before, A, RED, -0.1)[0]
    out = check(three, after, mask=mask)
    assert torch.equal(out.image[0], after[0])
    assert torch.equal(out.image[1:], three[1:])
    assert [len(entries) for entries in out.entries] == [1, 0, 1]
    assert out.before[1] is None
    single = check(three[2:], after[2:], mask=mask)
    assert single.entries[0] == out.entries[2]


def test_known_scores_are_not_measured_again(before, mask, check, ruler):
    out = check(before, changed(before, A, RED, 0.1), mask=mask, scores=[(0.5, 0.5)])
    assert ruler.pictures == 1
    assert out.before == [(0.5, 0.5)]
    assert out.entries[0][0].accepted


def test_scores_that_are_no_numbers_are_refused(before, mask, make_ruler):
    after = changed(before, A, RED, 0.2)
    ruler = make_ruler(lambda picture: float("nan") if torch.equal(picture, after[0]) else 0.0)
    out = guard(before, after, None, "x", mask=mask, assess=ruler)
    assert torch.equal(out.image, before)


def test_the_prompts_reach_the_measure(before, mask):
    seen = []

    def measure(quality, images, prompts):
        seen.append((quality, len(images), prompts))
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError):
        guard(before, changed(before, A, RED, 0.2), "model", ["a cat"], mask=mask, assess=measure)
    assert seen == [("model", 2, ["a cat", "a cat"])]


def test_many_regions_in_small_batches(check, ruler, rectangle):
    before = torch.full((1, 200, 200, 3), 0.5)
    boxes = [(20 * i, 20 * j, 20 * i + 4, 20 * j + 4) for i in range(4) for j in range(4)]
    sizes = []

    def counting(quality, images, prompts):
        sizes.append(len(images))
        return ruler(quality, images, prompts)

    after = before.clone()
    for top, left, bottom, right in boxes:
        after[:, top:bottom, left:right] += 0.1
    out = guard(before, after, None, "x", mask=rectangle(200, 200, *boxes), assess=counting, join=4, batch=5)
    assert torch.equal(out.image, after)
    assert len(out.entries[0]) == 16
    assert max(sizes) == 5


def test_large_pictures_are_assessed_fewer_at_a_time(before, mask, ruler, monkeypatch):
    # By the module's full name: in the package, its name is the function.
    monkeypatch.setattr(import_module("grefine_core.refine.guard"), "PIXELS_AT_ONCE", 2 * 101 * 70)
    after = changed(changed(before, A, RED, 0.2), B, GREEN, 0.2)
    sizes = []

    def counting(quality, images, prompts):
        sizes.append(len(images))
        return ruler(quality, images, prompts)

    out = guard(before, after, None, "x", mask=mask, assess=counting)
    assert torch.equal(out.image, after)
    assert sizes == [2, 1, 1]  # before and one region, the other region, both together


def test_inputs_are_not_written_to(before, mask, check):
    after = changed(changed(before, A, RED, 0.2), B, GREEN, -0.2)
    copies = before.clone(), after.clone(), mask.clone()
    check(before, after, mask=mask)
    assert all(torch.equal(now, copy) for now, copy in zip((before, after, mask), copies, strict=True))


class TestBadInput:
    def test_shapes(self, before, check):
        with pytest.raises(InputError, match=r"after.*\(1, 100, 70, 3\).*\(1, 101, 70, 3\)"):
            check(before, before[:, :100])

    def test_mask_size(self, before, check):
        with pytest.raises(InputError, match="mask"):
            check(before, before, mask=torch.ones(1, 10, 10))

    @pytest.mark.parametrize("tolerance", [-0.1, float("nan"), float("inf")])
    def test_tolerance(self, before, check, tolerance):
        with pytest.raises(InputError, match="tolerance"):
            check(before, before, tolerance=tolerance)

    def test_prompts(self, before, ruler):
        with pytest.raises(InputError, match="prompt"):
            guard(before, before, None, ["a", "b"], assess=ruler)

    def test_scores(self, before, check):
        with pytest.raises(InputError, match="scores"):
            check(before, before, scores=[(0.5, 0.5)] * 2)
