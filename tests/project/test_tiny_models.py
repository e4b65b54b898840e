"""The stand-ins: real formats, the same on every machine."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from .. import tiny_models
from ..tiny_models.naming import noise_for


def test_noise_depends_on_name_and_salt_alone():
    assert torch.equal(noise_for("a", (3, 4)), noise_for("a", (3, 4)))
    assert not torch.equal(noise_for("a", (3, 4)), noise_for("b", (3, 4)))
    assert not torch.equal(noise_for("a", (3, 4)), noise_for("a", (3, 4), "other."))
    assert noise_for("a", (2, 3)).dtype == torch.float32
    # Recorded: another value would mean other stand-ins on other machines.
    assert noise_for("a", (2,)).tolist() == pytest.approx([-0.5750479, -0.6193163], abs=1e-6)


def test_building_leaves_the_global_generator_out_of_it():
    torch.manual_seed(0)
    first = tiny_models.build_clip().state_dict()
    torch.manual_seed(1)
    second = tiny_models.build_clip().state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_quality_model_files(tmp_path):
    folder = tiny_models.write_quality_model(tmp_path / "quality")
    config = json.loads((folder / "clip.json").read_text())
    from open_clip.model import CLIP

    clip = CLIP(**config)
    clip.load_state_dict(load_file(folder / "clip.safetensors"))
    embeddings = load_file(folder / "pq_embeddings.safetensors")
    assert set(embeddings) == {"overall", "technical", "rational", "natural"}
    assert all(tensor.shape == (2, 77, config["text_cfg"]["width"]) for tensor in embeddings.values())
    again = tiny_models.write_quality_model(tmp_path / "again")
    for name in ("clip.json", "clip.safetensors", "pq_embeddings.safetensors"):
        assert (folder / name).read_bytes() == (again / name).read_bytes()


def test_quality_model_measures():
    from grefine_core.clip.quality_model import QualityModel
    from grefine_core.perceptual import perceptual_quality

    model = QualityModel(tiny_models.build_clip(), tiny_models.build_embeddings())
    found = perceptual_quality(model, torch.rand(2, 50, 70, 3, generator=torch.Generator().manual_seed(0)))
    assert found.quality_map.shape == (2, 50, 70)
    assert ((found.score > 0) & (found.score < 1)).all()
    assert found.quality_map.std() > 0


def test_networks_are_name_seeded():
    networks = tiny_models.build_networks()
    for name, tensor in networks["unet"].state_dict().items():
        if name == "conv_in.weight":
            assert tensor.shape[1] == 9
            assert torch.equal(tensor, noise_for(name, tuple(tensor.shape), "standin.unet.") / (9 * 9) ** 0.5)
    encoder = {name.removeprefix("text_model."): t for name, t in networks["text_encoder"].state_dict().items()}
    name = "embeddings.token_embedding.weight"
    assert torch.equal(encoder[name], 0.1 * noise_for(name, (49408, 16), "standin.text_encoder."))


def test_folder_is_complete_and_the_same_every_time(tmp_path):
    first = tiny_models.write_sdxl_inpaint_folder(tmp_path / "a")
    second = tiny_models.write_sdxl_inpaint_folder(tmp_path / "b")
    index = json.loads((first / "model_index.json").read_text())
    parts = [name for name in index if not name.startswith("_") and isinstance(index[name], list)]
    assert all((first / part).is_dir() for part in parts)
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes(), file
    assert sum((first / file).stat().st_size for file in files) < 20_000_000
