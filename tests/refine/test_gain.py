"""The guard's rule "gain": kept is what brings something and costs nothing, beyond noise."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from grefine_core.alignment.results import PhraseQuality
from grefine_core.errors import InputError
from grefine_core.prompt.syntax import Phrase, Word
from grefine_core.refine import Noise, guard
from grefine_core.refine.gains import Reading, compare, grid_places, noise_of, region_place

RED, GREEN, BLUE = 0, 1, 2
A, B = (5, 5, 25, 25), (70, 40, 95, 65)
QUIET = Noise(0.02, 0.05, 0.1)


class Eyes:
    """Stands in for ``alignment.assess``: red is quality, place by place; "grass" is as much there as there is green,
    "sky" (q of 1.4) as there is blue."""

    def __init__(self):
        self.pictures = 0

    def __call__(self, quality, images, prompts):
        self.pictures += len(images)
        score = images[..., RED].double().mean(dim=(1, 2))
        phrases = tuple(
            tuple(
                phrase(name, 1 + steepness * (float(image[..., channel].mean()) - enough))
                for name, channel, steepness, enough in (("grass", GREEN, 10, 0.1), ("sky", BLUE, 40, 0.19))
                if name in words
            )
            for image, words in zip(images, prompts, strict=True)
        )
        return SimpleNamespace(
            perceptual=SimpleNamespace(score=score, factors={"overall": score}, quality_map=images[..., RED]),
            alignment=SimpleNamespace(score=score, phrases=phrases),
        )


def phrase(text, ratio):
    word = Word(text, 0, "NN")
    tree = Phrase(words=(word,), head=word, ancestor=None, is_style=False)
    missing = ratio < 1.0
    return PhraseQuality(tree, min(1.0, ratio), min(1.0, ratio), "noun" if missing else "none", ratio=ratio)


@pytest.fixture
def before():
    picture = torch.full((1, 101, 70, 3), 0.5)
    picture[..., GREEN], picture[..., BLUE] = 0.09, 0.2  # grass is missing, the sky is there
    return picture


def changed(before, box, channel, amount):
    after = before.clone()
    top, left, bottom, right = box
    after[:, top:bottom, left:right, channel] += amount
    return after


@pytest.fixture
def mask(rectangle):
    return rectangle(101, 70, A, B)


def check(before, after, *, prompt="grass, sky", noise=QUIET, **options):
    return guard(before, after, None, prompt, assess=Eyes(), rule="gain", noise=noise, **options)


def verdicts(out):
    return [entry.accepted for entry in out.entries[0]]


def test_a_region_that_looks_better_stays_and_one_that_brings_nothing_goes(before, mask):
    after = changed(changed(before, A, RED, 0.3), B, RED, 0.001)
    out = check(before, after, mask=mask)
    assert verdicts(out) == [True, False]
    assert torch.equal(out.image, changed(before, A, RED, 0.3))
    first, second = out.entries[0]
    assert "quality of the region 0.50 → 0.80" in first.reason
    assert first.quality == pytest.approx((0.5, 0.8), abs=1e-5)
    assert "no gain beyond noise" in second.reason
    assert (first.number, second.number) == (1, 2)


def test_a_missing_thing_that_goes_further_away_refuses_a_gain(before, mask):
    worse = changed(changed(before, A, RED, 0.3), A, GREEN, -0.09)
    out = check(before, worse, mask=mask, noise=replace(QUIET, phrase=0.04))
    assert verdicts(out) == [False]
    assert "'grass' falls from 0.90" in out.entries[0][0].reason


def test_equal_is_no_gain(before, mask):
    after = changed(before, A, BLUE, 0.01)
    out = check(before, after, mask=mask)
    assert torch.equal(out.image, before)
    assert "no gain" in out.entries[0][0].reason


def test_a_missing_thing_that_appears_is_a_gain(before, mask):
    out = check(before, changed(before, A, GREEN, 0.4), mask=mask)
    assert verdicts(out) == [True]
    assert "'grass' 0.90 →" in out.entries[0][0].reason


def test_a_region_is_judged_where_it_was_masked_not_only_where_pixels_differ(before, mask):
    """A small thing on an empty ground is less plain than the ground, the ground around it as plain as before."""
    before[..., RED] = 0.95
    thing = (12, 12, 18, 18)
    after = changed(changed(before, thing, GREEN, 0.9), thing, RED, -0.65)
    out = check(before, after, mask=mask, noise=replace(QUIET, phrase=0.02))
    assert verdicts(out) == [True]
    assert out.entries[0][0].quality == pytest.approx((0.95, 0.95 - 0.65 * 36 / 400), abs=0.01)


def test_a_phrase_that_is_lost_refuses_a_gain(before, mask):
    fine = changed(before, A, RED, 0.3)
    out = check(before, changed(fine, A, BLUE, -0.2), mask=mask)
    assert verdicts(out) == [False]
    assert "'sky' falls" in out.entries[0][0].reason
    assert verdicts(check(before, changed(fine, A, BLUE, -0.2), mask=mask, prompt="grass")) == [True]


def test_a_matched_phrase_may_fall_as_long_as_it_is_matched(before, mask):
    out = check(before, changed(changed(before, A, RED, 0.3), A, BLUE, -0.1), mask=mask)
    assert verdicts(out) == [True]  # 1.4 → 1.17
    gone = check(before, changed(changed(before, A, RED, 0.3), A, BLUE, -0.1), mask=mask, noise=Noise(0.02, 0.05, 0.05))
    assert "'sky' falls from 1.40 to 1.17" in gone.entries[0][0].reason  # by more than three times the noise


def test_a_region_that_looks_worse_refuses_a_gain(before, mask):
    out = check(before, changed(changed(before, A, GREEN, 0.4), A, RED, -0.1), mask=mask)
    assert verdicts(out) == [False]
    assert "quality of the region falls from 0.50 to 0.40" in out.entries[0][0].reason


@pytest.mark.parametrize(
    ("was", "now", "lost"),
    [
        (-0.3, -0.4, False),
        (-0.3, -0.5, True),
        (1.0, 0.0, False),
        (1.0, -0.1, False),
        (1.0, -0.2, True),
        (0.0, math.nan, True),
    ],
)
def test_a_picture_that_looks_far_worse_refuses_what_its_regions_bring(was, now, lost):
    """Also where the crop of the region, seen by itself, looks no worse."""

    def reading(perceptual: float, phrase: float) -> Reading:
        return Reading((0.5, 0.5), perceptual, (phrase,), ("fish",), {}, torch.ones(4, 4))

    judged = compare(
        reading(was, 0.2), reading(now, 0.9), [(0.5, 0.5)], Noise(region=0.05, perceptual=0.05, phrase=0.1)
    )
    assert judged.passes is not lost
    assert bool(judged.losses) is lost
    assert all("perceptual score" in loss for loss in judged.losses)


def test_what_fits_alone_but_not_together_is_dropped(before, mask):
    """Each region may take something from the sky, both together lose it."""
    after = before.clone()
    for box, gain, loss in ((A, 0.3, -0.1), (B, 0.4, -0.07)):
        after = changed(changed(after, box, RED, gain), box, BLUE, loss)
    out = check(before, after, mask=mask)
    assert sorted(verdicts(out)) == [False, True]
    (dropped,) = [entry for entry in out.entries[0] if not entry.accepted]
    assert "together" in dropped.reason
    assert "'sky' falls" in dropped.reason


def test_the_whole_picture_in_a_grid_of_crops(before):
    better = before.clone()
    better[..., RED] += 0.2
    assert verdicts(check(before, better)) == [True]
    assert torch.equal(check(before, before * 1.0001).image, before)
    one_corner = better.clone()
    one_corner[:, :50, :35, RED] = 0.3
    out = guard(
        before, one_corner, SimpleNamespace(resolution=(32, 32)), "grass", assess=Eyes(), rule="gain", noise=QUIET
    )
    assert verdicts(out) == [False]
    assert "quality of the region falls" in out.entries[0][0].reason


def test_more_attempts_ask_for_more(before, mask):
    barely = changed(before, A, RED, 0.035)
    assert verdicts(check(before, barely, mask=mask)) == [True]
    assert verdicts(check(before, barely, mask=mask, attempts=20)) == [False]


def test_what_is_kept_by_hand_stays(before, mask):
    harm = changed(changed(before, A, RED, -0.3), B, RED, -0.2)
    out = check(before, harm, mask=mask, keep={2})
    assert verdicts(out) == [False, True]
    assert torch.equal(out.image, changed(before, B, RED, -0.2))
    assert "kept by hand, though refused" in out.entries[0][1].reason
    assert out.after[0][0] < out.before[0][0]
    assert verdicts(check(before, harm, mask=mask, keep=[{1, 2}])) == [True, True]
    by_scores = guard(before, harm, None, "x", mask=mask, assess=Eyes(), keep={1})
    assert verdicts(by_scores) == [True, False]


def test_a_second_opinion_may_refuse(before, mask):
    after = changed(before, A, RED, 0.3)
    blind = SimpleNamespace(calibration=SimpleNamespace(noise=Noise(0.0, 0.01, 0.0)))

    def turned(quality, images, prompts):
        return Eyes()(quality, images, prompts) if quality is None else Eyes()(quality, 1 - images, prompts)

    out = guard(before, after, None, "grass", mask=mask, assess=turned, rule="gain", noise=QUIET, second_opinion=blind)
    assert verdicts(out) == [False]
    assert "second opinion" in out.entries[0][0].reason
    agreeing = guard(
        before, after, None, "grass", mask=mask, assess=Eyes(), rule="gain", noise=QUIET, second_opinion=blind
    )
    assert verdicts(agreeing) == [True]


def test_unchanged_costs_nothing(before, mask):
    out = check(before, before.clone(), mask=mask)
    assert (out.encodes, out.entries) == (0, [[]])


def test_a_score_that_is_no_number_is_refused(before, mask):
    def broken(quality, images, prompts):
        found = Eyes()(quality, images, prompts)
        if len(images) > 1 or float(images[0, 10, 10, RED]) != 0.5:
            found.perceptual.quality_map = found.perceptual.quality_map * float("nan")
        return found

    out = guard(before, changed(before, A, RED, 0.3), None, "grass", mask=mask, assess=broken, rule="gain", noise=QUIET)
    assert verdicts(out) == [False]


def test_noise_is_that_of_the_calibration():
    own = SimpleNamespace(calibration=SimpleNamespace(noise=Noise(0.1, 0.2, 0.3)))
    assert noise_of(own) == Noise(0.1, 0.2, 0.3)
    assert noise_of(SimpleNamespace(calibration=None)) == noise_of(None) == Noise()
    assert Noise(0.1, 0.2, 0.3).corrected(1) == Noise(0.1, 0.2, 0.3)
    grown = Noise(0.1, 0.2, 0.3).corrected(20)
    assert (grown.region, grown.perceptual, grown.phrase) == pytest.approx((0.2, 0.4, 0.6))
    with pytest.raises(InputError, match="region"):
        Noise(region=-1.0)


def reading(**values):
    base = Reading((0.5, 0.5), 0.0, (), (), {}, torch.zeros(4, 4))
    return replace(base, **values)


def test_a_gain_of_one_phrase_is_corrected_for_the_others():
    names = tuple("abcd")
    was = reading(phrases=(0.5,) * 4, names=names)
    now = reading(phrases=(0.575, 0.5, 0.5, 0.5), names=names)
    assert not compare(was, now, (), Noise(0.1, 0.1, 0.05)).passes
    alone = compare(
        reading(phrases=(0.5,), names=("a",)), reading(phrases=(0.575,), names=("a",)), (), Noise(0.1, 0.1, 0.05)
    )
    assert alone.passes


def test_a_region_is_a_gain_as_long_as_the_picture_does_not_look_worse():
    noise = Noise(0.1, 0.1, 0.1)
    assert compare(reading(), reading(perceptual=-0.05), [(0.3, 0.6)], noise).passes
    worse = compare(reading(), reading(perceptual=-0.2), [(0.3, 0.6)], noise)
    assert not worse.passes
    assert "while the perceptual score (logarithm) 0.00 → -0.20 falls" in worse.near


def test_a_good_region_may_become_less_good_but_not_bad():
    noise = Noise(0.05, 0.1, 0.1)
    was, now = (reading(phrases=(value,), names=("kite",)) for value in (0.2, 1.5))
    assert compare(was, now, [(0.99, 0.8)], noise).passes
    assert compare(was, now, [(0.99, 0.7)], noise).losses == ("quality of the region falls from 0.99 to 0.70",)
    assert compare(was, now, [(0.6, 0.5)], noise).losses


def test_the_place_of_a_region_is_a_crop_with_its_surroundings():
    pixels = torch.ones(10, 12, dtype=torch.bool)
    place = region_place((100, 100, 110, 112), pixels, (512, 640), min_side=64)
    top, left, bottom, right = place.box
    assert (bottom - top >= 64, right - left >= 64, place.whole) == (True, True, False)
    assert float(place.weight.sum()) == 120
    assert float(place.weight[100 - top : 110 - top, 100 - left : 112 - left].min()) == 1
    small = region_place((0, 0, 10, 12), pixels, (40, 50), min_side=224)
    assert small.whole


@pytest.mark.parametrize(("size", "count"), [((100, 100), 1), ((500, 230), 2), ((2000, 2000), 9)])
def test_the_grid_covers_the_picture(size, count):
    places = grid_places(size, 224)
    assert len(places) == count
    assert sum(place.weight.numel() for place in places) == size[0] * size[1]


@pytest.mark.parametrize("keep", ["2", {"a": 1}, [{0}], [{1}, {2}]])
def test_bad_keep_is_named(before, mask, keep):
    with pytest.raises(InputError, match="keep"):
        check(before, changed(before, A, RED, 0.3), mask=mask, keep=keep)
