"""The bounds of the factors: the paper's by default, those in an embeddings' file where it has some."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from grefine_core import QualityModel, load_quality_model, perceptual_quality
from grefine_core.clip.embeddings import (
    BOUNDS,
    FACTORS,
    METADATA_KEY,
    PerceptualBounds,
    load_perceptual_bounds,
    save_embedding_set,
)
from grefine_core.errors import InputError, ModelFileError
from grefine_core.models.registry import SHIPPED_EMBEDDINGS

from ..tiny_models.clip import CLIP_CONFIG, build_embeddings

OWN = PerceptualBounds(
    {"overall": 0.9, "technical": 0.5, "rational": 0.4, "natural": 0.3},
    {"overall": 0.8, "technical": 0.2, "rational": 0.2, "natural": 0.1},
)


@pytest.fixture
def own_file(tmp_path):
    save_embedding_set(build_embeddings(), tmp_path / "own.safetensors", {METADATA_KEY: OWN.to_json()})
    return tmp_path / "own.safetensors"


def test_without_any_they_are_the_papers(tmp_path, quality):
    paper = PerceptualBounds()
    assert paper.score == paper.patches == {"overall": 1.0, **BOUNDS}
    assert quality.perceptual_bounds == paper
    save_embedding_set(build_embeddings(), tmp_path / "plain.safetensors")
    for source in (None, SHIPPED_EMBEDDINGS, str(tmp_path / "plain.safetensors"), tmp_path, {"overall": "x.pth"}):
        assert load_perceptual_bounds(source) == paper


def test_scores_and_maps_use_a_files_own(own_file, small_clip, pictures):
    model = QualityModel(small_clip, own_file)
    assert model.perceptual_bounds == OWN
    found = perceptual_quality(model, pictures)
    expected = torch.ones(3)
    for name in FACTORS:
        expected = expected * (found.factors[name] / OWN.score[name]).clamp(max=1)
    torch.testing.assert_close(found.score, expected)
    plain = perceptual_quality(QualityModel(small_clip, build_embeddings()), pictures)
    assert (found.quality_map.mean((1, 2)) > plain.quality_map.mean((1, 2))).all()
    released = perceptual_quality(model, pictures, "released")
    same = perceptual_quality(QualityModel(small_clip, build_embeddings()), pictures, "released")
    torch.testing.assert_close(released.score, same.score, rtol=0, atol=1e-5)
    given = QualityModel(small_clip, own_file, perceptual_bounds=PerceptualBounds())
    torch.testing.assert_close(perceptual_quality(given, pictures).score, plain.score, rtol=0, atol=1e-5)


def test_the_loader_finds_them(own_file, small_clip, pictures, tmp_path):
    save_file({name: tensor.clone() for name, tensor in small_clip.state_dict().items()}, tmp_path / "clip.safetensors")
    (tmp_path / "clip.json").write_text(json.dumps(CLIP_CONFIG), encoding="utf-8")
    loaded = load_quality_model(weights=tmp_path / "clip.safetensors", embeddings=own_file)
    assert loaded.perceptual_bounds == OWN
    expected = perceptual_quality(QualityModel(small_clip, own_file), pictures)
    torch.testing.assert_close(perceptual_quality(loaded, pictures).score, expected.score)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"score": {}, "patches": {}}', '{"score": 1, "patches": 2}'])
def test_damaged_bounds_name_the_file(tmp_path, text):
    file = tmp_path / "own.safetensors"
    save_embedding_set(build_embeddings(), file, {METADATA_KEY: text})
    with pytest.raises(ModelFileError, match=r"own\.safetensors"):
        load_perceptual_bounds(file)


@pytest.mark.parametrize("value", [0.0, -1, 1.1, True, "0.5", float("nan"), None])
def test_bounds_have_a_range(value):
    with pytest.raises(InputError, match="bounds"):
        PerceptualBounds({**OWN.score, "natural": value})
