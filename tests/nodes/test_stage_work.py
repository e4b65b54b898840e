"""What there is to do for a stage: lists matched to pictures, clean pictures left alone."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch


@pytest.fixture(scope="module")
def work(pack):
    return pack("nodes.inputs")


IMAGES = torch.rand(3, 4, 5, 3)


def find(work, image=None, run=(True,), strength=(0.5,), steps=(10,), masks=None):
    return work.find_work([IMAGES] if image is None else image, list(run), list(strength), list(steps), masks)


def test_one_value_serves_all_pictures(work):
    found = find(work)
    assert found.active == (0, 1, 2)
    assert found.strengths == (0.5,) * 3
    assert found.steps == (10,) * 3


@pytest.mark.parametrize(
    "options", [{"run": (True, False, True)}, {"strength": (0.5, 0.0, 0.5)}, {"steps": (10, 0, 10)}]
)
def test_pictures_that_are_not_to_be_changed_are_no_work(work, options):
    assert find(work, **options).active == (0, 2)


def test_an_empty_mask_is_no_work(work):
    denoise = [torch.ones(1, 4, 5), torch.zeros(1, 4, 5), torch.ones(1, 4, 5)]
    composite = [torch.ones(1, 4, 5), torch.ones(1, 4, 5), torch.zeros(1, 4, 5)]
    assert find(work, masks=lambda pictures: [denoise, composite]).active == (0,)


def test_masks_are_not_even_looked_at_if_nothing_runs(work):
    def fail(pictures):
        raise AssertionError

    assert find(work, run=(False,), masks=fail).active == ()


def test_untouched_batches_come_back_as_the_same_object(work):
    other = torch.rand(1, 7, 7, 4)
    found = find(work, image=[IMAGES, other], run=(False, True, False, False))
    results = found.run(lambda place, report: torch.zeros(1, 4, 5, 3), None)
    assert results[1] is other
    assert torch.equal(results[0][[0, 2]], IMAGES[[0, 2]])
    assert (results[0][1] == 0).all()


def test_progress_goes_over_all_pictures(work):
    seen = []
    found = find(work, run=(True, False, True))

    def one(place, report):
        for done in (1, 2):
            report(done, 2, None)
        return torch.zeros(1, 4, 5, 3)

    found.run(one, lambda done, total, preview: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"run": (True, False)}, "run: 2 values for 3 pictures"),
        ({"strength": (0.1, 0.2)}, "strength: 2 values for 3 pictures"),
        ({"strength": (1.5,)}, "strength: 1.5 is out of range"),
        ({"strength": ("much",)}, "strength: expected a number"),
        ({"steps": (2.5,)}, "steps: expected a whole number"),
        ({"steps": (1000,)}, "steps: 1000 is out of range"),
        ({"run": ("yes",)}, "run: expected true or false"),
        ({"image": [None]}, "image: no picture"),
    ],
)
def test_wrong_values_are_named(work, input_error, options, message):
    with pytest.raises(input_error, match=message):
        find(work, **options)


def test_seeds_are_derived_from_one_or_taken_as_they_are(work, pack, input_error):
    picture_seed = pack("grefine_core.refine.protocols").picture_seed
    large = 2**64 - 1
    assert work.seeds([large], 2) == [large, picture_seed(large, 1)]
    assert work.seeds([3, 4], 2) == [3, 4]
    with pytest.raises(input_error, match="3 seeds for 2 pictures"):
        work.seeds([1, 2, 3], 2)


def test_conditionings_are_matched_and_recognised(work, input_error):
    one, two = [[torch.zeros(1, 2, 3), {}]], [[torch.ones(1, 2, 3), {}]]
    assert work.conditionings([one], "positive", 3) == [one] * 3
    assert work.conditionings([one, two, one], "positive", 3)[1] is two
    with pytest.raises(input_error, match="positive: 2 values for 3 pictures"):
        work.conditionings([one, two], "positive", 3)
    for wrong in ("a cat", [], [torch.zeros(1)], [[torch.zeros(1), 3]]):
        with pytest.raises(input_error, match="positive: this is no conditioning"):
            work.conditionings([wrong], "positive", 1)


def test_only_what_is_not_there_yet_is_asked_for(work):
    assert work.unevaluated({"model": (None,), "vae": [None], "positive": [1], "negative": None}) == [
        "model",
        "vae",
        "negative",
    ]


def test_a_pasted_book_is_no_prompt(work, input_error):
    longest = "a" * work.MOST_CHARACTERS
    assert work.prompts([longest], "prompt", 2) == [longest] * 2
    with pytest.raises(input_error, match=r"prompt: 20,001 characters, starting with 'aaa"):
        work.prompts([longest + "a"], "prompt", 1)


def test_the_same_values_are_prepared_once(work):
    calls = []

    def prepare(image, steps, mask=None):
        calls.append(steps)
        return len(calls)

    shared = work.Shared(prepare)
    other = IMAGES.clone()
    assert shared.look([IMAGES], [5], (None,)) == 1
    assert shared.look([IMAGES], [5], [None]) == 1  # new lists of the same values, as the host makes them
    assert shared.look([IMAGES], [6], [None]) == 2
    assert shared.look([other], [6], [None]) == 3  # equal is not the same
    assert shared.take([other], [6], [None]) == 3
    assert shared.take([other], [6], [None]) == 4  # was let go of
    assert shared.look([other], [True], [None]) == 5
    assert shared.look([other], [1], [None]) == 6


def test_what_cannot_be_prepared_is_asked_for_again(work, input_error):
    shared = work.Shared(work.seeds)
    for _ in range(2):
        with pytest.raises(input_error, match="3 seeds for 2 pictures"):
            shared.look([1, 2, 3], 2)
    assert shared.take([4], 1) == [4]


def test_pictures_are_held_until_the_result_and_no_longer(work):
    shared = work.Shared(lambda image: [each.split(1) for each in image])
    picture = torch.rand(2, 4, 5, 3)
    held = weakref.ref(picture)
    shared.look([picture])
    shared.take([picture])
    del picture
    gc.collect()
    assert held() is None
