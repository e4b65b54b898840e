"""Matching colours."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from grefine_core.refine.color import adain_color, match_color, wavelet_color


def test_matches_mean_and_spread():
    generator = torch.Generator().manual_seed(0)
    reference = torch.rand(1, 32, 32, 3, generator=generator) * 0.4 + 0.3
    out = match_color(reference * 0.8 + 0.1, reference)
    torch.testing.assert_close(out, reference, atol=1e-5, rtol=0)


def test_compares_only_where_told():
    reference = torch.rand(1, 32, 32, 3) * 0.4 + 0.3
    shifted = reference + 0.1
    shifted[:, 16:] = 0.9  # new content, of no interest
    where = torch.zeros(1, 32, 32, dtype=torch.bool)
    where[:, :16] = True
    torch.testing.assert_close(match_color(shifted, reference, where)[:, :16], reference[:, :16], atol=1e-5, rtol=0)


def test_too_little_to_compare():
    images = torch.rand(1, 8, 8, 3)
    assert match_color(images, torch.rand(1, 8, 8, 3), torch.zeros(1, 8, 8, dtype=torch.bool)) is images
    assert match_color(images[:, :1, :1], images[:, 1:2, 1:2]).shape == (1, 1, 1, 3)


def test_flat_pictures_stay_finite_and_in_range():
    out = match_color(torch.full((1, 16, 16, 3), 0.5), torch.rand(1, 16, 16, 3))
    assert torch.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1


def test_wavelet_color_takes_the_coarse_part_from_the_reference():
    generator = torch.Generator().manual_seed(0)
    detail = torch.rand(2, 90, 110, 3, generator=generator) * 0.1
    reference = torch.linspace(0.2, 0.6, 110).view(1, 1, 110, 1).expand(2, 90, 110, 3)
    out = wavelet_color(reference + detail + torch.tensor([0.2, -0.1, 0.0]), reference)
    torch.testing.assert_close(out.mean(dim=(1, 2)), reference.mean(dim=(1, 2)), atol=2e-3, rtol=0)
    torch.testing.assert_close(out.std(dim=1).mean(), detail.std(dim=1).mean(), atol=2e-3, rtol=0)


def test_wavelet_color_of_equal_and_of_tiny_pictures():
    images = torch.rand(1, 20, 3, 3)
    assert torch.equal(wavelet_color(images, images), images)
    assert wavelet_color(torch.rand(1, 1, 1, 3), torch.rand(1, 1, 1, 3)).shape == (1, 1, 1, 3)


def test_wavelet_color_smooths_with_kornia(monkeypatch):
    monkeypatch.setattr("kornia.filters.filter2d_separable", lambda planes, *_, **__: planes)
    images, reference = torch.rand(2, 1, 20, 30, 3)
    torch.testing.assert_close(wavelet_color(images, reference), reference)


def test_wavelet_color_is_a_transform_with_holes():
    planes = torch.rand(2, 3, 40, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    coarse = planes
    taps = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
    kernel = torch.outer(taps, taps).expand(3, 1, 3, 3)
    for far in (1, 2, 4, 8, 16):
        padded = F.pad(coarse, (far,) * 4, mode="replicate")
        coarse = F.conv2d(padded, kernel, dilation=far, groups=3)
    images = planes.permute(0, 2, 3, 1)
    torch.testing.assert_close(wavelet_color(torch.zeros_like(images), images), coarse.permute(0, 2, 3, 1))


def test_adain_color_is_per_picture():
    images, reference = torch.rand(2, 20, 30, 3), torch.rand(2, 15, 15, 3) * torch.tensor([0.2, 0.9]).view(2, 1, 1, 1)
    out = adain_color(images, reference)
    torch.testing.assert_close(out.mean(dim=(1, 2)), reference.mean(dim=(1, 2)), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(dim=(1, 2)), reference.std(dim=(1, 2)), atol=1e-3, rtol=0)
    assert torch.isfinite(adain_color(images[:, :1, :1], reference)).all()
    assert torch.isfinite(adain_color(torch.zeros(1, 8, 8, 3), reference[:1])).all()


class _Kinds(TorchDispatchMode):
    """Notes every kind of number that is made on another device than the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        results = made if isinstance(made, list | tuple) else [made]
        self.seen |= {one.dtype for one in results if isinstance(one, torch.Tensor) and one.device.type != "cpu"}
        return made


@pytest.mark.parametrize("function", [match_color, adain_color, wavelet_color])
def test_no_device_is_asked_for_float64(function):
    """Not every device has it (MPS); `meta` stands for such a one, and computes nothing."""
    images = torch.rand(1, 20, 30, 3, device="meta")
    with _Kinds() as kinds:
        function(images, images)
    assert torch.float32 in kinds.seen
    assert torch.float64 not in kinds.seen
