"""Matching colours."""

from __future__ import annotations

import torch

from grefine_core.refine.color import match_color


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
