"""Known files: what is said of them, finding, verifying."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from grefine_core.engines.pasd.loading import find_checkpoint
from grefine_core.errors import InputError, ModelFileError
from grefine_core.models import (
    REGISTRY,
    ModelEntry,
    entry_of,
    file_sha256,
    list_models,
    locate,
    model_folders,
    verify_file,
)
from grefine_core.models.registry import SHIPPED_EMBEDDINGS
from grefine_core.models.template_files import TEMPLATE_FILES

ENTRY = ModelEntry(
    id="tiny",
    title="Tiny",
    used_for="tests",
    licence="MIT",
    source="nowhere",
    names=("tiny.safetensors", "other-name.safetensors"),
    shapes={"weight": (2, 3)},
)


def test_every_entry_says_what_a_user_has_to_know():
    assert len({entry.id for entry in REGISTRY}) == len(REGISTRY)
    for entry in REGISTRY:
        assert entry.licence
        assert entry.source.startswith("https://")
        assert entry.used_for
        assert entry.names
        # Something to know it by; of other models' files nobody may have seen the tensors.
        assert entry.shapes or entry.sha256 or entry in TEMPLATE_FILES
        assert entry.size_text != "size not recorded"
        assert entry.hash_text == (entry.sha256 or "hash not recorded")
        assert (entry.url is None) == (entry.shipped is not None)
        assert entry.url is None or entry.url.endswith(entry.file)


def test_a_file_of_which_nothing_is_recorded_is_read_all_the_same(tmp_path):
    entry = next(entry for entry in TEMPLATE_FILES if not entry.shapes)
    file = tmp_path / entry.names[0]
    file.write_bytes(b"<html>Not found</html>")
    with pytest.raises(ModelFileError, match=re.escape(file.name)):
        verify_file(file, entry)


def test_hashes_are_only_recorded_for_files_at_hand():
    assert [entry.id for entry in REGISTRY if entry.sha256] == ["pq-embeddings", "bert-base-uncased-vocab"]


def test_ids():
    assert entry_of("clip-vit-b-16").licence == "MIT"
    with pytest.raises(InputError, match=r"'clip'.*clip-vit-b-16"):
        entry_of("clip")


def test_another_address_for_the_hub(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://localhost:1/")
    assert entry_of("clip-vit-b-16").url.startswith("http://localhost:1/timm/")


def test_the_shipped_file_is_always_there(tmp_path):
    found = {status.entry.id: status.path for status in list_models([tmp_path])}
    assert found.pop("pq-embeddings") == SHIPPED_EMBEDDINGS
    assert set(found.values()) == {None}
    assert verify_file(SHIPPED_EMBEDDINGS, entry_of("pq-embeddings")).hash_known


def test_files_are_found_by_any_of_their_names_also_one_folder_down(tmp_path):
    assert locate(ENTRY, [tmp_path]) is None
    deep = tmp_path / "b" / "other-name.safetensors"
    deep.parent.mkdir()
    save_file({"weight": torch.zeros(2, 3)}, deep)
    assert locate(ENTRY, [tmp_path / "missing", tmp_path]) == deep
    top = tmp_path / "tiny.safetensors"
    save_file({"weight": torch.zeros(2, 3)}, top)
    assert locate(ENTRY, [tmp_path]) == top


def test_folders_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GREFINE_MODELS", f"{tmp_path}/a")
    monkeypatch.setenv("COMFYUI_PATH", f"{tmp_path}/host")
    assert model_folders()[:2] == [tmp_path / "a", tmp_path / "host" / "models" / "grefine"]
    assert len(model_folders()) == 3


def test_verifying_by_names_and_shapes(tmp_path):
    file = tmp_path / "tiny.safetensors"
    save_file({"weight": torch.zeros(2, 3), "more": torch.zeros(1)}, file)
    found = verify_file(file, ENTRY, compute_hash=True)
    assert (found.size, found.hash_known) == (file.stat().st_size, False)
    assert found.sha256 == file_sha256(file)
    assert verify_file(file, ENTRY).sha256 is None
    save_file({"weight": torch.zeros(3, 2)}, file)
    with pytest.raises(ModelFileError, match=r"not Tiny: weight is \(3, 2\), expected \(2, 3\)"):
        verify_file(file, ENTRY)
    save_file({"other": torch.zeros(3, 2)}, file)
    with pytest.raises(ModelFileError, match="weight is missing"):
        verify_file(file, ENTRY)
    file.write_bytes(b"short")
    with pytest.raises(ModelFileError, match="cannot be read"):
        verify_file(file, ENTRY)
    with pytest.raises(ModelFileError, match="does not exist"):
        verify_file(tmp_path / "none", ENTRY)


def test_a_changed_file_fails_by_its_hash(tmp_path):
    copy = tmp_path / "pq_embeddings.safetensors"
    data = bytearray(SHIPPED_EMBEDDINGS.read_bytes())
    data[-1] ^= 1
    copy.write_bytes(data)
    with pytest.raises(ModelFileError, match="sha256"):
        verify_file(copy, entry_of("pq-embeddings"))


def test_a_file_without_tensors_is_known_by_its_hash(tmp_path):
    file = tmp_path / "bert-base-uncased-vocab.txt"
    file.write_text("[PAD]\n")
    with pytest.raises(ModelFileError, match="sha256"):
        verify_file(file, entry_of("bert-base-uncased-vocab"))


def test_clip_in_the_layout_of_transformers_verifies(tmp_path):
    shapes = {
        "vision_model.embeddings.class_embedding": (768,),
        "vision_model.embeddings.patch_embedding.weight": (768, 3, 16, 16),
        "vision_model.embeddings.position_embedding.weight": (197, 768),
        "visual_projection.weight": (512, 768),
        "text_projection.weight": (512, 512),
        "text_model.embeddings.token_embedding.weight": (49408, 512),
        **{f"vision_model.encoder.layers.11.self_attn.{letter}_proj.weight": (768, 768) for letter in "qkv"},
    }
    save_file(
        {name: torch.zeros(shape, dtype=torch.uint8) for name, shape in shapes.items()}, tmp_path / "model.safetensors"
    )
    assert verify_file(tmp_path / "model.safetensors", entry_of("clip-vit-b-16")).entry.id == "clip-vit-b-16"


def test_pasds_files_are_known_by_what_the_published_ones_have(tmp_path):
    keys = Path(__file__).parents[1] / "engines" / "pasd" / "data" / "pasd_keys.json.gz"
    published = json.loads(gzip.decompress(keys.read_bytes()))
    alike = {"pasd_rrdb_unet": "pasd_unet", "pasd_light_rrdb_unet": "pasd_light_unet"}
    alike["pasd_light_controlnet"] = "pasd_controlnet"
    entries = [entry for entry in REGISTRY if entry.id.startswith("pasd-")]
    assert len(entries) == 8
    for entry in entries:
        own = entry.id.replace("-", "_")
        tensors = {name: tuple(shape) for name, shape in published[alike.get(own, own)].items()}
        assert entry.shapes.items() <= tensors.items(), entry.id
        if own.endswith("unet"):
            assert not entry.shapes.items() <= published["stock_sd15_unet"].items()
        # Saved as it lies in the repository, it is a folder that can be loaded.
        assert entry.names == (entry.file,)
        (tmp_path / entry.file).parent.mkdir(parents=True)
        (tmp_path / entry.file).touch()
        assert locate(entry, [tmp_path]) == tmp_path / entry.file
    for variant in {entry.file.split("/")[0] for entry in entries}:
        assert find_checkpoint(tmp_path / variant).parent == tmp_path / variant
