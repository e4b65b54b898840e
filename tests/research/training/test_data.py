"""From data sets to labels, pictures held back, and features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from grefine_core.errors import InputError
from grefine_research.datasets import Dataset, Example, Scale
from grefine_research.training.data import Labels, encode_dataset, held_back, labelled, labels_of, targets_of

FIVE = Scale(0.0, 5.0)


def example(key: str, prompt: str = "", split: str | None = None, **scores: float) -> Example:
    return Example(key, Path(key), prompt, scores, None, split)


def dataset(*examples: Example, scales: dict[str, Scale] | None = None) -> Dataset:
    names = {score for one in examples for score in one.scores}
    return Dataset("test", "csv", examples, (), scales or dict.fromkeys(sorted(names), FIVE))


def test_labels_by_their_names():
    found = labels_of(dataset(example("a", perception=1, alignment=2, technical=3, mos=4)))
    assert found == Labels("perception", {"technical": "technical"}, "joint")
    assert labels_of(dataset(example("a", mos=1)), overall="own") == Labels("mos", {}, "own")
    chosen = labels_of(dataset(example("a", mos=1, x=2)), "none", {"natural": "x"})
    assert chosen == Labels(None, {"natural": "x"}, "joint")
    with pytest.raises(InputError, match="no score 'beauty'; it has mos"):
        labels_of(dataset(example("a", mos=1)), "beauty")
    with pytest.raises(InputError, match="'sharpness' is none of overall"):
        labels_of(dataset(example("a", mos=1)), factors={"sharpness": "mos"})
    with pytest.raises(InputError, match="neither a rating"):
        labels_of(dataset(example("a", alignment=1)))


def test_targets_are_unit_and_in_the_order_of_the_features():
    data = dataset(example("a", mos=5, technical=0), example("b", mos=2.5), example("c", technical=5))
    labels = labels_of(data, overall="own")
    targets = targets_of(data, ["c", "a", "b"], labels)
    expected = {"technical": [1.0, 0.0, None], "overall": [None, 1.0, 0.5], "PS": [None, 1.0, 0.5]}
    for name, values in targets.columns().items():
        assert [None if value.isnan() else float(value) for value in values] == expected[name]
    # Those that say nothing are reported.
    with_none = dataset(*data.examples, example("d", alignment=1))
    kept = labelled(with_none, labels)
    assert [one.key for one in kept.examples] == ["a", "b", "c"]
    assert kept.skipped[0].key == "d"
    assert "has no technical or mos" in kept.skipped[0].reason
    with pytest.raises(InputError, match="none of 1 pictures has"):
        labelled(dataset(example("d", alignment=1), scales=dict.fromkeys(("mos", "technical"), FIVE)), labels)


def test_prompts_are_held_back_as_wholes():
    data = dataset(*(example(f"{number}", f"prompt {number % 20}", mos=1) for number in range(100)))
    training, validation = held_back(data, 0.2, seed=1)
    assert len(validation) == 20
    assert training | validation == {one.key for one in data.examples}
    prompts = {one.key: one.prompt for one in data.examples}
    assert not {prompts[key] for key in training} & {prompts[key] for key in validation}
    assert held_back(data, 0.2, seed=1) == (training, validation)
    assert held_back(data, 0.2, seed=2) != (training, validation)
    assert held_back(data, 0.0) == (training | validation, set())
    # Pictures that come in later change nothing for the others but the share.
    more = replace(data, examples=(*data.examples, example("new", "another prompt", mos=1)))
    assert len(held_back(more, 0.2, seed=1)[1] & validation) >= 15
    # One prompt cannot be on both sides.
    alone = dataset(*(example(f"{number}", "the same", mos=1) for number in range(4)))
    assert held_back(alone, 0.5) == ({"0", "1", "2", "3"}, set())


def test_splits_of_the_data_set_come_first():
    data = dataset(example("a", "x", "train"), example("b", "y", "validation"), example("c", "z", "test"))
    assert held_back(data, 0.5) == ({"a"}, {"b"})
    without = dataset(example("a", "x", "train"), example("b", "y", "train"), example("c", "z", "test"))
    training, validation = held_back(without, 0.5)
    assert len(training) == len(validation) == 1
    assert training | validation == {"a", "b"}


def test_encoding(small_clip, tmp_path):
    from PIL import Image

    for name in ("a.png", "b.png", "c.png"):
        Image.effect_noise((40, 30), 60).convert("RGB").save(tmp_path / name)
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    examples = tuple(Example(name, tmp_path / name, scores={"mos": 1.0}) for name in ("a.png", "b.png", "c.png"))
    data = Dataset("test", "csv", examples, (), {"mos": FIVE})
    for _ in range(2):  # the second time from what was kept
        features, kept = encode_dataset(data, small_clip, tmp_path / "work")
        assert features.keys == ("a.png", "c.png")
        assert [one.key for one in kept.examples] == ["a.png", "c.png"]
        assert [one.key for one in kept.skipped] == ["b.png"]
    # A picture that was mended is seen.
    (tmp_path / "b.png").write_bytes(whole)
    again, kept = encode_dataset(data, small_clip, tmp_path / "work")
    assert again.keys == ("a.png", "b.png", "c.png")
    assert kept.skipped == ()
    torch.testing.assert_close(again.rows([0, 2]).class_tokens, features.class_tokens)
    assert again.rows([0, 2]).keys == features.keys
    assert again.rows([0, 1, 2]) is again


def test_mixed_precision_is_close_and_kept_apart(small_clip, tmp_path, agiqa_like):
    plain, _ = encode_dataset(agiqa_like, small_clip, tmp_path, patches=True)
    mixed, _ = encode_dataset(agiqa_like, small_clip, tmp_path, patches=True, precision="bfloat16")
    assert len(list(tmp_path.glob("features-*"))) == 2
    assert not torch.equal(plain.class_tokens, mixed.class_tokens)
    assert float((plain.class_tokens * mixed.class_tokens).sum(1).min()) > 0.999
    rows = torch.arange(len(plain))
    assert float((plain.patches(rows) * mixed.patches(rows)).sum(-1).min()) > 0.99
    some = plain.rows([1, 4])
    assert torch.equal(some.patches(torch.arange(2)), plain.patches(torch.tensor([1, 4])))
