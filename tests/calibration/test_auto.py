"""Calibration at the first load: once for each set of files, kept, and never over a user's own."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from grefine_core import Calibration, assess, load_quality_model
from grefine_core.alignment import calibration_path
from grefine_core.calibration import auto
from grefine_core.calibration.damage import DAMAGES, damage
from grefine_core.calibration.measuring import MOST_ENCODES
from grefine_core.clip.embeddings import save_embedding_set
from grefine_core.errors import Cancelled

from ..tiny_models.clip import CLIP_CONFIG, build_embeddings


@pytest.fixture
def folder(tmp_path, small_clip, small_reference, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GREFINE_CALIBRATION")
    monkeypatch.setattr(auto, "load_reference", lambda: small_reference)
    models = tmp_path / "models"
    models.mkdir()
    save_file({name: tensor.clone() for name, tensor in small_clip.state_dict().items()}, models / "clip.safetensors")
    (models / "clip.json").write_text(json.dumps(CLIP_CONFIG), encoding="utf-8")
    save_embedding_set(build_embeddings(), models / "pq.safetensors")
    return models


def load(folder, calls: list[tuple[int, int]] | None = None, **options):
    seen = [] if calls is None else calls
    return load_quality_model(
        weights=folder / "clip.safetensors",
        **{"embeddings": folder / "pq.safetensors", "calibration": "auto", **options},
        progress=lambda done, total: seen.append((done, total)),
    )


def test_the_first_load_measures_and_the_second_finds_it(folder, pictures, caplog):
    calls: list[tuple[int, int]] = []
    first = load(folder, calls)
    assert calls[-1][0] == calls[-1][1] <= MOST_ENCODES
    assert first.calibration.calibrated
    assert first.calibration.pictures == 8
    assert first.calibration.perceptual is not None
    assert first.calibration.noise is not None
    assert "another text encoder's" in caplog.text  # random embeddings: said
    again: list[tuple[int, int]] = []
    second = load(folder, again)
    assert again == []
    assert second.calibration == first.calibration
    found = assess(second, pictures, "a red ball on a green lawn")
    assert found.perceptual.score.isfinite().all()
    # Untrained weights tell nothing, so nothing is called missing.
    assert all(phrase.matched for phrase in found.alignment.phrases[0])

    other: list[tuple[int, int]] = []
    load(folder, other, resolution=96)
    assert other
    assert len(list((folder / "calibrations").iterdir())) == 2


def test_a_users_own_wins(folder):
    own = Calibration(pictures=5, model="clip")
    own.save(calibration_path(folder / "clip.safetensors"))
    before = calibration_path(folder / "clip.safetensors").read_bytes()
    calls: list[tuple[int, int]] = []
    assert load(folder, calls).calibration == own
    assert calls == []
    assert calibration_path(folder / "clip.safetensors").read_bytes() == before
    assert load(folder, calibration="none").calibration is None


def test_who_stops_it_leaves_nothing(folder):
    def stop(done: int, total: int) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        load_quality_model(
            weights=folder / "clip.safetensors",
            embeddings=folder / "pq.safetensors",
            calibration="auto",
            progress=stop,
        )
    assert not (folder / "calibrations").exists()


def test_auto_takes_words_where_the_published_embeddings_do_not_fit(folder):
    model = load(folder, embeddings="auto")
    assert model.embedding_source == "words"
    assert model.calibration.embeddings == "words"
    assert load(folder, embeddings="words", calibration="none").embedding_source == "words"


def test_damage_is_where_its_mask_says():
    image = torch.rand(40, 56, 3, generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2
    before = image.clone()
    for name in DAMAGES:
        copy = damage(image, name, size=512, local=True, generator=torch.Generator().manual_seed(2))
        assert copy.image.shape == image.shape
        assert copy.image.min() >= 0
        assert copy.image.max() <= 1
        changed = (copy.image - image).abs().amax(-1)
        assert 0 < copy.mask.float().mean() < 0.5
        # Half-covered edges aside, nothing changes outside.
        grown = torch.nn.functional.max_pool2d(copy.mask.float()[None, None], 9, 1, 4)[0, 0] > 0
        assert changed[~grown].max() < 1e-6, name
        assert changed[copy.mask].mean() > 0.005, name
        assert damage(image, name, local=False).mask.all()
    torch.testing.assert_close(image, before)


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_every_damage_can_be_made_of_pictures_of_any_size(name, size):
    """One's own pictures may be as small as they like."""
    changed = DAMAGES[name][1](torch.full((1, 3, *size), 0.4), 6.0, 0.5, torch.Generator().manual_seed(0))
    assert changed.shape == (1, 3, *size)
    assert bool(changed.isfinite().all())
