"""Parameters by the names that they had: the same result, and a warning."""

from __future__ import annotations

import pytest
import torch

from grefine_core import QualityModel, assess, load_quality_model, perceptual_quality
from grefine_core.alignment import shipped_contrast_vocabulary
from grefine_core.errors import InputError

from ..tiny_models import write_quality_model


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = write_quality_model(tmp_path_factory.mktemp("tiny"))
    return {"weights": folder / "clip.safetensors", "embeddings": folder / "pq_embeddings.safetensors"}


@pytest.fixture(scope="module")
def quality(files):
    return load_quality_model(**files)


@pytest.fixture(scope="module")
def picture():
    return torch.rand(1, 40, 40, 3, generator=torch.Generator().manual_seed(1))


def test_the_formula_of_a_score(quality, picture):
    with pytest.warns(DeprecationWarning, match="formula"):
        found = perceptual_quality(quality, picture, calibration="released")
    assert torch.equal(found.score, perceptual_quality(quality, picture, "released").score)
    assert not torch.equal(found.score, perceptual_quality(quality, picture, formula="paper").score)


def test_the_formula_of_both(quality, picture):
    with pytest.warns(DeprecationWarning, match="formula"):
        found = assess(quality, picture, "a red cup", calibration="released").perceptual
    assert torch.equal(found.score, perceptual_quality(quality, picture, "released").score)


def test_both_names_are_one_too_many(quality, picture):
    with pytest.raises(InputError, match=r"^calibration: is called formula now"):
        perceptual_quality(quality, picture, formula="paper", calibration="released")


def test_a_wrong_value_is_named_by_the_new_name(quality, picture):
    with pytest.warns(DeprecationWarning, match="formula"), pytest.raises(InputError, match=r"^formula: "):
        perceptual_quality(quality, picture, calibration="mine")


def test_the_contrast_vocabulary(quality, files, tmp_path):
    own = shipped_contrast_vocabulary().save(tmp_path / "own.json")
    with pytest.warns(DeprecationWarning, match="contrast_vocabulary"):
        loaded = load_quality_model(**files, banks=own)
    with pytest.warns(DeprecationWarning, match="contrast_vocabulary"):
        made = QualityModel(quality.module, quality.embeddings, banks=own)
    assert loaded.contrast_vocabulary == made.contrast_vocabulary == shipped_contrast_vocabulary()
    with pytest.warns(DeprecationWarning, match="contrast_vocabulary"):
        assert made.banks is made.contrast_vocabulary
