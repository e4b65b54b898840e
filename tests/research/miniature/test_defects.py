"""Perceptual defects: they lie where the mask says, differ in strength, and leave their input alone."""

from __future__ import annotations

import numpy as np
import pytest

from grefine_research.miniature import defects
from grefine_research.miniature.draw import draw
from grefine_research.miniature.layout import sample_scene
from grefine_research.miniature.worlds import FIRST

EVERY = [(kind, name) for kind, names in defects.NAMES.items() for name in names]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_nothing_changes_outside_the_mask(kind, name):
    rng = np.random.default_rng(4)
    for _ in range(12):
        scene = sample_scene(rng, "train")
        clean = draw(scene)
        before = clean.copy()
        image, defect = defects.add(clean, scene, kind, rng, name=name)
        changed = np.abs(image - clean).max(axis=2) > 0.02
        assert np.array_equal(clean, before)
        assert not (changed & ~defect.mask).any()
        assert (changed & defect.mask).sum() >= 60
        assert (defect.kind, defect.name) == (kind, name)
        assert 0.0 < defect.severity <= 1.0
        assert image.dtype == np.float32
        assert image.min() >= 0.0
        assert image.max() <= 1.0


@pytest.mark.parametrize("name", defects.NAMES["technical"])
def test_a_stronger_defect_is_further_from_the_clean_picture(name):
    from grefine_research.miniature.defects.regions import degrade, draw_region

    rng = np.random.default_rng(1)
    clean = draw(sample_scene(rng, "train"))
    mask = draw_region(rng)
    errors = [
        float(np.square(degrade(clean, mask, name, strength, np.random.default_rng(0)) - clean).mean())
        for strength in (0.3, 0.95)
    ]
    assert errors[0] < errors[1]


def test_the_same_draw_gives_the_same_bytes():
    scene = sample_scene(np.random.default_rng(8), "train")
    pair = [defects.add(draw(scene), scene, "rational", np.random.default_rng(3)) for _ in range(2)]
    assert pair[0][0].tobytes() == pair[1][0].tobytes()
    assert np.array_equal(pair[0][1].mask, pair[1][1].mask)


def test_severity_grows_with_strength_and_area():
    from grefine_research.miniature.defects.apply import severity

    small, large = np.zeros((128, 128), bool), np.zeros((128, 128), bool)
    small[:20, :20], large[:60, :60] = True, True
    assert severity(0.3, small) < severity(0.9, small) < severity(0.9, large) <= 1.0


def test_blur_and_soft_masks_are_kornia_s_and_agree_with_scipy(monkeypatch):
    from scipy import ndimage

    from grefine_research.miniature.defects import items, regions

    rng = np.random.default_rng(5)
    image, everywhere = rng.random((128, 128, 3)).astype(np.float32), np.ones((128, 128), bool)
    spots = rng.random((128, 128)) > 0.98
    blurred = regions.degrade(image, everywhere, "blur", 0.5, rng, FIRST)
    np.testing.assert_allclose(blurred, ndimage.gaussian_filter(image, (3.5, 3.5, 0), mode="nearest"), atol=1e-5)
    assert np.array_equal(items._soft(spots), ndimage.binary_dilation(spots, iterations=2))
    monkeypatch.setattr("kornia.filters.gaussian_blur2d", lambda planes, *_: planes)
    monkeypatch.setattr("kornia.morphology.dilation", lambda planes, *_: planes)
    assert np.array_equal(regions.degrade(image, everywhere, "blur", 0.5, rng, FIRST), image)
    assert np.array_equal(items._soft(spots), spots)
