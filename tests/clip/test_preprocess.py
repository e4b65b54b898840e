"""Preprocessing: the golden one, the whole picture, the same bytes in every batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from grefine_core.clip.preprocess import check_resolution, geometry, normalise, preprocess
from grefine_core.errors import InputError


def test_the_golden_preprocessing(golden, golden_clip):
    shape = geometry(golden_clip)
    image = golden.image[None].float() / 255
    ours = normalise(preprocess(image, shape.size), shape)
    std = torch.tensor(shape.std).view(1, 3, 1, 1)
    assert ((ours - golden.preprocessed) * std * 255).abs().max() < 0.01


@pytest.mark.parametrize("size", [(101, 70), (600, 500), (30, 400), (10, 10)])
def test_it_is_pillows_resize(size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    theirs = np.asarray(Image.fromarray(picture).resize((224, 224), Image.Resampling.BICUBIC))
    ours = preprocess(torch.from_numpy(picture)[None].float() / 255, (224, 224))[0].permute(1, 2, 0).numpy()
    assert ours.dtype == np.uint8
    assert np.array_equal(ours, theirs)


def test_nothing_is_cropped():
    image = torch.zeros(1, 40, 120, 3)
    image[:, :, :6] = 1.0
    image[:, :, -6:, 0] = 1.0
    resized = preprocess(image, (60, 60))[0]
    assert resized[:, :, 0].min() > 200
    assert resized[0, :, -1].min() > 200
    assert resized[1:, :, -1].max() < 40


def test_a_picture_gives_the_same_bytes_in_every_batch_and_is_not_written_to(pictures):
    kept = pictures.clone()
    together = preprocess(pictures, (64, 48))
    assert together.shape == (3, 3, 64, 48)
    for index, picture in enumerate(pictures):
        assert torch.equal(preprocess(picture[None], (64, 48))[0], together[index])
    assert torch.equal(preprocess(pictures.transpose(1, 2).contiguous().transpose(1, 2), (64, 48)), together)
    assert torch.equal(pictures, kept)


def test_own_mean_and_deviation(small_clip):
    pixels = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    shape = geometry(small_clip)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
    torch.testing.assert_close(normalise(pixels, shape), (pixels / 255 - mean) / std, atol=1e-6, rtol=1e-5)


def test_resolutions(small_clip):
    shape = geometry(small_clip)
    assert check_resolution(None, shape) == (64, 64)
    assert check_resolution(96, shape) == (96, 96)
    assert check_resolution((64, 128), shape) == (64, 128)
    for bad in (100, 0, -8, (64,), "64", 64.0, True, (64, 65)):
        with pytest.raises(InputError, match="resolution"):
            check_resolution(bad, shape)
