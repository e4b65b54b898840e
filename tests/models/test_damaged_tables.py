"""Small files beside weights that are damaged, or written to do harm, are a message."""

from __future__ import annotations

import json

import pytest
import torch

from grefine_core.alignment.calibration import Calibration
from grefine_core.alignment.texts import ContrastVocabulary
from grefine_core.clip.embeddings import PerceptualBounds
from grefine_core.clip.loading import by_name, load_clip
from grefine_core.errors import GRefineError, ModelFileError
from grefine_core.files import parse_json
from grefine_core.imagereward.network import sizes_of
from grefine_core.models.files import read_tensors, write_tensors
from grefine_research.training.checkpoint import Progress, load_progress

from ..tiny_models.clip import CLIP_CONFIG

DEEP = "[" * 100_000
BAD = {"deep": DEEP, "infinity": '{"pictures": 1e999}', "nan": '{"a": NaN}', "cut": '{"a"'}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_every_reader_says_that_it_is_no_json(tmp_path, text):
    file = tmp_path / "weights.json"
    file.write_text(text)
    with pytest.raises(ValueError):
        parse_json(text)
    for read in (Calibration.load, ContrastVocabulary.load, lambda f: sizes_of(f.with_suffix(".pt"))):
        with pytest.raises(ModelFileError, match=r"weights\.json"):
            read(file)
    with pytest.raises(ModelFileError, match="embeddings"):
        PerceptualBounds.from_json(text, "embeddings")


@pytest.mark.parametrize("noun", ["1" + "0" * 400, "0", "-1", "[]"])
def test_bounds_out_of_range_are_a_message(tmp_path, noun):
    file = Calibration().save(tmp_path / "c.json")
    content = json.loads(file.read_text())
    content["bounds"]["contrast"]["noun"] = 123456
    file.write_text(json.dumps(content).replace("123456", noun))
    with pytest.raises(ModelFileError, match=r"c\.json is incomplete or damaged"):
        Calibration.load(file)


@pytest.mark.parametrize("value", [0, -1, 10**9, 10**30, "12", None, True], ids=str)
@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("vision_cfg", "layers"),
        ("vision_cfg", "patch_size"),
        ("vision_cfg", "width"),
        ("vision_cfg", "image_size"),
        ("text_cfg", "heads"),
        ("text_cfg", "context_length"),
        (None, "embed_dim"),
    ],
)
def test_models_without_a_size_are_not_built(folder, group, name, value):
    config = json.loads(json.dumps(CLIP_CONFIG))
    model = config.get("model_cfg", config)
    (model if group is None else model[group])[name] = value
    (folder / "clip.json").write_text(json.dumps(config))
    with pytest.raises(ModelFileError, match=rf"clip\.json: {name} is .*expected a size"):
        load_clip(folder / "clip.safetensors")


def test_names_that_would_be_fetched_are_refused():
    for name in ("hf-hub:org/model", "local-dir:/tmp"):
        with pytest.raises(GRefineError, match="would be fetched"):
            by_name(name)


def test_archives_of_torchs_first_format_are_refused(tmp_path):
    import tarfile

    (tmp_path / "pickle").write_bytes(b"x")
    with tarfile.open(tmp_path / "old.pt", "w") as archive:
        archive.add(tmp_path / "pickle", "pickle")
    with pytest.raises(ModelFileError, match="of a format that no torch writes"):
        read_tensors(tmp_path / "old.pt")


def test_a_damaged_training_is_not_to_be_fetched(tmp_path):
    file = tmp_path / "training.safetensors"
    Progress({"a": torch.ones(3)}, {"a": torch.ones(3)}).save(file, "{}")
    whole = file.read_bytes()
    for content in (whole[:-4], whole[:20], b""):
        file.write_bytes(content)
        with pytest.raises(ModelFileError) as caught:
            load_progress(file, "{}", {})
        assert "away to begin anew" in str(caught.value)
        assert "fetch" not in str(caught.value)
    for state in (DEEP, "[]", '{"epoch": 1e999}'):
        write_tensors(file, {}, {"format": "grefine-training-2", "identity": "{}", "state": state})
        with pytest.raises(ModelFileError, match=r"is damaged.*begin anew"):
            load_progress(file, "{}", {})


def test_a_training_of_other_weights_is_named(tmp_path):
    file = tmp_path / "training.safetensors"
    Progress({"a": torch.ones(3), "b": torch.ones(1)}, {"a": torch.ones(3)}).save(file, "{}")
    with pytest.raises(ModelFileError) as caught:
        load_progress(file, "{}", {"a": torch.ones(4), "c": torch.ones(1)})
    for told in ("1 missing: c", "1 unknown: b", "1 of another shape: a ([3] instead of [4])", "to begin anew"):
        assert told in str(caught.value)
