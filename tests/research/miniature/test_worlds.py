"""The second world: things that can be told apart, defects as severe as they are seen, and the first one beside it."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from grefine_core.errors import InputError
from grefine_core.miniature.world import GROUNDS, HELD_BACK, SIDE, SPLITS, barred
from grefine_research.miniature import defects
from grefine_research.miniature.defects import items, regions
from grefine_research.miniature.draw import differs, draw, item_mask
from grefine_research.miniature.generator import make_sample
from grefine_research.miniature.grounds import draw_ground
from grefine_research.miniature.layout import sample_scene, told_apart
from grefine_research.miniature.scene import Item, Scene
from grefine_research.miniature.sheet import draw_sheet
from grefine_research.miniature.source_mark import mark_of, source_mark
from grefine_research.miniature.visibility import seen_change
from grefine_research.miniature.worlds import FIRST, SECOND, world_named


def item(kind: str, colour: str | None = None, **more: object) -> Item:
    given = {"pattern": None, "size": None, "count": 1, "x": 64.0, "y": 64.0, "radius": 26.0, "world": SECOND, **more}
    return Item(kind=kind, colour=colour, **given)


@pytest.mark.parametrize("split", SPLITS)
def test_scenes_of_the_second_world_are_few_and_large_and_told_apart(split):
    rng = np.random.default_rng(3)
    counts = []
    for number in range(60):
        scene = sample_scene(rng, split, number / 60, SECOND)
        counts.append(len(scene.items))
        assert scene.world is SECOND
        assert told_apart(scene)
        assert not scene.combinations & barred(split)
        assert split == "train" or scene.combinations & HELD_BACK[split]
        for found in scene.items:
            left, top, right, bottom = found.box
            assert min(left, top) >= 0
            assert max(right, bottom) <= SIDE
            assert found.count <= 2
            assert found.radius >= 17
    assert set(counts) == {1, 2, 3}


def test_a_thing_hides_a_form_of_its_colour():
    assert not differs(item("star", "red"), item("apple"))
    assert differs(item("star", "blue"), item("apple"))
    assert not differs(item("circle", "white"), "snow")
    assert differs(item("apple"), "grass")
    assert not differs(item("apple"), item("circle", "red"))


def test_only_the_named_worlds_are_there():
    assert world_named("second") is SECOND
    assert copy.deepcopy(item("star", "red")).world is SECOND
    with pytest.raises(InputError, match="first, second"):
        world_named("third")


def test_the_same_number_gives_another_picture_in_another_world():
    first, second = (make_sample("train", 5, kinds=(), world=world) for world in (FIRST, SECOND))
    assert (first.scene.world, second.scene.world) == (FIRST, SECOND)
    assert {found.world for found in second.scene.items} == {SECOND}
    assert second.image.tobytes() == make_sample("train", 5, kinds=()).image.tobytes()
    assert first.image.tobytes() != second.image.tobytes()


@pytest.mark.parametrize("ground", GROUNDS)
def test_grounds_of_the_second_world_are_smoother(ground):
    def steps(world):
        grounds = [draw_ground(ground, seed, world) for seed in range(3)]
        return float(np.mean([np.abs(np.diff(picture, axis=axis)).mean() for picture in grounds for axis in (0, 1)]))

    assert steps(SECOND) < steps(FIRST)


def test_of_two_alike_one_is_broken():
    scene = Scene("sand", (item("square", "blue", count=2, radius=19.0),), (), 4, SECOND)
    clean = draw(scene)
    copies = [item_mask(replace(scene.items[0], count=1, x=x, y=y)) for x, y in scene.items[0].centres]
    for seed in range(6):
        changed, mask = items.broken(clean, scene, np.random.default_rng(seed), 0.6)
        moved = np.abs(changed - clean).max(axis=2) > 0.1
        shares = sorted(float((moved & copy).sum() / copy.sum()) for copy in copies)
        assert shares[1] > 0.1
        assert shares[0] < 0.5 * shares[1]
        assert (mask & copies[0]).sum() > 0.9 * copies[0].sum() or (mask & copies[1]).sum() > 0.9 * copies[1].sum()


@pytest.mark.parametrize("name", [name for names in defects.NAMES.values() for name in names])
def test_a_stronger_defect_is_more_severe(name):
    kind = next(kind for kind, names in defects.NAMES.items() if name in names)
    means = []
    for difficulty in (0.0, 1.0):
        found = []
        for seed in range(6):
            rng = np.random.default_rng(seed)
            scene = sample_scene(rng, "train", 0.5, SECOND)
            _, defect = defects.add(draw(scene), scene, kind, rng, difficulty, name)
            assert 0 < defect.severity <= defect.strength <= 1
            found.append(defect.strength)
        means.append(float(np.mean(found)))
    # At no difficulty every strength is 1, and the kinds are levelled there.
    assert means[1] < means[0]
    assert 0.6 < means[0] <= 1


def test_severity_is_what_is_seen():
    scene = Scene("snow", (item("star", "red"),), (), 2, SECOND)
    clean = draw(scene)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[20:110, 20:110] = True
    seen = [
        seen_change(clean, regions.degrade(clean, mask, "noise", strength, np.random.default_rng(1), SECOND))[
            mask
        ].mean()
        for strength in (0.05, 0.3, 1.0)
    ]
    assert 0 < seen[0] < seen[1] < seen[2] <= 1
    assert seen_change(clean, clean).max() == 0


def test_data_is_marked_by_code_and_not_by_comments(tmp_path):
    file = tmp_path / "layout.py"
    marks = []
    for text in ("a = 1\n", "a = 1  # why\n\n", "a = 2\n"):
        file.write_text(text)
        marks.append(mark_of([file]))
    assert marks[0] == marks[1] != marks[2]
    assert source_mark() != source_mark("training/views.py")


def test_a_sheet_shows_pairs_in_rows():
    picture, told = draw_sheet("train", 3, columns=2)
    assert picture.shape == (2 * 134, 2 * (2 * 128 + 6), 3)
    assert len(told) == 3
    assert "alignment" not in told[0]
    sample = make_sample("train", 1, kinds=("rational",), world=SECOND)
    assert np.array_equal(picture[3:131, 265 + 128 : 265 + 256], sample.image)
