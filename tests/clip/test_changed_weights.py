"""Features of weights as they were are not used once the weights are others, however they were changed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from grefine_core import perceptual_quality
from grefine_core.clip.loading import load_clip
from grefine_core.clip.quality_model import QualityModel, weights_state
from grefine_core.errors import ModelFileError
from grefine_core.models.files import is_finite, to_floats

from ..tiny_models.clip import build_embeddings


def noisy(value: torch.Tensor) -> torch.Tensor:
    noise = torch.randn(value.shape, generator=torch.Generator().manual_seed(1))
    return value.detach() + 0.05 * noise if value.is_floating_point() else value


def exchange_parameters(module: nn.Module) -> None:
    for part in module.modules():
        for name, value in list(part._parameters.items()):
            if value is not None:
                part._parameters[name] = nn.Parameter(noisy(value), False)


def exchange_one(module: nn.Module) -> None:
    module.visual.proj = nn.Parameter(noisy(module.visual.proj), False)


def write_behind(module: nn.Module) -> None:
    for value in module.parameters():
        value.data.add_(noisy(torch.zeros_like(value)))


def write_one_behind(module: nn.Module) -> None:
    module.transformer.resblocks[0].mlp.c_fc.weight.data += noisy(torch.zeros(1))


CHANGES = {
    "load_state_dict": lambda m: m.load_state_dict({k: noisy(v) for k, v in m.state_dict().items()}),
    "assign": lambda m: m.load_state_dict({k: noisy(v) for k, v in m.state_dict().items()}, assign=True),
    "data": write_behind,
    "data of one": write_one_behind,
    "new parameters": exchange_parameters,
    "one new parameter": exchange_one,
    "half": lambda m: m.half().float(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_scores_are_those_of_the_weights_as_they_are(small_clip, change):
    model = QualityModel(copy.deepcopy(small_clip), build_embeddings())
    images = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))

    def measured():
        texts = model.text_features(["a red cat"])
        return torch.cat([perceptual_quality(model, images).score, texts.flatten()])

    before = measured()
    CHANGES[change](model.module)
    kept = measured()
    model.clear_cache()
    torch.testing.assert_close(kept, measured())
    assert not torch.equal(before, kept)


def test_nothing_is_encoded_anew_where_nothing_changed(small_clip):
    module = copy.deepcopy(small_clip)
    state = weights_state(module)
    assert weights_state(copy.deepcopy(module))[1:] == state[1:]  # elsewhere in memory
    assert weights_state(module) == state
    module.register_buffer("mean", torch.zeros(3))
    changed = weights_state(module)
    module.mean.data.add_(1)
    assert len({state, changed, weights_state(module)}) == 3
    assert weights_state(module, without=module)[2] != state[2]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_features_that_are_no_numbers_are_an_error(small_clip, value):
    module = copy.deepcopy(small_clip)
    model = QualityModel(module, build_embeddings())
    module.visual.proj.data[0] = value
    with pytest.raises(ModelFileError, match="features of pictures are not finite"):
        perceptual_quality(model, torch.rand(1, 64, 64, 3))
    module.text_projection.data[:] = value
    with pytest.raises(ModelFileError, match="features of texts are not finite"):
        model.text_features(["a red cat"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_finite_is_exact(dtype):
    values = torch.full((300,), torch.finfo(dtype).max, dtype=dtype)
    assert is_finite(values)  # though their sum is not
    for bad in (float("nan"), float("inf")):
        values[7] = bad
        assert not is_finite(values)
    values[7:9] = torch.tensor([float("inf"), -float("inf")], dtype=dtype)
    assert not is_finite(values)
    assert is_finite(torch.empty(0, dtype=dtype))


def test_weights_are_converted_and_checked():
    assert to_floats("a file", "w", torch.ones(2, dtype=torch.float64), torch.float16).dtype == torch.float16
    with pytest.raises(ModelFileError, match=r"a file: w contains NaN.*range of torch\.float16"):
        to_floats("a file", "w", torch.tensor([1e30]), torch.float16)
    for kind in (torch.int32, torch.bool, torch.complex64):
        with pytest.raises(ModelFileError, match=r"a file: w is of type"):
            to_floats("a file", "w", torch.ones(2, dtype=kind), torch.float32)


@pytest.mark.parametrize("kind", ["nan", "whole"])
def test_damaged_clip_files_are_refused_by_the_tensors_name(small_clip, tmp_path, kind):
    import json

    from safetensors.torch import save_file

    from ..tiny_models.clip import CLIP_CONFIG

    tensors = {name: value.clone() for name, value in small_clip.state_dict().items()}
    name = "visual.ln_post.weight"
    tensors[name] = tensors[name].to(torch.int32) if kind == "whole" else tensors[name] * float("nan")
    save_file(tensors, tmp_path / "clip.safetensors")
    (tmp_path / "clip.json").write_text(json.dumps(CLIP_CONFIG))
    with pytest.raises(ModelFileError, match=r"clip\.safetensors: visual\.ln_post\.weight"):
        load_clip(tmp_path / "clip.safetensors")
