from __future__ import annotations

import pytest
import torch

from grefine_core.errors import InputError
from grefine_core.report import heatmap, overlay


def test_ends_and_middle_of_the_colour_map():
    colors = heatmap(torch.tensor([[0.0, 0.5, 1.0]]))
    assert colors.shape == (1, 1, 3, 3)
    expected = torch.tensor([[0, 0, 4], [188, 55, 84], [252, 255, 164]]) / 255
    assert torch.allclose(colors[0, 0], expected)


def test_brightness_rises_evenly():
    colors = heatmap(torch.linspace(0, 1, 201)[None])[0, 0]
    # CIE lightness, of the luminance of linear light.
    linear = torch.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    luminance = linear @ torch.tensor([0.2126, 0.7152, 0.0722])
    lightness = torch.where(luminance > 0.008856, 116 * luminance.clamp(min=1e-9) ** (1 / 3) - 16, 903.3 * luminance)
    steps = lightness.diff()
    assert float(steps.min()) > 0
    assert float(steps[5:].max()) < 3 * float(steps[5:].mean())


def test_the_picture_shows_where_the_map_is_zero():
    picture = torch.rand(2, 5, 6, 3)
    kept = picture.clone()
    values = torch.zeros(5, 6)
    values[2, 3] = 1
    laid = overlay(picture, values, alpha=1.0)
    assert laid.shape == picture.shape
    assert torch.equal(laid[:, :2], picture[:, :2])
    assert torch.allclose(laid[:, 2, 3], torch.tensor([252, 255, 164]) / 255)
    assert torch.equal(picture, kept)
    assert torch.equal(overlay(picture, values, alpha=0.0), picture)


def test_stays_in_range():
    laid = overlay(torch.rand(1, 9, 9, 3), torch.rand(1, 9, 9))
    assert float(laid.min()) >= 0
    assert float(laid.max()) <= 1


def test_bad_input():
    with pytest.raises(InputError, match=r"map: size \(4, 4\).*images \(4, 5\)"):
        overlay(torch.zeros(1, 4, 5, 3), torch.ones(4, 4))
    with pytest.raises(InputError, match=r"3 masks for 2 pictures"):
        overlay(torch.zeros(2, 4, 4, 3), torch.zeros(3, 4, 4))
    with pytest.raises(InputError, match="alpha"):
        overlay(torch.zeros(1, 4, 4, 3), torch.zeros(4, 4), alpha=2)
    with pytest.raises(InputError, match="map: contains NaN"):
        heatmap(torch.full((4, 4), float("nan")))


def test_large_pictures_are_drawn_in_strips_that_do_not_show():
    picture, defects = torch.rand(2, 600, 5, 3), torch.rand(2, 600, 5)
    drawn = overlay(picture, defects)
    pixels = overlay(picture.reshape(1, 1, -1, 3), defects.reshape(1, 1, -1))
    assert torch.allclose(drawn.reshape(1, 1, -1, 3), pixels, atol=1e-6)
