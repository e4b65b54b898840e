"""Scoring many pictures: bad ones, runs that go on, pictures that change."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from grefine_core.errors import ModelFileError
from grefine_research.evaluation.indicators import Context, Spec
from grefine_research.evaluation.scoring import Item, score_items


class Brightness:
    """A real, cheap indicator that counts its work."""

    def __init__(self):
        self.seen = Counter()
        self.loaded = 0

    def score(self, image, prompt):
        self.seen[prompt] += 1
        if prompt == "breaks":
            raise ValueError("of a package of others")
        if prompt == "nothing":
            return float("nan")
        return float(image.mean())

    def spec(self, kind="perceptual", identity="1", **options):
        def load(_):
            self.loaded += 1
            return self

        return Spec("brightness", "Brightness", kind, load, lambda _: identity, **options)


@pytest.fixture
def items(tmp_path, drawn):
    return [Item(f"{name}.png", drawn(tmp_path / f"{name}.png"), name) for name in "abcd"]


def run(indicator, items, tmp_path, **options):
    return score_items(indicator.spec(**options), items, Context(), tmp_path / "records.jsonl")


def test_finished_pictures_are_not_scored_again(items, tmp_path):
    first, second = Brightness(), Brightness()
    half = run(first, items[:2], tmp_path)
    whole = run(second, items, tmp_path)
    assert second.seen == {"c": 1, "d": 1}
    assert {key: whole.values[key] for key in half.values} == half.values
    third = Brightness()
    assert run(third, items, tmp_path).values == whole.values
    assert third.loaded == 0  # nothing to do: not even loaded


def test_what_changed_is_scored_again(items, tmp_path, drawn):
    run(Brightness(), items, tmp_path)
    drawn(items[0].image, 0.1)
    items[1] = Item(items[1].key, items[1].image, "another prompt")
    again = Brightness()
    run(again, items, tmp_path)
    assert again.seen == {"a": 1, "another prompt": 1}
    anew = Brightness()
    run(anew, items, tmp_path, identity="2")
    assert sum(anew.seen.values()) == 4


def test_a_bad_picture_does_not_stop_the_others_and_is_tried_again(items, tmp_path):
    items[1].image.write_bytes(b"rubbish")
    items += [Item("e.png", items[0].image, "breaks"), Item("f.png", items[0].image, "nothing")]
    items.append(Item("g.png", Path("/nowhere/g.png"), "g"))
    found = run(Brightness(), items, tmp_path)
    assert set(found.values) == {"a.png", "c.png", "d.png"}
    reasons = {failure.key: failure.reason for failure in found.failures}
    assert set(reasons) == {"b.png", "e.png", "f.png", "g.png"}
    assert "not a readable picture" in reasons["b.png"]
    assert "ValueError: of a package of others" in reasons["e.png"]
    assert "nan" in reasons["f.png"]
    again = Brightness()
    run(again, items, tmp_path)
    assert again.seen == {"breaks": 1, "nothing": 1}


def test_alignment_needs_prompts(items, tmp_path):
    bare = [Item(item.key, item.image) for item in items]
    assert run(Brightness(), bare, tmp_path, kind="alignment").obstacle == "the pictures have no prompts"
    one = [items[0], *bare[1:]]
    found = run(Brightness(), one, tmp_path, kind="alignment")
    assert list(found.values) == ["a.png"]
    assert {failure.reason for failure in found.failures} == {"has no prompt"}


def test_an_indicator_that_cannot_be_loaded_is_an_obstacle(items, tmp_path):
    def fail(_):
        raise ModelFileError("its weights are damaged")

    other = Spec("other", "Other", "perceptual", fail, lambda _: "")
    assert score_items(other, items, Context(), tmp_path / "o.jsonl").obstacle == "its weights are damaged"
    ours = Spec("pq", "Ours", "perceptual", fail, lambda _: "")
    with pytest.raises(ModelFileError):
        score_items(ours, items, Context(), tmp_path / "p.jsonl")
