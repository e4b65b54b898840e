"""Masks from verdicts: every unmatched phrase shows by itself, and nothing else does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from grefine_core.alignment.results import PhraseQuality
from grefine_core.alignment.verdicts import ancestor_region
from grefine_core.diagnosis import Diagnosis
from grefine_core.errors import InputError
from grefine_core.plan import decide, plan_repairs
from grefine_core.prompt.syntax import Phrase, Word, parse_prompt
from grefine_core.regions import RegionOptions, find_regions, phrases_in

SIZE = (96, 128)
GRID = (12, 16)


def spot(row, column, radius=2.0, grid=GRID):
    """A map with one bright place."""
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    distance = ((rows - row) ** 2 + (columns - column) ** 2).sqrt()
    return (1.0 - distance / (2 * radius)).clamp(0.0, 1.0)


def phrase(text, map_, *, deficit=0.0, defect="none", region=None, ancestor=None):
    word = Word(text, 0, "NN")
    tree = Phrase(words=(word,), head=word, ancestor=ancestor, is_style=False)
    return PhraseQuality(tree, 1.0, 1.0, defect, deficit, region, map_)


def diagnosis(*phrases, bad=None, size=SIZE, **more):
    looks = torch.zeros(size) if bad is None else bad
    return Diagnosis(size=size, prompt="x", phrases=tuple(phrases), perceptual_map=looks, **more)


def pixels(map_, level=0.5, size=SIZE):
    """Where a map of patches is above a share of its range, at the picture's size."""
    large = torch.nn.functional.interpolate(map_[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    return large >= level * float(large.max())


def box_of(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1


def test_nothing_found_is_an_empty_mask():
    found = find_regions(diagnosis(phrase("cat", spot(3, 3))))
    assert not found.mask.denoise.any()
    assert not found.mask.composite.any()
    assert found.mask.area.tolist() == [0.0]
    assert found.phrases == ()


@pytest.mark.parametrize("deficit", [1e-6, 0.3, 1.0])
def test_the_deficit_does_not_decide_whether_a_region_shows(deficit):
    map_ = spot(3, 4)
    found = find_regions(diagnosis(phrase("cat", map_, deficit=deficit, defect="modifier", region=0)), grow=0.0)
    mask = found.mask.denoise[0] > 0
    own = pixels(map_, RegionOptions().level)
    assert float((mask & own).sum() / own.sum()) > 0.9
    assert float((mask & own).sum() / mask.sum()) > 0.9


def test_each_phrase_has_its_own_range():
    """A faint map beside a strong one shows as much as alone."""
    strong = phrase("cat", spot(2, 2), deficit=0.9, defect="modifier", region=0)
    faint = phrase("dog", 0.4 + 0.05 * spot(9, 13), deficit=0.1, defect="modifier", region=1)
    found = find_regions(diagnosis(strong, faint), grow=0.0)
    both = found.mask.denoise[0] > 0
    assert bool(both[16:24, 16:24].all())
    assert bool(both[74:80, 106:112].all())
    assert found.mask.area[0] < 0.3


def test_what_is_missing_gets_room_beside_what_it_hangs_on():
    ancestor = phrase("square", spot(6, 5))
    missing = phrase("fish", spot(1, 1), deficit=0.5, defect="noun", region=0, ancestor=0)
    outline = find_regions(diagnosis(ancestor, missing), RegionOptions(room=0.0), grow=0.0).mask.area[0]
    found = find_regions(diagnosis(ancestor, missing), RegionOptions(room=1.0), grow=0.0)
    assert found.phrases[0].where == "ancestor"
    assert 3.0 < float(found.mask.area[0] / outline) < 5.0  # a disc of twice the radius
    assert bool((found.mask.denoise[0] > 0)[pixels(ancestor.map)].all())


def test_room_is_not_taken_from_what_is_there():
    ancestor, beside = phrase("square", spot(6, 5)), phrase("apple", spot(6, 11))
    missing = phrase("fish", spot(1, 1), deficit=0.5, defect="noun", region=0, ancestor=0)
    found = find_regions(diagnosis(ancestor, beside, missing), RegionOptions(room=2.0), grow=0.0)
    apple = pixels(beside.map, 0.6)
    assert not bool((found.mask.denoise[0] > 0)[apple].any())


def frame():
    """The map of a ground: everywhere, a little more so at the picture's border."""
    map_ = torch.full(GRID, 0.2)
    map_[[0, -1], :] = map_[:, [0, -1]] = 1.0
    return map_


def scraps():
    """Bright places in the corners."""
    return torch.stack([spot(row, column, 1.5) for row in (1, 10) for column in (1, 14)]).amax(0)


def largest_disc(mask):
    """Area of the largest disc inside, as a share of the mask."""
    radius = ndimage.distance_transform_edt(np.pad(mask, 1)).max()
    return math.pi * radius**2 / mask.sum()


@pytest.mark.parametrize(
    ("everywhere", "hangs"),
    [
        pytest.param(frame(), True, id="on a ground like a frame"),
        pytest.param(scraps(), True, id="on a ground in scraps"),
        pytest.param(1.0 - frame(), True, id="on a ground all over"),
        pytest.param(frame(), False, id="on nothing"),
    ],
)
def test_what_is_missing_gets_one_place_where_the_map_is_none(everywhere, hangs):
    """A thing cannot be painted into a frame, and all over a ground it would be painted several times."""
    ground = phrase("sand", everywhere)
    own = {"region": 0, "ancestor": 0} if hangs else {}
    missing = phrase("house", torch.ones(GRID) if hangs else everywhere, deficit=0.9, defect="noun", **own)
    found = find_regions(diagnosis(ground, missing) if hangs else diagnosis(missing), grow=0.0)
    mask = found.mask.denoise[0].numpy() > 0
    assert found.phrases[0].where == ("ancestor" if hangs else "free")
    assert 0.15 < mask.mean() <= RegionOptions().free_area + 0.02
    assert largest_disc(mask) > 0.7


def test_the_one_place_on_a_ground_is_where_nothing_else_is():
    ground, apple = phrase("sand", frame()), phrase("apple", spot(6, 8))
    missing = phrase("house", spot(6, 8), deficit=0.9, defect="noun", region=0, ancestor=0)
    mask = find_regions(diagnosis(ground, apple, missing), grow=0.0).mask.denoise[0] > 0
    assert not bool(mask[pixels(apple.map, 0.6)].any())
    assert mask.float().mean() > 0.1


def test_two_missing_things_on_one_ground_get_a_place_each():
    ground = phrase("sand", frame())
    lost = [
        phrase(name, torch.ones(GRID), deficit=0.9, defect="noun", region=0, ancestor=0) for name in ("fish", "hat")
    ]
    found = find_regions(diagnosis(ground, *lost), grow=0.0)
    first, second = (found.owners.numpy() >> bit & 1 > 0 for bit in (1, 2))
    assert not (first & second).any()
    assert min(first.mean(), second.mean()) > 0.15


@pytest.mark.parametrize(
    ("prompt", "spared"),
    [
        ("a square, as well as a fish", True),
        ("a square floats above a fish", True),
        ("a square. There is also a fish", True),
        ("a square with a fish", False),
        ("a square, a fish", False),
    ],
)
def test_what_is_there_stays_where_the_missing_thing_is_to_be_beside_it(prompt, spared):
    square, fish = parse_prompt(prompt).phrases
    there = PhraseQuality(square, 1.0, 1.0, "none", 0.0, None, spot(6, 5))
    missing = PhraseQuality(fish, 1.0, 1.0, "noun", 0.5, 0, spot(1, 1))
    mask = find_regions(diagnosis(there, missing), RegionOptions(room=1.0), grow=0.0).mask.denoise[0] > 0
    assert bool(mask[pixels(there.map, 0.7)].any()) is not spared
    ring = pixels(there.map, 0.3) & ~pixels(there.map, 0.5)
    assert bool(mask[ring].all())
    # What is wrong itself is not spared, and where there is no room the thing has to give way.
    wrong = replace(there, defect="modifier", deficit=0.3)
    assert bool((find_regions(diagnosis(wrong, missing), grow=0.0).mask.denoise[0] > 0)[pixels(there.map, 0.7)].any())
    none = find_regions(diagnosis(there, missing), RegionOptions(room=0.0), grow=0.0).mask.denoise[0] > 0
    assert bool(none[pixels(there.map, 0.7)].all())


def test_what_hangs_on_nothing_has_the_best_place_that_is_free():
    taken = phrase("house", spot(3, 3))
    own = torch.maximum(spot(3, 3), 0.9 * spot(8, 12))  # best where the house is
    missing = phrase("balloon", own, deficit=0.8, defect="noun")
    found = find_regions(diagnosis(taken, missing), grow=0.0)
    mask = found.mask.denoise[0] > 0
    assert found.phrases[0].where == "free"
    assert bool(mask[66:70, 98:102].all())
    assert not bool((mask & pixels(taken.map, 0.6)).any())
    assert float(found.mask.area[0]) <= RegionOptions().free_area + 0.01


def test_a_map_without_a_place_gives_the_middle_and_no_more_than_may_be():
    missing = phrase("balloon", torch.ones(GRID), deficit=0.8, defect="noun")
    found = find_regions(diagnosis(missing), RegionOptions(free_area=0.1), grow=0.0)
    top, left, bottom, right = box_of(found.mask.denoise[0].numpy() > 0)
    assert 0.05 < float(found.mask.area[0]) <= 0.11
    assert abs((top + bottom) / 2 - 48) < 6
    assert abs((left + right) / 2 - 64) < 6


def test_where_no_place_is_free_no_more_is_taken_than_may_be():
    """Two things without a place of their own, each at home in a half of the picture."""
    halves = torch.zeros(GRID)
    halves[:, : GRID[1] // 2] = 1.0
    lost = phrase("moon", torch.ones(GRID), deficit=1.0, defect="noun")
    found = find_regions(diagnosis(phrase("sea", halves), phrase("sky", 1.0 - halves), lost))
    assert 0.0 < float(found.mask.area) <= RegionOptions().free_area + 0.1


def test_the_whole_picture_only_if_asked_for():
    missing = phrase("balloon", spot(3, 3), deficit=0.8, defect="noun")
    assert float(find_regions(diagnosis(missing)).mask.area[0]) < 0.5
    whole = find_regions(diagnosis(missing), RegionOptions(whole=True))
    assert whole.mask.area.tolist() == [1.0]
    assert whole.phrases[0].where == "image"


def test_number_and_area_are_capped_and_the_rest_is_told():
    phrases = [
        phrase(f"p{index}", spot(2 + 2 * (index % 4), 2 + 2 * index, 1.0), deficit=0.1 * (index + 1), defect="modifier",
               region=index)
        for index in range(6)
    ]  # fmt: skip
    found = find_regions(diagnosis(*phrases), RegionOptions(phrases=3))
    assert [region.phrase for region in found.taken] == [5, 4, 3]
    assert [region.phrase for region in found.left_out] == [2, 1, 0]
    assert all("in one pass" in region.left_out for region in found.left_out)
    narrow = find_regions(diagnosis(*phrases), RegionOptions(area=0.02))
    assert len(narrow.taken) >= 1
    assert narrow.left_out
    assert all("cover" in region.left_out for region in narrow.left_out)
    assert sum(region.area for region in narrow.taken) <= 0.03


def test_what_looks_bad_on_too_much_is_left_to_stage_2():
    bad = torch.zeros(SIZE)
    bad[:, :90] = 0.9
    wrong = phrase("cat", spot(3, 14), deficit=0.5, defect="modifier", region=0)
    found = find_regions(diagnosis(wrong, bad=bad))
    assert found.perceptual_left
    assert found.perceptual_area == pytest.approx(90 / 128)
    assert not bool((found.mask.denoise[0] > 0)[:, :64].any())
    assert found.mask.denoise.any()  # the phrase is stage 1's all the same
    lenient = find_regions(diagnosis(wrong, bad=bad), RegionOptions(max_area=0.8))
    assert not lenient.perceptual_left
    assert bool((lenient.mask.denoise[0] > 0)[:, :90].all())


def test_the_calibrated_threshold_goes_before_the_option():
    bad = torch.zeros(SIZE)
    bad[20:40, 20:40] = 0.6
    one = diagnosis(bad=bad, map_threshold=0.7)
    assert not find_regions(one, threshold=0.5).mask.denoise.any()
    assert find_regions(one, RegionOptions(calibrated=False), threshold=0.5).mask.denoise.any()


def test_where_the_picture_as_a_whole_passes_its_map_has_to_be_surer():
    bad = torch.zeros(SIZE)
    bad[20:40, 20:40] = 0.8
    measured = {"bad": bad, "map_threshold": 0.7, "perceptual_bar": 0.6}
    assert find_regions(diagnosis(**measured, perceptual_score=0.5)).mask.denoise.any()
    assert not find_regions(diagnosis(**measured, perceptual_score=0.9)).mask.denoise.any()
    assert find_regions(diagnosis(**measured, perceptual_score=0.9), RegionOptions(doubt=0.2)).mask.denoise.any()
    assert find_regions(diagnosis(**{**measured, "bad": bad * 1.2}, perceptual_score=0.9)).mask.denoise.any()


def test_a_speck_above_the_measured_threshold_is_no_defect_and_a_defect_has_its_surroundings():
    bad = torch.zeros(SIZE)
    bad[20:40, 20:40] = 0.6
    bad[30, 30] = 0.9
    assert not find_regions(diagnosis(bad=bad, map_threshold=0.7)).mask.denoise.any()
    bad[22:38, 22:38] = 0.9
    found = find_regions(diagnosis(bad=bad, map_threshold=0.7), grow=0.0)
    assert int(found.mask.denoise.sum()) == 400


def test_protected_pixels_are_in_no_mask():
    protect = torch.zeros(SIZE)
    protect[:48] = 1.0
    wrong = phrase("cat", spot(6, 5, 3.0), deficit=0.5, defect="modifier", region=0)
    bad = torch.zeros(SIZE)
    bad[40:60, 80:100] = 1.0
    found = find_regions(diagnosis(wrong, bad=bad), protect=protect)
    assert not found.mask.denoise[0, :48].any()
    assert found.mask.denoise[0, 48:].any()
    hidden = find_regions(
        diagnosis(phrase("cat", spot(1, 5), deficit=0.5, defect="modifier", region=0)), protect=protect
    )
    assert not hidden.mask.denoise.any()
    assert "protected" in hidden.left_out[0].left_out


def test_regions_know_what_they_mend():
    bad = torch.zeros(SIZE)
    bad[70:90, 100:120] = 1.0
    wrong = phrase("cat", spot(2, 2, 1.0), deficit=0.5, defect="modifier", region=0)
    found = find_regions(diagnosis(wrong, bad=bad))
    plan = plan_repairs(diagnosis(wrong, bad=bad), found, join=8)
    assert [(region.phrases, region.bad) for region in plan.regions] == [((0,), False), ((), True)]
    assert [region.severity for region in plan.regions] == pytest.approx([0.5, 1.0], abs=0.2)
    assert phrases_in(found.owners, torch.ones(SIZE, dtype=torch.bool), found.taken) == ((0,), True)


def test_strength_and_prompt_are_each_regions_own():
    slight = phrase("cat", spot(2, 2, 1.0), deficit=0.1, defect="modifier", region=0)
    bad = phrase("dog", spot(9, 13, 1.0), deficit=0.9, defect="modifier", region=1)
    one = diagnosis(slight, bad)
    plan = decide(plan_repairs(one, find_regions(one), join=8), own_phrases=True, prompt="a (dog:1.4) and a cat")
    first, second = plan.regions
    assert first.strength == pytest.approx(0.54)
    assert second.strength == pytest.approx(0.86)
    assert (first.prompt, second.prompt) == ("cat, a (dog:1.4) and a cat", "dog, a (dog:1.4) and a cat")
    assert "strength 0.54 to 0.86" in plan.plan.reason
    assert {region.prompt for region in decide(plan, prompt="both").regions} == {"both"}


@pytest.mark.parametrize(
    ("options", "name"),
    [({"level": 0.0}, "level"), ({"phrases": 0}, "phrases"), ({"area": 2.0}, "area"), ({"room": -1.0}, "room")],
)
def test_bad_options_are_named(options, name):
    with pytest.raises(InputError, match=name):
        RegionOptions(**options)


def test_maps_of_another_size_are_named():
    with pytest.raises(InputError, match="perceptual_map: 10×10"):
        find_regions(diagnosis(), perceptual_map=torch.ones(10, 10))


# Whatever the verdicts

DEFICITS = st.one_of(st.just(0.0), st.floats(1e-6, 1.0))


@st.composite
def pictures(draw):
    """A diagnosis with generated verdicts, as the verdicts' own rules give them."""
    count = draw(st.integers(0, 7))
    grid = (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    size = (draw(st.integers(8, 60)), draw(st.integers(8, 60)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    deficits = [draw(DEFICITS) for _ in range(count)]
    nouns = [draw(st.booleans()) for _ in range(count)]
    trees = []
    for index in range(count):
        word = Word(f"w{index}", 0, "NN")
        above = draw(st.one_of(st.none(), st.integers(0, count - 1)))
        trees.append(Phrase(words=(word,), head=word, ancestor=above, is_style=False))
    present = [not (noun and deficit > 0) for noun, deficit in zip(nouns, deficits, strict=True)]
    phrases = []
    for index, tree in enumerate(trees):
        flat = draw(st.integers(0, 4)) == 0
        map_ = torch.ones(grid) if flat else torch.rand(grid, generator=generator)
        defect = "none" if deficits[index] == 0 else "noun" if nouns[index] else "modifier"
        region = None
        if defect == "noun":
            region = ancestor_region(trees, present, index)
        elif defect == "modifier":
            region = index
        phrases.append(PhraseQuality(tree, 1.0, 1.0, defect, deficits[index], region, map_))
    bad = torch.rand(size, generator=generator) if draw(st.booleans()) else torch.zeros(size)
    score = math.prod(1.0 - deficit for deficit in deficits)
    return Diagnosis(
        size=size, prompt="x", phrases=tuple(phrases), perceptual_map=bad, perceptual_score=0.9,
        alignment_score=min(score, 1.0),
    )  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(pictures(), st.integers(1, 6), st.floats(0.05, 1.0), st.floats(0.0, 1.0))
def test_unmatched_is_masked_is_repainted(one, most, area, threshold):
    """Something unmatched, its region in the mask up to cap and number, stage 1 runs: one follows from the other."""
    options = RegionOptions(phrases=most, area=area)
    found = find_regions(one, options, threshold=threshold)
    plan = decide(plan_repairs(one, found, join=4))
    unmatched = one.unmatched
    assert [region.phrase for region in found.phrases] == list(unmatched)
    taken = [region.phrase for region in found.taken]
    assert len(taken) <= most
    assert bool(taken) == bool(unmatched)
    if unmatched:
        assert taken[0] == unmatched[0]  # the largest deficit is never left out
    without = find_regions(one, options, perceptual_map=torch.zeros(one.size))
    assert bool(without.mask.denoise.any()) == bool(unmatched)  # all matched: nothing of the prompt is marked
    assert float(without.mask.denoise.mean()) <= area + 0.2 + 2 / min(one.size)  # and what it grew by
    assert plan.plan.run_stage1 == bool(found.mask.denoise.any()) == bool(plan.regions)
    mended = {index for region in plan.regions for index in region.phrases}
    assert mended == set(taken)
    assert all(0.5 - 1e-9 <= region.strength <= 0.9 + 1e-9 for region in plan.regions)
    assert bool((found.mask.composite[found.mask.denoise == 0] == 0).all())
