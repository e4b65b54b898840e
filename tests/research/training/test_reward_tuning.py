"""Fine-tuning ImageReward's image encoder, on its stand-in: what learns, what stays, going on after a kill."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from grefine_core.errors import InputError
from grefine_core.imagereward import load_image_reward
from grefine_research.datasets import Dataset, Example, Scale
from grefine_research.training.reward_options import RewardTuningOptions
from grefine_research.training.reward_tuning import tune_image_reward

from ...tiny_models import write_image_reward

OPTIONS = RewardTuningOptions(epochs=4, batch_size=8, learning_rate=2e-3, patience=0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_image_reward(tmp_path_factory.mktemp("reward")) / "ImageReward.safetensors"


@pytest.fixture
def load(weights):
    return lambda: load_image_reward(weights)


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    """Pictures of which the brighter ones are said to show their prompts better."""
    folder = tmp_path_factory.mktemp("bright")
    examples = []
    for number in range(36):
        level = (number * 7 % 36) / 36
        noise = np.random.default_rng(number).integers(0, 60, (48, 64, 3))
        file = folder / f"{number}.png"
        Image.fromarray((noise + 190 * level).astype(np.uint8)).save(file)
        examples.append(Example(file.name, file, f"a red cup {number % 5}", {"alignment": level}))
    data = Dataset("bright", "csv", tuple(examples), (), {"alignment": Scale(0.0, 1.0)})
    labels = {one.key: one.scores["alignment"] for one in examples}
    keys = [one.key for one in examples]
    return data, labels, keys[:26], keys[26:]


def parameters(model):
    return {name: value.detach().clone() for name, value in model.network.named_parameters()}


def test_the_image_encoder_learns_and_nothing_else(load, bright):
    model = load()
    before = parameters(model)
    entries = []
    found = tune_image_reward(model, *bright, OPTIONS, epoch_end=lambda entry, epochs: entries.append(entry))
    assert found.figures["after"] > max(0.5, found.figures["before"])
    assert [entry["epoch"] for entry in entries] == [1, 2, 3, 4]
    assert found.figures["after"] == max(entry["monitor"] for entry in found.history)
    changed = {name for name, value in parameters(model).items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("vision_model.") for name in changed)
    assert "vision_model.embeddings.patch_embedding.weight" in changed
    # The rewards that AQ-Map reads are the new ones.
    data, labels, _, validation = bright
    files = {one.key: one.image for one in data.examples}
    pictures = torch.stack(
        [torch.from_numpy(np.asarray(Image.open(files[key])) / np.float32(255)) for key in validation]
    )
    prompts = {one.key: one.prompt for one in data.examples}
    seen = model.see(pictures)
    rewards = torch.tensor([model.read(one, [prompts[key]])[0] for one, key in zip(seen, validation, strict=True)])
    from grefine_research.training.correlation import srocc

    assert srocc(rewards, torch.tensor([labels[key] for key in validation])) == pytest.approx(found.figures["after"])


def test_only_the_last_layers(load, bright):
    model = load()
    before = parameters(model)
    tune_image_reward(model, *bright, replace(OPTIONS, layers=2, epochs=1))
    changed = {name for name, value in parameters(model).items() if not torch.equal(value, before[name])}
    assert {name.split(".")[3] for name in changed if ".layers." in name} == {"6", "7"}
    with pytest.raises(InputError, match="layers: the image encoder has 8, not 9"):
        tune_image_reward(model, *bright, replace(OPTIONS, layers=9))


class Killed(Exception):  # noqa: N818
    """The end of the process."""


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_killed_training_ends_with_the_same_weights(load, bright, tmp_path, precision, alike):
    options = replace(OPTIONS, precision=precision, epochs=3)
    whole = load()
    through = tune_image_reward(whole, *bright, options)

    def kill(entry, epochs):
        if entry["epoch"] == 2:
            raise Killed

    file = tmp_path / "encoder.safetensors"
    with pytest.raises(Killed):
        tune_image_reward(load(), *bright, options, checkpoint=file, epoch_end=kill)
    again = load()
    resumed = tune_image_reward(again, *bright, options, checkpoint=file)
    assert alike(resumed, through)
    expected = parameters(whole)
    assert all(torch.allclose(value, expected[name], rtol=0, atol=1e-3) for name, value in parameters(again).items())
    with pytest.raises(InputError, match=r"another training \(other seed\)"):
        tune_image_reward(load(), *bright, replace(options, seed=1), checkpoint=file)


def test_weights_that_get_no_better_stay(load, bright):
    model = load()
    data, labels, training, validation = bright
    # Nothing can be learned from this: the ratings of the training pictures are turned round.
    turned = {key: 1.0 - value if key in set(training) else value for key, value in labels.items()}
    before = parameters(model)
    found = tune_image_reward(model, data, turned, training, validation, replace(OPTIONS, patience=1, epochs=6))
    if found.best_epoch == 0:
        assert all(torch.equal(value, before[name]) for name, value in parameters(model).items())
    assert found.figures["after"] >= found.figures["before"]
    assert len(found.history) < 7


@pytest.mark.parametrize(
    "choices", [{"layers": -1}, {"learning_rate": 0.0}, {"ranking_weight": 0.0, "regression_weight": 0.0}]
)
def test_bad_options(choices):
    with pytest.raises(InputError, match="|".join(choices)):
        RewardTuningOptions(**choices)
