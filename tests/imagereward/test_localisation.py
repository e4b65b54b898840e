"""The three ways to find a text in a picture, against the reference's numbers."""

from __future__ import annotations

import pytest
import torch

from grefine_core.imagereward.localisation import (
    gradient_maps,
    joint_patches,
    joint_texts,
    middle_layers,
    slice_rewards,
    token_gradients,
    value_features,
)


@pytest.mark.parametrize("layer", [0, 1])
def test_gradient_times_attention_is_the_references(network, numbers, layer):
    found = token_gradients(network, numbers.image_embeds, numbers.input_ids, numbers.attention_mask, layer)
    expected = getattr(numbers, f"gradcam_{layer}")
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-3)
    assert float(expected.max()) > 1e-5  # the tolerance above means something


def test_v_v_attention_is_the_references(network, numbers):
    states = value_features(network, numbers.pixel_values, numbers.config["derived_vv_last_n"])
    torch.testing.assert_close(states, numbers.derived_vv_patch_features, atol=1e-4, rtol=0)
    texts = joint_texts(network, numbers.input_ids, numbers.attention_mask)
    cosines = torch.einsum("tc,bpc->btp", texts, joint_patches(network, states))
    torch.testing.assert_close(cosines, numbers.derived_vv_cosine, atol=1e-5, rtol=0)
    # Without any such block, the ordinary encode.
    torch.testing.assert_close(value_features(network, numbers.pixel_values, 0), numbers.image_embeds)


def test_slices_are_the_references(network, numbers):
    for index in range(2):
        text = numbers.input_ids[index : index + 1], numbers.attention_mask[index : index + 1]
        found = slice_rewards(network, numbers.image_embeds[index], *text)
        torch.testing.assert_close(found, numbers.per_patch_reward[index], atol=1e-6, rtol=0)
        # A window as large as the picture sees all of it from everywhere: the four patches, without the class token.
        whole = slice_rewards(network, numbers.image_embeds[index], *text, window=2)
        states = network.text_states(*text, numbers.image_embeds[index : index + 1, 1:]).last_hidden_state
        torch.testing.assert_close(whole, network.reward(states[:, 0]).expand(4))


def test_a_text_is_found_by_its_own_tokens(network, numbers):
    """The mean over the layers and over the words, without start, end and padding."""
    ids, mask = numbers.input_ids, numbers.attention_mask
    found = gradient_maps(network, numbers.image_embeds[0], ids, mask)
    (layer,) = middle_layers(network.sizes.text_layers)
    tokens = token_gradients(network, numbers.image_embeds[0], ids, mask, layer)
    torch.testing.assert_close(found, torch.stack([tokens[0, 1:6].mean(0), tokens[1, 1:4].mean(0)]))
    assert list(middle_layers(12)) == [6, 7, 8]
    empty = gradient_maps(network, numbers.image_embeds[0], torch.tensor([[2, 3]]), torch.ones(1, 2, dtype=torch.int64))
    assert empty.shape == (1, 4)
    assert bool(torch.isfinite(empty).all())


def test_gradients_of_a_network_that_was_moved_in_inference_mode(network, numbers):
    """As a host's memory manager does it: such weights take part in no gradient."""
    import copy

    moved = copy.deepcopy(network)
    with torch.inference_mode():
        moved.to(torch.float64).to(torch.float32)
        assert any(parameter.is_inference() for parameter in moved.parameters())
        tokens = moved.image_embeds(numbers.pixel_values)[0]
        found = gradient_maps(moved, tokens, numbers.input_ids, numbers.attention_mask)
    expected = gradient_maps(network, numbers.image_embeds[0], numbers.input_ids, numbers.attention_mask)
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-3)
    assert not found.requires_grad
