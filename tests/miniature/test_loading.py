"""From the files to the engines; untrained weights in the shipped models' very formats."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from grefine_core.clip.loading import load_clip
from grefine_core.errors import InputError, ModelFileError
from grefine_core.miniature import loading
from grefine_core.miniature.networks import END, START, pad_with_end, text_states, text_tower_config, text_tower_weights
from grefine_core.perceptual import perceptual_quality
from grefine_core.refine.protocols import Inpainter, Restorer


@pytest.fixture(scope="session")
def folder(miniature_folder) -> Path:
    return miniature_folder


@pytest.fixture(scope="session")
def engine(folder):
    return loading.load_miniature_inpainter("cpu", folder=folder)


@pytest.fixture(scope="session")
def picture() -> torch.Tensor:
    return torch.rand(1, 128, 128, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="session")
def mask() -> torch.Tensor:
    mask = torch.zeros(1, 128, 128)
    mask[:, 32:72, 40:96] = 1.0
    return mask


def copies(file: Path) -> dict[str, torch.Tensor]:
    """A file's tensors, of which none lies in the file itself, so that it can be overwritten."""
    return {name: tensor.clone() for name, tensor in load_file(file).items()}


def paint(engine, picture, mask, prompt="a red circle", **options):
    settings = {"strength": 0.8, "steps": 3, "seed": 1, **options}
    return engine.inpaint(picture, mask, prompt=prompt, **settings)


def test_the_quality_model_measures(folder, picture):
    quality = loading.load_miniature_quality_model(folder=folder)
    assert quality.grid == (16, 16)
    assert next(quality.module.parameters()).dtype == torch.float32
    result = perceptual_quality(quality, picture)
    assert result.defect_map.shape == (1, 128, 128)
    assert 0.0 <= float(result.score) <= 1.0


def test_the_inpainter_has_the_models_sizes(engine):
    assert isinstance(engine, Inpainter)
    assert (engine.size_multiple, engine.min_side, engine.native_side) == (8, 128, 128)
    assert engine.sampler.guidance_scale == loading.GUIDANCE
    assert {p.dtype for part in ("unet", "vae", "text_encoder") for p in getattr(engine.pipe, part).parameters()} == {
        torch.float32
    }


def test_the_inpainter_paints_by_prompt_weight_and_seed(engine, picture, mask):
    first = paint(engine, picture, mask)
    assert first.shape == picture.shape
    assert first.isfinite().all()
    assert torch.equal(first, paint(engine, picture, mask))
    assert not torch.equal(first, paint(engine, picture, mask, seed=2))
    assert not torch.equal(first, paint(engine, picture, mask, "a blue star"))
    assert not torch.equal(first, paint(engine, picture, mask, "a (red:1.5) circle"))


def test_every_step_is_one_call_of_the_network(engine, picture, mask):
    seen = []
    paint(engine, picture, mask, strength=0.3, steps=4, progress=lambda done, total, _: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_restorer_has_the_same_weights(engine, picture):
    restorer = engine.restorer()
    assert isinstance(restorer, Restorer)
    assert restorer.sampler is engine.sampler
    restored = restorer.restore(picture, prompt="a red circle", strength=0.2, steps=2, seed=1)
    assert restored.shape == picture.shape
    assert restored.isfinite().all()


def test_the_text_encoder_gives_what_the_unet_was_trained_with(engine, folder, clip_tokenizer):
    """transformers' encoder in the engine, open_clip's tower in training: the same numbers, pads and all."""
    clip, _ = load_clip(folder / "clip.safetensors")
    texts = ["a red circle on grass", ""]
    tokens = pad_with_end(clip_tokenizer(texts))
    assert tokens[1].tolist() == [START] + [END] * 76
    expected = text_states(clip, tokens)
    given = engine.pipe.tokenizer(texts, padding="max_length", max_length=77, return_tensors="pt").input_ids
    assert torch.equal(given, tokens)
    with torch.no_grad():
        states = engine.pipe.text_encoder(given).last_hidden_state
    assert (states - expected).abs().max() < 1e-4
    assert expected.std() > 0.5


def test_a_text_tower_of_its_own_stands_in_for_clips(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    clip = load_file(folder / "clip.safetensors")
    name = "transformer.resblocks.1.ln_1.weight"
    save_file({name: 2 * clip[name]}, tmp_path / loading.TEXT_FILE)
    (own, _), (shared, _) = loading.text_tower(tmp_path), loading.text_tower(folder)
    changed = {each for each, value in own.items() if not torch.equal(value, shared[each])}
    assert changed == {"text_model.encoder.layers.1.layer_norm1.weight"}
    model = loading.load_miniature_quality_model(folder=tmp_path)
    assert torch.equal(model.module.transformer.resblocks[1].ln_1.weight, clip[name].float())


def test_every_weight_of_the_text_tower_is_taken(folder):
    clip = load_file(folder / "clip.safetensors")
    tower = text_tower_weights(clip)
    texts = {name: tensor for name, tensor in clip.items() if not name.startswith(("visual.", "logit_"))}
    assert sum(t.numel() for t in tower.values()) == sum(t.numel() for t in texts.values())
    query = tower["text_model.encoder.layers.2.self_attn.k_proj.weight"]
    assert torch.equal(query, clip["transformer.resblocks.2.attn.in_proj_weight"][96:192])
    assert torch.equal(tower["text_projection.weight"], clip["text_projection"].T)


def test_the_text_towers_sizes_come_from_the_configuration(folder):
    config = json.loads((folder / "clip.json").read_text())
    sizes = text_tower_config(config)
    assert (sizes["hidden_size"], sizes["intermediate_size"], sizes["num_attention_heads"]) == (96, 384, 3)
    assert sizes["hidden_act"] == "quick_gelu"
    assert sizes == text_tower_config({"model_cfg": config})
    with pytest.raises(ModelFileError, match="no text tower"):
        text_tower_config({"embed_dim": 96})


def test_half_precision_is_an_option(folder):
    engine = loading.load_miniature_inpainter("cpu", torch.bfloat16, folder=folder)
    assert engine.pipe.unet.dtype == engine.pipe.text_encoder.dtype == torch.bfloat16
    assert engine.pipe.vae.dtype == torch.float32


def test_the_folder_is_the_packages_or_the_named_one(monkeypatch, folder, tmp_path):
    monkeypatch.delenv(loading.FOLDER_VARIABLE, raising=False)
    assert loading.weights_folder() == Path(loading.__file__).parent / "weights"
    monkeypatch.setenv(loading.FOLDER_VARIABLE, str(folder))
    assert loading.weights_folder() == folder
    assert loading.load_miniature_quality_model().name == "clip"
    monkeypatch.setenv(loading.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(ModelFileError, match=r"clip\.json is missing"):
        loading.load_miniature_quality_model()


@pytest.mark.parametrize("part", ["unet", "vae", "clip", "clip configuration"])
def test_a_missing_file_is_named_with_what_to_do(folder, tmp_path, part):
    broken = shutil.copytree(folder, tmp_path / "models")
    (broken / loading.FILES[part]).unlink()
    with pytest.raises(ModelFileError, match=rf"{loading.FILES[part]} is missing.*install it again"):
        loading.load_miniature_inpainter("cpu", folder=broken)


@pytest.mark.parametrize("part", ["unet", "vae", "clip"])
@pytest.mark.parametrize("how", ["cut", "pickle", "other tensors", "another shape"])
def test_a_damaged_file_is_named(folder, tmp_path, part, how):
    broken = shutil.copytree(folder, tmp_path / "models")
    file = broken / loading.FILES[part]
    if how == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    elif how == "pickle":
        torch.save(copies(file), file)
    else:
        tensors = copies(file)
        name = next(
            name for name in tensors if name.endswith("ln_final.weight" if part == "clip" else "conv_in.weight")
        )
        if how == "other tensors":
            tensors[f"not.{name}"] = tensors[name]
            del tensors[name]
        else:
            tensors[name] = tensors[name][:-1]
        save_file(tensors, file)
    with pytest.raises(ModelFileError, match=loading.FILES[part]):
        loading.load_miniature_inpainter("cpu", folder=broken)


def test_a_damaged_configuration_is_named(folder, tmp_path):
    broken = shutil.copytree(folder, tmp_path / "models")
    (broken / "clip.json").write_text("{")
    with pytest.raises(ModelFileError, match=r"clip\.json: cannot be read"):
        loading.load_miniature_inpainter("cpu", folder=broken)


def test_a_device_that_is_not_there_is_named(folder):
    with pytest.raises(InputError, match="device"):
        loading.load_miniature_inpainter("cuda:77", folder=folder)
