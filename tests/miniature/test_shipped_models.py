"""The files that ship: there, whole, and no larger than promised."""

from __future__ import annotations

import pytest

from grefine_core.miniature.loading import FILES, SHIPPED, load_miniature_inpainter, load_miniature_quality_model

MIB = 2**20

pytestmark = pytest.mark.skipif(not SHIPPED.is_dir(), reason="MINIATURE MODELS MISSING: train them, see the recipe")


def test_every_file_is_there_and_small():
    sizes = {path.name: path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()}
    assert set(FILES.values()) <= set(sizes)
    assert max(sizes.values()) <= 16 * MIB
    assert sum(sizes.values()) <= 40 * MIB


def test_they_load(monkeypatch):
    monkeypatch.delenv("GREFINE_MINIATURE", raising=False)
    quality = load_miniature_quality_model()
    assert quality.calibration is not None
    assert quality.calibration.calibrated
    assert load_miniature_inpainter("cpu").native_side == 128
