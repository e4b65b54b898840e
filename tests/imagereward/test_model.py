"""Pictures in, rewards out: preprocessing, batches, caches."""

from __future__ import annotations

import pytest
import torch

from grefine_core.clip.preprocess import preprocess
from grefine_core.errors import InputError
from grefine_core.imagereward.network import crop


def test_the_centre_with_the_short_side_at_224():
    wide = torch.zeros(1, 100, 300, 3)
    wide[:, :, 100:200] = 1.0  # the middle third is all that is seen
    assert bool((crop(wide, 224)[..., 4:-4] == 255).all())
    tall = torch.rand(1, 90, 60, 3, generator=torch.Generator().manual_seed(0))
    assert crop(tall, 64).shape == (1, 3, 64, 64)


def test_a_square_picture_is_seen_the_same_either_way():
    square = torch.rand(2, 50, 50, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(crop(square, 64), preprocess(square, (64, 64)))


def test_as_the_references_transforms_have_it():
    from PIL import Image
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

    from grefine_core.clip.preprocess import OPENAI_MEAN, OPENAI_STD, Geometry, normalise

    reference = Compose(
        [
            Resize(64, interpolation=InterpolationMode.BICUBIC),
            CenterCrop(64),
            ToTensor(),
            Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
        ]
    )
    picture = torch.randint(0, 256, (47, 81, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    ours = normalise(crop(picture[None].float() / 255, 64), Geometry((64, 64), (16, 16), OPENAI_MEAN, OPENAI_STD))
    torch.testing.assert_close(ours[0], reference(Image.fromarray(picture.numpy())), atol=1e-5, rtol=0)


def test_rewards_one_for_each_picture(encoder, pictures):
    prompts = ["a red cup", "an old house on the table", "a red cup"]
    together = encoder.rewards(pictures, prompts)
    assert together.shape == (3,)
    assert len(set(together.tolist())) == 3
    encoder.clear_cache()
    for index, prompt in enumerate(prompts):
        torch.testing.assert_close(encoder.rewards(pictures[index], prompt), together[index : index + 1])
    torch.testing.assert_close(
        encoder.rewards(pictures, "a tree"), encoder.rewards(pictures, ["a tree"] * 3), rtol=0, atol=1e-5
    )
    with pytest.raises(InputError, match="one for each of the 3"):
        encoder.rewards(pictures, ["a", "b"])


def test_rewards_are_the_networks_on_padded_texts(encoder, pictures):
    """Batches, buckets and short padding change nothing beyond rounding."""
    texts = ["a cup", "a red cup on the old table with a tree and a house", "", "tree"]
    seen = encoder.see(pictures[:1])[0]
    ids, mask = encoder.tokenizer(texts, pad_to=35)
    states = encoder.network.text_states(ids, mask, seen.tokens.repeat(4, 1, 1)).last_hidden_state
    expected = encoder.network.reward(states[:, 0])
    torch.testing.assert_close(torch.tensor(encoder.read(seen, texts)), expected, atol=1e-5, rtol=0)


def test_a_picture_is_encoded_once_and_a_pair_read_once(encoder, pictures):
    seen = encoder.see(pictures)
    first = encoder.read(seen[0], ["a cup", "a tree", "a cup"])
    assert (encoder.encoder_calls, encoder.texts_read) == (1, 2)
    assert encoder.read(encoder.see(pictures[:1].clone())[0], ["a tree"]) == first[1:2]
    assert (encoder.encoder_calls, encoder.texts_read) == (1, 2)
    with torch.no_grad():
        encoder.network.vision_proj.weight.add_(0)  # written to: the weights may be others now
    encoder.see(pictures[:1])
    assert encoder.encoder_calls == 2


@pytest.mark.parametrize("way", ["gradient", "values", "slices"])
def test_maps_of_any_number_of_texts(encoder, pictures, way):
    encoder.maps = way
    (seen,) = encoder.see(pictures[:1])
    texts = [f"a {word}" for word in ("cup", "red tree", "house", "table")] * 5
    found = encoder.find(seen, texts)
    assert found.shape == (20, 4, 4)
    torch.testing.assert_close(found[0], encoder.find(seen, ["a cup"])[0], atol=1e-6, rtol=1e-3)
    assert float(found[0].max() - found[0].min()) > 0
    assert encoder.find(seen, []).shape == (0, 4, 4)
