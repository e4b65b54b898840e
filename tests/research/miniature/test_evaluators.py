"""The evaluators: what they learn from, what they answer, their files and their training."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from grefine_core.errors import InputError, ModelFileError
from grefine_core.miniature.world import GROUNDS, KINDS
from grefine_research.evaluation.statistics import auroc
from grefine_research.miniature.evaluators import ContentsEvaluator, Question, SeverityEvaluator, load_evaluators
from grefine_research.miniature.evaluators.contents import ATTRIBUTES, NO_KIND, Sight
from grefine_research.miniature.evaluators.examples import IGNORE, LABELS, ExampleSet, make_example
from grefine_research.miniature.evaluators.figures import best_threshold
from grefine_research.miniature.evaluators.severity import inside, overall
from grefine_research.miniature.evaluators.training import train
from grefine_research.miniature.sample import FACTORS
from grefine_research.miniature.worlds import SECOND


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tmp_path_factory.mktemp("judges"), "tiny")


def sight(kind, **attributes):
    """A picture of 32×32 cells in which one square of 8×8 cells shows something."""
    shares = {"kind": torch.zeros(len(KINDS) + 1, 32, 32), "ground": torch.eye(len(GROUNDS))[0]}
    shares["kind"][NO_KIND] = 1.0
    shares["kind"][NO_KIND, 4:12, 4:12] = 0.0
    shares["kind"][KINDS.index(kind), 4:12, 4:12] = 1.0
    for name, values in ATTRIBUTES.items():
        shares[name] = torch.full((len(values), 32, 32), 1.0 / len(values))
        if name in attributes:
            shares[name][:] = 0.0
            shares[name][values.index(attributes[name])] = 1.0
    return Sight(shares)


def test_an_example_is_always_the_same_and_its_truth_fits_its_scene():
    for index in range(6):
        example = make_example("train", index)
        assert np.array_equal(example.image, make_example("train", index).image)
        kinds = {KINDS[label] for label in np.unique(example.labels[0]) if label not in (IGNORE, NO_KIND)}
        assert kinds == {item.kind for item in example.scene.items}
        colours = example.labels[LABELS.index("colour")]
        for item in example.scene.items:
            own = colours[example.labels[0] == KINDS.index(item.kind)]
            wanted = IGNORE if item.colour is None else ATTRIBUTES["colour"].index(item.colour)
            assert set(own.tolist()) == {wanted}


def test_severity_of_cells_is_strength_inside_the_mask_and_zero_outside():
    defective = next(e for e in (make_example("train", i) for i in range(40)) if len(e.found) == 1)
    defect = defective.found[0]
    cells = defective.severity[FACTORS.index(defect.kind)] / 255.0
    covered = defect.mask.reshape(32, 4, 32, 4).mean(axis=(1, 3))
    assert np.allclose(cells, covered * defect.strength, atol=0.5 / 255)
    others = [place for place, kind in enumerate(FACTORS) if kind != defect.kind]
    assert not defective.severity[others].any()


def test_splits_have_other_examples():
    assert not np.array_equal(make_example("train", 0).image, make_example("validation", 0).image)


def test_a_batch_is_mirrored_with_its_truth():
    examples = ExampleSet("train", 8)
    batch = examples.batch(list(range(8)), torch.Generator().manual_seed(1))
    assert batch["images"].shape == (8, 3, 128, 128)
    assert batch["images"].min() >= 0.0
    assert batch["images"].max() <= 1.0
    for place in range(8):
        own = examples.labels[place, 0].long()
        assert torch.equal(batch["labels"][place, 0], own) or torch.equal(batch["labels"][place, 0], own.flip(-1))


def test_every_third_example_has_passed_through_the_autoencoder():
    plain, passed = (
        ExampleSet("train", 7, world=SECOND),
        ExampleSet("train", 7, world=SECOND, passed=lambda u: 0 * u / 255),
    )
    changed = [bool((passed.images[place] == 0).all()) for place in range(7)]
    assert changed == [True, False, False, True, False, False, True]
    assert torch.equal(plain.images[1], passed.images[1])
    assert torch.equal(plain.severity, passed.severity)


def test_answers_need_kind_and_attributes_in_one_place():
    seen = sight("circle", colour="red", pattern="striped")
    assert seen.answer(Question("circle")) == pytest.approx(1.0)
    assert seen.answer(Question("circle", colour="red", pattern="striped")) == pytest.approx(1.0)
    assert seen.answer(Question("circle", colour="blue")) == 0.0
    assert seen.answer(Question("square", colour="red")) == 0.0
    assert seen.answer(Question(ground=GROUNDS[0])) == 1.0
    assert seen.answer(Question(ground=GROUNDS[1])) == 0.0
    assert seen.answer(Question("circle", count=2)) == pytest.approx((1 / 3) ** 0.5)


def test_untrained_judges_have_the_shapes_that_they_say():
    images = torch.rand(2, 128, 128, 3)
    maps = SeverityEvaluator().eval().maps(images)
    assert maps.shape == (2, 3, 32, 32)
    assert maps.min() >= 0.0
    assert maps.max() <= 1.0
    (first, _) = ContentsEvaluator().eval().look(images)
    assert first.shares["kind"].shape == (len(KINDS) + 1, 32, 32)
    assert first.shares["kind"].sum(0).allclose(torch.ones(32, 32), atol=1e-5)


def test_mean_inside_a_mask_and_overall():
    maps = torch.zeros(3, 32, 32)
    maps[0, :16] = 0.8
    upper = torch.zeros(128, 128)
    upper[:64] = 1.0
    assert inside(maps, upper).tolist() == pytest.approx([0.8, 0.0, 0.0])
    assert inside(maps, torch.zeros(128, 128)).tolist() == [0.0, 0.0, 0.0]
    maps[1, :16] = 0.5
    assert float(overall(maps[None])[0]) == pytest.approx(0.5 * (1 - 0.2 * 0.5))


def test_training_writes_files_that_load_and_are_small(trained):
    evaluators = load_evaluators(trained)
    assert 0.0 <= evaluators.threshold <= 1.0
    assert min(evaluators.noise, evaluators.jitter) >= 0.0
    assert evaluators.card["profile"]["name"] == "tiny"
    for file in trained.glob("*.safetensors"):
        assert file.stat().st_size < 2 << 20
    assert not list(trained.glob("*.checkpoint.pt"))
    steps = [json.loads(line)["step"] for line in (trained / "training.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 2, 4]


def test_a_run_that_was_ended_goes_on_to_the_same_weights(trained, tmp_path, monkeypatch):
    from safetensors.torch import load_file

    from grefine_research.miniature.evaluators import training

    written = training._save_checkpoint

    def once(*arguments):
        written(*arguments)
        if arguments[4] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "_save_checkpoint", once)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, "tiny", ["severity"])
    monkeypatch.undo()
    train(tmp_path, "tiny", ["severity"])
    first, second = (load_file(place / "severity.safetensors") for place in (trained, tmp_path))
    assert all(torch.allclose(first[name], second[name], rtol=0, atol=1e-3) for name in first)


def test_missing_and_damaged_files_are_named(trained, tmp_path):
    with pytest.raises(ModelFileError, match=r"severity\.safetensors does not exist"):
        load_evaluators(tmp_path)
    for file in trained.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "contents.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelFileError, match="contents"):
        load_evaluators(tmp_path)


def test_unknown_profiles_and_judges_are_refused(tmp_path):
    with pytest.raises(InputError, match="profile"):
        train(tmp_path, "huge")
    with pytest.raises(InputError, match="taste"):
        train(tmp_path, "tiny", ["taste"])


def test_auc_and_threshold():
    assert auroc([0.1, 0.2, 0.8, 0.9], [False, False, True, True]) == 1.0
    assert auroc([0.5, 0.5], [True, False]) == 0.5
    assert 0.2 < best_threshold([(0.1, False), (0.2, False), (0.8, True), (0.9, True)]) < 0.8
