"""Between pixels and latents: nothing about the VAE is assumed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch


@pytest.fixture(scope="module")
def latents(pack):
    return pack("nodes.latents")


@pytest.mark.parametrize(
    ("vae", "expected"),
    [
        (SimpleNamespace(downscale_ratio=8), 8),
        (SimpleNamespace(downscale_ratio=(lambda frames: frames, 16, 16)), 16),
        (SimpleNamespace(spacial_compression_encode=lambda: 32, downscale_ratio=1), 32),
        (SimpleNamespace(downscale_ratio=4.0), 4),
    ],
)
def test_the_vae_says_how_many_pixels_a_cell_has(latents, vae, expected):
    assert latents.size_multiple(vae) == expected


@pytest.mark.parametrize(
    "vae",
    [
        SimpleNamespace(),
        None,
        SimpleNamespace(downscale_ratio=2048, latent_dim=1),
        SimpleNamespace(downscale_ratio=1.5),
    ],
)
def test_what_is_no_picture_vae_is_refused(latents, input_error, vae):
    with pytest.raises(input_error, match="vae: this is no VAE for pictures"):
        latents.size_multiple(vae)


def test_a_film_of_one_frame_is_a_picture(latents, input_error):
    def vae(shape):
        return SimpleNamespace(encode=lambda image: torch.zeros(shape), decode=lambda latent: torch.full(shape, 2.0))

    image = torch.rand(1, 16, 16, 3)
    assert latents.encode(vae((1, 16, 1, 2, 2)), image).shape == (1, 16, 1, 2, 2)
    assert latents.decode(vae((1, 1, 16, 16, 3)), image).shape == (1, 16, 16, 3)
    assert latents.decode(vae((1, 1, 16, 16, 3)), image).max() == 1
    with pytest.raises(input_error, match="4 frames"):
        latents.encode(vae((1, 16, 4, 2, 2)), image)
    with pytest.raises(input_error, match="latents of a picture"):
        latents.encode(vae((1, 16, 2)), image)


def test_every_cell_that_the_mask_touches_is_sampled(latents):
    mask = torch.zeros(1, 32, 48)
    mask[:, 7, 8] = 1.0
    mask[:, 16:24, 40:48] = 0.3
    cells = latents.mask_cells(mask, torch.zeros(1, 4, 4, 6))
    assert cells.shape == (1, 1, 4, 6)
    assert cells[0, 0, 0, 1] == 1
    assert cells[0, 0, 2, 5] == pytest.approx(0.3)
    assert int((cells > 0).sum()) == 2
    assert latents.is_soft(cells)
    assert not latents.is_soft(cells.round())
    assert latents.noise_mask(cells, torch.zeros(1, 16, 1, 4, 6)).shape == (1, 1, 1, 4, 6)


def test_cells_spread_over_pixels_can_be_taken_back(latents):
    cells = (torch.rand(1, 1, 3, 5) > 0.5).float()
    pixels = latents.spread(cells, (24, 40))
    back = torch.nn.functional.interpolate(pixels, size=(3, 5), mode="bilinear")  # as the host does
    assert torch.equal(back, cells)


def test_what_is_hidden_is_grey_and_the_input_stays(latents):
    image, mask = torch.rand(1, 8, 8, 3), torch.zeros(1, 8, 8)
    mask[:, 2:4, 2:4] = 1
    before = image.clone()
    hidden = latents.hide(image, mask)
    assert torch.equal(image, before)
    assert (hidden[:, 2:4, 2:4] == 0.5).all()
    assert torch.equal(hidden[:, 5:], image[:, 5:])


def test_a_faint_mask_is_not_nothing(latents):
    assert torch.equal(latents.hard(torch.tensor([0.0, 0.2, 0.6])), torch.tensor([0.0, 0.0, 1.0]))
    assert torch.equal(latents.hard(torch.tensor([0.0, 0.2, 0.3])), torch.tensor([0.0, 1.0, 1.0]))


def test_a_vae_of_another_model_is_named(latents, input_error):
    model = SimpleNamespace(get_model_object=lambda name: SimpleNamespace(latent_channels=16))
    latents.check_channels(torch.zeros(1, 16, 2, 2), model)
    with pytest.raises(input_error, match=r"4 channels.*denoises 16"):
        latents.check_channels(torch.zeros(1, 4, 2, 2), model)
