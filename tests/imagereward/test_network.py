"""The network against the reference's numbers, stage by stage: the reward alone would hide a wrong port."""

from __future__ import annotations

import pytest
import torch

from grefine_core.imagereward import ImageRewardNetwork
from grefine_core.imagereward.network import SharedLinear


def close(found, expected, tolerance):
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


@torch.no_grad()
def test_every_stage_is_the_references(network, numbers):
    embeds = network.image_embeds(numbers.pixel_values)
    close(embeds, numbers.image_embeds, 1e-4)
    output = network.text_states(numbers.input_ids, numbers.attention_mask, embeds)
    close(output.last_hidden_state[:, 0], numbers.txt_cls, 5e-6)
    close(network.mlp(output.last_hidden_state[:, 0]), numbers.mlp_raw, 1e-6)
    close(network.reward(output.last_hidden_state[:, 0]), numbers.reward[:, 0], 1e-6)
    close(network(numbers.pixel_values, numbers.input_ids, numbers.attention_mask), numbers.reward[:, 0], 1e-6)
    alone = network.text_states(numbers.input_ids, numbers.attention_mask, None).last_hidden_state[:, 0]
    close(alone, numbers.text_only_cls, 5e-6)


@torch.no_grad()
def test_the_golden_tolerances_tell_a_wrong_epsilon_and_wrong_heads(sizes, published, network, numbers):
    """What shows in no name and no shape: so these tests can see it, and the reward can not."""
    wrong = ImageRewardNetwork(sizes)
    wrong.load_state_dict(network.state_dict())
    for module in wrong.vision_model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-5
    embeds = wrong.image_embeds(numbers.pixel_values)
    assert float((embeds - numbers.image_embeds).abs().max()) > 1e-4
    rewards = wrong(numbers.pixel_values, numbers.input_ids, numbers.attention_mask)
    assert float((rewards - numbers.reward[:, 0]).abs().max()) < 1e-6
    for layer in wrong.text_encoder.encoder.layer:
        layer.crossattention.self.num_attention_heads, layer.crossattention.self.attention_head_size = 2, 24
    states = wrong.text_states(numbers.input_ids, numbers.attention_mask, numbers.image_embeds).last_hidden_state
    assert float((states[:, 0] - numbers.txt_cls).abs().max()) > 5e-6


def test_the_published_sizes():
    with torch.device("meta"):
        published = ImageRewardNetwork()
    vision, text = published.vision_model.config, published.text_encoder.config
    assert (vision.layer_norm_eps, text.layer_norm_eps) == (1e-6, 1e-12)
    assert (vision.num_attention_heads, text.num_attention_heads) == (16, 12)
    assert (vision.hidden_act, text.hidden_act, text.vocab_size) == ("gelu", "gelu", 30524)
    assert sum(parameter.numel() for parameter in published.parameters()) * 4 == pytest.approx(1.79e9, rel=0.01)


@torch.no_grad()
def test_one_picture_for_many_texts_is_the_same_as_one_for_each(network, numbers):
    picture = numbers.image_embeds[:1]
    shared = network.text_states(numbers.input_ids, numbers.attention_mask, picture.expand(2, -1, -1))
    apart = network.text_states(numbers.input_ids, numbers.attention_mask, picture.repeat(2, 1, 1))
    close(shared.last_hidden_state, apart.last_hidden_state, 1e-6)


def test_a_shared_picture_is_projected_once(monkeypatch):
    layer = SharedLinear.like(torch.nn.Linear(3, 4))
    rows = []
    linear = torch.nn.functional.linear
    monkeypatch.setattr(
        "grefine_core.imagereward.network.F.linear", lambda x, *rest: rows.append(len(x)) or linear(x, *rest)
    )
    one = torch.randn(1, 5, 3)
    torch.testing.assert_close(layer(one.expand(6, -1, -1)), layer(one.repeat(6, 1, 1)))
    assert rows == [1, 6]


def test_training_reaches_all_of_it(sizes, numbers):
    """Fine-tuning changes the image encoder as well as the text encoder and the head."""
    trained = ImageRewardNetwork(sizes).train()
    trained(numbers.pixel_values, numbers.input_ids, numbers.attention_mask).sum().backward()
    still = {name for name, parameter in trained.named_parameters() if parameter.grad is None}
    assert {name.split(".")[0] for name in still} == {"vision_proj", "text_proj"}
