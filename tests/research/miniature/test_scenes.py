"""Scenes: what a split may show, that items can be told apart, that drawing is what the scene says."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from grefine_core.miniature.world import COLOURS, FORMS, GROUNDS, HELD_BACK, KINDS, PATTERNS, SIDE, SPLITS, barred
from grefine_research.miniature.draw import draw, item_mask, item_masks
from grefine_research.miniature.layout import changed_item, sample_scene, vary, without
from grefine_research.miniature.scene import Item, Relation, Scene


def scenes(split: str, count: int = 150, difficulty: float = 0.5) -> list[Scene]:
    rng = np.random.default_rng([5, SPLITS.index(split)])
    return [sample_scene(rng, split, difficulty) for _ in range(count)]


def item(kind: str, colour: str | None = None, **more: object) -> Item:
    given = {"pattern": None, "size": None, "count": 1, "x": 64.0, "y": 64.0, "radius": 24.0, **more}
    return Item(kind=kind, colour=colour, **given)


@pytest.mark.parametrize("split", SPLITS)
def test_splits_share_no_held_back_combination(split):
    for scene in scenes(split):
        assert not scene.combinations & barred(split)
        assert split == "train" or scene.combinations & HELD_BACK[split]


def test_held_back_combinations_are_disjoint_and_every_pair_is_learned():
    assert not HELD_BACK["validation"] & HELD_BACK["test"]
    held = HELD_BACK["validation"] | HELD_BACK["test"]
    for form in FORMS:
        for word in (*COLOURS, *PATTERNS):
            assert any((form, word, ground) not in held for ground in GROUNDS)


@pytest.mark.parametrize("split", SPLITS)
def test_every_item_is_seen_whole_and_apart(split):
    for scene in scenes(split, 60, difficulty=1.0):
        kinds = [found.kind for found in scene.items]
        assert len(set(kinds)) == len(kinds)
        lying = {relation.subject for relation in scene.relations if relation.name == "on"}
        visible = item_masks(scene)
        for index, found in enumerate(scene.items):
            left, top, right, bottom = found.box
            assert min(left, top) >= 0
            assert max(right, bottom) <= SIDE
            whole = item_mask(found)
            if index in lying:
                assert (visible[index] == whole).all()
            assert visible[index].sum() > 0.4 * whole.sum() > 20


def test_relations_hold_in_the_picture():
    seen = set()
    for scene in scenes("train", 300):
        for relation in scene.relations:
            upper, lower = scene.items[relation.subject], scene.items[relation.object]
            seen.add(relation.name)
            if relation.name == "on":
                assert upper.radius < 0.6 * lower.radius
                assert abs(upper.x - lower.x) < 2
            elif relation.name == "beside":
                assert abs(upper.y - lower.y) < abs(upper.x - lower.x)
            else:
                assert (upper.y < lower.y) == (relation.name == "above")
    assert seen == {"on", "above", "below", "beside"}


def test_difficulty_brings_more_items():
    easy, hard = (np.mean([len(scene.items) for scene in scenes("train", 150, d)]) for d in (0.0, 1.0))
    assert easy + 0.25 < hard


@pytest.mark.parametrize("colour", list(COLOURS))
def test_a_form_has_its_colour(colour):
    picture = draw(Scene("stone", (item("circle", colour),), (), 3))
    inside = picture[54:74, 54:74].reshape(-1, 3)
    nearest = min(COLOURS, key=lambda name: float(np.abs(inside.mean(0) - np.asarray(COLOURS[name])).sum()))
    assert nearest == colour


@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_is_where_the_picture_changes(kind):
    scene = Scene("stone", (item(kind, "purple" if kind in FORMS else None),), (), 3)
    changed = np.abs(draw(scene) - draw(Scene("stone", (), (), 3))).max(axis=2) > 0.02
    mask = item_mask(scene.items[0])
    assert (changed & mask).sum() > 0.97 * mask.sum()
    assert (changed & ~mask).sum() < 0.15 * mask.sum()  # the anti-aliased rim alone


@pytest.mark.parametrize("ground", GROUNDS)
def test_drawing_is_deterministic_and_in_range(ground):
    scene = Scene(ground, (item("star", "red", pattern="striped"),), (), 9)
    first, second = draw(scene), draw(scene)
    assert first.dtype == np.float32
    assert first.shape == (SIDE, SIDE, 3)
    assert first.tobytes() == second.tobytes()
    assert first.min() >= 0.0
    assert first.max() <= 1.0
    assert not np.array_equal(first, draw(Scene(ground, scene.items, (), 10)))


def test_patterns_differ_from_plain_and_from_each_other():
    pictures = [draw(Scene("sand", (item("square", "red", pattern=p),), (), 1)) for p in (None, "striped", "dotted")]
    assert all(np.abs(a - b).mean() > 0.02 for a, b in pairwise(pictures))


def test_variations_change_one_thing_and_stay_in_the_split():
    rng = np.random.default_rng(2)
    for scene in scenes("train", 80):
        other = vary(scene, rng, "train")
        assert other != scene
        assert other.ground == scene.ground
        assert not other.combinations & barred("train")
        assert len(other.items) in (len(scene.items), len(scene.items) - 1)


def test_without_keeps_the_other_relations():
    scene = Scene("sand", (item("circle", "red"), item("star", "blue"), item("tree")), (Relation(2, "above", 1),), 0)
    left = without(scene, 0)
    assert left.relations == (Relation(1, "above", 0),)
    assert left.items == scene.items[1:]
    assert without(scene, 1).relations == ()


def test_a_changed_kind_is_new_to_the_scene():
    rng = np.random.default_rng(0)
    for scene in scenes("train", 40):
        other = changed_item(scene, 0, "kind", rng)
        assert other.items[0].kind not in {found.kind for found in scene.items}
        assert (other.items[0].colour is None) == (not other.items[0].is_form)
