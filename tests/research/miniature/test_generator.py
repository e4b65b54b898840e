"""Samples: deterministic, with the defects that were asked for, their masks, and the phrase that each violates."""

from __future__ import annotations

import numpy as np
import pytest

from grefine_core.errors import InputError
from grefine_core.miniature.world import HELD_BACK, SPLITS, barred
from grefine_research.miniature.draw import draw, item_masks
from grefine_research.miniature.generator import KINDS_OF_DEFECT, make_sample, mismatch


@pytest.mark.parametrize("split", SPLITS)
def test_the_same_number_gives_the_same_sample(split):
    first, second = make_sample(split, 3), make_sample(split, 3)
    assert first.image.tobytes() == second.image.tobytes()
    assert first.caption == second.caption
    assert first.scene == second.scene
    assert make_sample(split, 4).caption != first.caption or make_sample(split, 4).scene != first.scene
    assert make_sample(split, 3, salt=1).scene != first.scene


@pytest.mark.parametrize("split", SPLITS)
def test_what_is_shown_stays_in_the_split(split):
    for index in range(40):
        sample = make_sample(split, index, kinds=("alignment",))
        assert not sample.shown.combinations & barred(split)
        assert split == "train" or sample.scene.combinations & HELD_BACK[split]


@pytest.mark.parametrize("kinds", [(), ("technical",), ("rational",), ("natural",), ("alignment", "technical")])
def test_defects_are_those_asked_for(kinds):
    for index in range(12):
        sample = make_sample("validation", index, kinds=kinds)
        assert sorted(defect.kind for defect in sample.defects) == sorted(kinds)
        assert (sample.severity() > 0) == any(kind != "alignment" for kind in kinds)
        if not kinds:
            assert sample.image.tobytes() == sample.clean.tobytes()
            assert sample.shown == sample.scene


def test_the_mixture_has_every_kind_and_clean_pictures():
    samples = [make_sample("test", index) for index in range(120)]
    assert {defect.kind for sample in samples for defect in sample.defects} == set(KINDS_OF_DEFECT)
    assert 15 < sum(not sample.defects for sample in samples) < 50
    assert any(len(sample.defects) == 2 for sample in samples)


@pytest.mark.parametrize("name", ["missing", "wrong_attribute", "wrong_partner"])
def test_a_mismatch_names_the_phrase_and_where_to_change(name):
    found = 0
    for index in range(60):
        sample = make_sample("train", index, kinds=())
        made = mismatch(sample.scene, sample.caption, "train", np.random.default_rng(index), name)
        if made is None:
            continue
        found += 1
        shown, defect = made
        phrase = sample.caption.phrases[defect.phrase]
        item = sample.scene.items[phrase.item]
        assert (defect.kind, defect.name) == ("alignment", name)
        if name == "wrong_attribute":
            other = shown.items[phrase.item]
            assert other.kind == item.kind
            assert (other.colour, other.pattern) != (item.colour, item.pattern)
            assert np.array_equal(defect.mask, item_masks(shown)[phrase.item])
        else:
            assert item.kind not in {there.kind for there in shown.items}
        if name == "missing":
            above = phrase.ancestor
            while above is not None and sample.caption.phrases[above].item is None:
                above = sample.caption.phrases[above].ancestor
            if above is None:
                assert defect.mask.all()
            else:
                kept = [there.kind for there in shown.items].index(
                    sample.scene.items[sample.caption.phrases[above].item].kind
                )
                assert np.array_equal(defect.mask, item_masks(shown)[kept])
        assert not np.array_equal(draw(shown), draw(sample.scene))
    assert found > 8


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"split": "held"}, "split"),
        ({"index": -1}, "index"),
        ({"kinds": ("technical", "ugly")}, "ugly"),
        ({"difficulty": 2.0}, "difficulty"),
    ],
)
def test_wrong_arguments_are_named(arguments, said):
    with pytest.raises(InputError, match=said):
        make_sample(**{"split": "train", "index": 0, **arguments})
