"""Names and files: the published layout loads, everything else is refused and says why."""

from __future__ import annotations

import json

import pytest
import torch

from grefine_core.errors import InputError, ModelFileError
from grefine_core.imagereward import (
    ImageRewardNetwork,
    Sizes,
    find_image_reward,
    load_image_reward,
    load_network,
    network_name,
    published_name,
    published_tensors,
)
from grefine_core.imagereward.loading import published_shapes
from grefine_core.models.files import write_tensors

from .conftest import GOLDEN


@pytest.fixture(scope="module")
def full_list():
    """published name -> (our name or None, shape), of the published file."""
    compact = json.loads((GOLDEN / "imagereward_names.json").read_text(encoding="utf-8"))
    return {
        name.replace("#", str(index)): (ours and ours.replace("#", str(index)), tuple(shape))
        for name, (ours, shape, count) in compact.items()
        for index in range(count)
    }


def test_the_published_list_of_weights_exactly(full_list):
    assert len(full_list) == 625
    with torch.device("meta"):
        network = ImageRewardNetwork()
    assert published_shapes(network) == {name: shape for name, (_, shape) in full_list.items()}


def test_every_name_is_mapped_both_ways(full_list):
    for name, (ours, _) in full_list.items():
        assert network_name(name) == ours
        assert ours is None or published_name(ours) == name
    assert network_name("something.else") == "something.else"


def save(folder, weights, sizes, name="ImageReward.pt", wrap=lambda weights: weights):
    file = folder / name
    torch.save(wrap(weights), file)
    sizes.save(file)
    return file


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_published_layout_loads(tmp_path, sizes, published, numbers, prefix):
    file = save(tmp_path, {prefix + name: tensor for name, tensor in published.items()}, sizes)
    with torch.inference_mode():  # as a host's nodes run
        network = load_network(file)
    assert not any(parameter.is_inference() or parameter.requires_grad for parameter in network.parameters())
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
    rewards = network(numbers.pixel_values, numbers.input_ids, numbers.attention_mask)
    torch.testing.assert_close(rewards, numbers.reward[:, 0], atol=1e-6, rtol=0)


def test_safetensors_without_the_counter_and_half_precision(tmp_path, sizes, network, numbers):
    file = tmp_path / "tuned.safetensors"
    write_tensors(file, published_tensors(network))
    sizes.save(file)
    again = load_network(file)
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in again.state_dict().items())
    half = load_network(file, dtype=torch.bfloat16)
    rewards = half(numbers.pixel_values, numbers.input_ids, numbers.attention_mask)
    torch.testing.assert_close(rewards, numbers.reward[:, 0], atol=5e-3, rtol=0)


def test_wrong_weights_are_named(tmp_path, sizes, published):
    lacking = {name: tensor for name, tensor in published.items() if name != "blip.visual_encoder.norm.bias"}
    with pytest.raises(ModelFileError, match=r"1 missing: blip\.visual_encoder\.norm\.bias"):
        load_network(save(tmp_path, lacking, sizes))
    with pytest.raises(ModelFileError, match=r"1 unknown: blip\.itm_head\.weight"):
        load_network(save(tmp_path, {**published, "blip.itm_head.weight": torch.zeros(2)}, sizes))
    other = {**published, "mlp.layers.7.bias": torch.zeros(2)}
    with pytest.raises(ModelFileError, match=r"mlp\.layers\.7\.bias \(\[2\] instead of \[1\]\)"):
        load_network(save(tmp_path, other, sizes))
    file = save(tmp_path, published, sizes)
    file.with_suffix(".json").unlink()
    with pytest.raises(ModelFileError, match=r"of another shape: .*sizes in a JSON file"):
        load_network(file)


def test_code_in_a_file_is_not_run(tmp_path, sizes):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("code of a weight file ran",))

    with pytest.raises(ModelFileError, match="other than tensors"):
        load_network(save(tmp_path, {"mlp": Trap()}, sizes))


def test_sizes_beside_the_weights(tmp_path, sizes):
    file = tmp_path / "some.safetensors"
    file.touch()
    sizes.save(file)
    described = file.with_suffix(".json")
    described.write_text(described.read_text().replace('"text_heads": 4', '"text_heads": 5'))
    with pytest.raises(ModelFileError, match=r"\.json: is damaged .*heads"):
        load_network(file)
    described.write_text('{"embed_dim": 512}')
    with pytest.raises(ModelFileError, match="does not name the sizes"):
        load_network(file)
    with pytest.raises(InputError, match="heads"):
        Sizes(text_heads=7)


def test_what_is_not_there_is_said(tmp_path, tiny_weights, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ModelFileError, match="does not exist"):
        load_image_reward(tmp_path / "none.pt")
    with pytest.raises(ModelFileError, match=rf"ImageReward\.pt.*{tmp_path}.*models download imagereward"):
        find_image_reward([tmp_path])
    assert find_image_reward([tiny_weights]) == tiny_weights / "ImageReward.safetensors"
    with pytest.raises(InputError, match="dtype"):
        load_network(tiny_weights / "ImageReward.safetensors", dtype=torch.int8)
    with pytest.raises(InputError, match="maps"):
        load_image_reward(tiny_weights / "ImageReward.safetensors", maps="guess")
