"""A device with too little memory for a batch: the quality model measures it in smaller ones, or says what to do."""

from __future__ import annotations

import pytest
import torch

import grefine_core.quality_model as module
from grefine_core.errors import GRefineError
from grefine_core.memory import OutOfMemory, is_out_of_memory
from grefine_core.standins import build_clip, build_embeddings

ERRORS = [torch.cuda.OutOfMemoryError("CUDA out of memory."), RuntimeError("can't allocate memory"), MemoryError()]


@pytest.fixture
def quality():
    clip = build_clip()
    return module.QualityModel(clip, build_embeddings())


def short(monkeypatch, name: str, fits: int, error: BaseException) -> list[int]:
    """Let ``module.name`` fail for more than ``fits`` pictures or texts; the sizes that it was asked for."""
    asked, real = [], getattr(module, name)

    def limited(clip, batch, *rest):
        asked.append(len(batch))
        if len(batch) > fits:
            raise error
        return real(clip, batch, *rest)

    monkeypatch.setattr(module, name, limited)
    return asked


@pytest.mark.parametrize("error", ERRORS)
def test_a_batch_is_halved_until_it_fits(quality, monkeypatch, error):
    pictures = torch.rand(7, 20, 30, 3)
    whole = quality.image_features(pictures).tokens
    quality.clear_cache()
    asked = short(monkeypatch, "encode_image", 2, error)
    parts = quality.image_features(pictures).tokens
    assert torch.allclose(parts, whole, atol=1e-5)
    assert max(size for size in asked if size <= 2) == 2
    assert sum(size for size in asked if size <= 2) == 7


def test_texts_as_well(quality, monkeypatch):
    texts = [f"a {color} hat" for color in ("red", "green", "blue", "grey", "pink")]
    whole = quality.text_features(texts)
    quality.clear_cache()
    short(monkeypatch, "encode_tokens", 1, ERRORS[0])
    assert torch.allclose(quality.text_features(texts), whole, atol=1e-5)


@pytest.mark.parametrize("error", ERRORS)
def test_when_not_even_one_fits_it_says_what_to_do(quality, monkeypatch, error):
    short(monkeypatch, "encode_image", 0, error)
    with pytest.raises(OutOfMemory, match=r"Out of memory while measuring pictures .* device cpu") as caught:
        quality.image_features(torch.rand(3, 20, 30, 3))
    assert isinstance(caught.value, GRefineError)
    assert isinstance(caught.value, torch.cuda.OutOfMemoryError)  # hosts free memory when they see this one


def test_other_errors_are_not_taken_for_it(quality, monkeypatch):
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    asked = short(monkeypatch, "encode_image", 0, RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        quality.image_features(torch.rand(3, 20, 30, 3))
    assert asked == [3]
