"""Attempts: what is refused is painted again, what passes stays, and everything can be seen and kept."""

from __future__ import annotations

import pytest
import torch

from grefine_core.errors import Cancelled, InputError
from grefine_core.masks import label_regions
from grefine_core.refine import CropOptions, attempts, read_keep, stage1
from grefine_core.refine.attempts import repair, repair_whole
from grefine_core.refine.guard import GuardResult
from grefine_core.refine.protocols import attempt_seed, region_seed
from grefine_core.report.data import GuardEntry

CROP = CropOptions(min_context=4, join=4)
A, B = (10, 10, 30, 30), (70, 40, 90, 60)


@pytest.fixture
def picture(pictures):
    return pictures(1) * 0.5


@pytest.fixture
def mask(rectangle):
    return rectangle(101, 70, A, B)


class Judge:
    """Accepts what its rule says of a region's box and of how often it was asked."""

    def __init__(self, accepts):
        self.accepts, self.calls = accepts, []

    def __call__(self, before, after, mask, keep):
        labels, count = label_regions(mask[0], CROP.join)
        result, entries = before.clone(), []
        for number in range(1, count + 1):
            where = labels == number
            rows, columns = torch.nonzero(where.any(1)).flatten(), torch.nonzero(where.any(0)).flatten()
            box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
            fine = number in keep or self.accepts(box, len(self.calls) + 1)
            entries.append(GuardEntry(1, box, fine, (0.5, 0.5), (0.5, 0.5), "", number=number))
            if fine:
                result[:, where] = after[:, where]
        self.calls.append(count)
        return GuardResult(result, [entries], [None], [None], count + 1)


def run(picture, mask, inpainter, judge, **options):
    chosen = {"prompt": "a balloon", "strength": 0.5, "steps": 3, "seed": 7, "attempts": 4, "crop": CROP, **options}
    return repair(picture, mask, None, inpainter, judge, **chosen)


def test_only_what_is_refused_is_painted_again(picture, mask, noise_inpainter):
    judge = Judge(lambda box, round_: box == A or round_ == 3)
    done = run(picture, mask, noise_inpainter, judge)
    assert [(each.region, each.number, each.accepted) for each in done.attempts] == [
        (1, 1, True),
        (2, 1, False),
        (2, 2, False),
        (2, 3, True),
    ]
    assert done.calls == 12
    assert len(noise_inpainter.calls) == 4
    assert judge.calls == [2, 1, 1]
    assert done.encodes == 3 + 2 + 2
    assert [entry.accepted for entry in done.entries] == [True, True]
    assert [(entry.number, entry.attempt) for entry in done.entries] == [(1, 1), (2, 3)]
    assert torch.equal(done.image[mask == 0], picture[mask == 0])
    assert not torch.equal(done.image[0, 12:28, 12:28], picture[0, 12:28, 12:28])


def test_seeds_follow_from_picture_region_and_attempt(picture, mask, noise_inpainter):
    done = run(picture, mask, noise_inpainter, Judge(lambda box, round_: False), attempts=3, seed=11)
    wanted = [attempt_seed(region_seed(11, region), number) for number in (1, 2, 3) for region in (0, 1)]
    assert [call.seed for call in noise_inpainter.calls] == [each.seed for each in done.attempts] == wanted
    assert len(set(wanted)) == 6
    assert torch.equal(done.image, picture)


def test_one_attempt_paints_what_stage_1_paints(picture, mask, noise_inpainter):
    done = run(picture, mask, noise_inpainter, Judge(lambda box, round_: True), attempts=1)
    plain = stage1(
        picture, mask, None, noise_inpainter, prompts="a balloon", strengths=0.5, steps=3, seed=[7], crop=CROP
    )
    torch.testing.assert_close(done.image, plain)


def test_a_chosen_attempt_comes_back_without_those_before_it(picture, mask, noise_inpainter):
    first = run(picture, mask, noise_inpainter, Judge(lambda box, round_: box == A))
    shown = next(each for each in first.attempts if (each.region, each.number) == (2, 3))
    noise_inpainter.calls.clear()
    again = run(picture, mask, noise_inpainter, Judge(lambda box, round_: box == A), keep=read_keep("2:3"))
    assert [(each.region, each.number, each.accepted) for each in again.attempts] == [(1, 1, True), (2, 3, True)]
    assert len(noise_inpainter.calls) == 2
    top, left, bottom, right = shown.box
    assert torch.equal(again.image[:, 72:88, 42:58], shown.picture[:, 72 - top : 88 - top, 42 - left : 58 - left])
    assert (bottom, right) == (94, 64) or bottom > 90


def test_a_kept_region_stays_at_its_first_attempt(picture, mask, noise_inpainter):
    done = run(picture, mask, noise_inpainter, Judge(lambda box, round_: False), keep=read_keep("1"))
    assert [each.accepted for each in done.attempts if each.region == 1] == [True]
    assert len([each for each in done.attempts if each.region == 2]) == 4


def test_cancel_between_attempts(picture, mask, noise_inpainter):
    rounds = []

    def interrupt():
        rounds.append(1)
        if len(rounds) == 2:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        run(picture, mask, noise_inpainter, Judge(lambda box, round_: False), interrupt=interrupt)
    assert len(noise_inpainter.calls) == 2


def test_progress_is_counted_over_all_attempts_and_ends_full(picture, mask, noise_inpainter):
    seen = []
    run(
        picture,
        mask,
        noise_inpainter,
        Judge(lambda box, round_: round_ == 2),
        progress=lambda done, total, preview: seen.append((done, total)),
    )
    assert {total for _, total in seen} == {24}
    assert [done for done, _ in seen] == [*range(1, 13), 24]


def test_the_time_it_will_take_is_told(picture, mask, noise_inpainter, caplog):
    with caplog.at_level("INFO", logger=attempts.__name__):
        run(picture, mask, noise_inpainter, Judge(lambda box, round_: False), attempts=2)
    assert "2 regions, up to 2 attempts of 6 denoiser calls together: at most 12 calls" in caplog.text
    assert "up to 6 more about" in caplog.text


def test_the_whole_picture_again_until_it_passes(picture):
    def judge(before, after):
        fine = float(after[0, 0, 0, 0]) > 2
        entry = GuardEntry(2, None, fine, (0.5, 0.5), (0.5, 0.5), "")
        return GuardResult(after if fine else before, [[entry]], [None], [None], 2)

    seeds = []

    def paint(seed, progress):
        seeds.append(seed)
        return torch.full_like(picture, float(len(seeds)))

    done = repair_whole(picture, paint, judge, seed=5, attempts=5, calls=10)
    assert [each.accepted for each in done.attempts] == [False, False, True]
    assert seeds == [attempt_seed(5, number) for number in (1, 2, 3)]
    assert (done.calls, done.encodes) == (30, 6)
    never = repair_whole(picture, lambda seed, progress: picture * 0, judge, seed=5, attempts=2, calls=10)
    assert never.image is picture


@pytest.mark.parametrize(
    ("text", "found"),
    [("", {}), ("2", {2: None}), ("1, 3:4", {1: None, 3: 4}), (" 2 : 3 ; 5 ", {2: 3, 5: None})],
)
def test_what_is_kept_is_read(text, found):
    assert read_keep(text) == found


@pytest.mark.parametrize("text", ["all", "0", "2:0", "1-3", "2:3:4", "-1"])
def test_what_is_no_region_is_named(text):
    with pytest.raises(InputError, match="keep"):
        read_keep(text)
