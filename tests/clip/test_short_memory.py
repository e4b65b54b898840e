"""A device with too little memory for a batch: the quality model measures it in smaller ones, or says what to do."""

from __future__ import annotations

import pytest
import torch

import grefine_core.clip.quality_model as module
from grefine_core.errors import GRefineError
from grefine_core.memory import OutOfMemory, is_out_of_memory

from ..tiny_models import build_clip, build_embeddings

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


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory",
        "HIP out of memory. Tried to allocate 2.00 GiB (GPU 0; 8.00 GiB total capacity)",
        "XPU out of memory. Tried to allocate 4.00 GiB",
        "Native API failed. Native API returns: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)",
        "Native API failed. Native API returns: -5 (PI_ERROR_OUT_OF_RESOURCES)",
        "MPS backend out of memory (MPS allocated: 16.00 GB, other allocations: 1.00 GB, max allowed: 18.00 GB)",
        "Invalid buffer size: 36.00 GB",
        "[enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: not enough memory: you tried to",
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you",
        "Could not allocate tensor with 1073741824 bytes. There is not enough GPU video memory available!",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "hipErrorOutOfMemory",
        "unable to mmap 2147483648 bytes from file <model>: Cannot allocate memory (12)",
    ],
)
def test_all_devices_words_are_known(text):
    assert is_out_of_memory(RuntimeError(text))
    assert not is_out_of_memory(ValueError(text))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        RuntimeError("Expected all tensors to be on the same device"),
        RuntimeError("expand: the number of sizes provided (1) must be greater or equal; share the same memory"),
        KeyError("out of memory"),
        None,
    ],
)
def test_others_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)


def test_other_errors_are_not_taken_for_it(quality, monkeypatch):
    asked = short(monkeypatch, "encode_image", 0, RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        quality.image_features(torch.rand(3, 20, 30, 3))
    assert asked == [3]
