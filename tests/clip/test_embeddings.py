"""Reading PQ embeddings: the shipped ones, the authors' format, damaged and foreign files."""

from __future__ import annotations

import hashlib
import json
import pickle

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from grefine_core import load_embeddings
from grefine_core.clip.embeddings import FACTORS, check_embedding_set, load_embedding_set, save_embedding_set
from grefine_core.errors import InputError, ModelFileError
from grefine_core.models.registry import SHIPPED_EMBEDDINGS

WIDTH = 6
PARTS = {"prompt_learner.token_prefix": 1, "prompt_learner.ctx": 16, "prompt_learner.token_suffix": 60}


def authors_params(seed: int = 0, width: int = WIDTH) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(2, length, width, generator=generator) for name, length in PARTS.items()}


def write_authors_file(path, params: object, key: str = "params") -> None:
    torch.save({key: params}, path)


def test_the_shipped_embeddings_are_whole_and_say_where_they_are_from():
    found = load_embedding_set()
    assert list(found) == list(FACTORS)
    assert all(tensor.shape == (2, 77, 512) and tensor.dtype == torch.float32 for tensor in found.values())
    # Start token, then the learned context; what follows the end of the text is the same in all of them.
    assert all(torch.equal(tensor[0, 0], found["overall"][0, 0]) for tensor in found.values())
    assert not torch.equal(found["overall"][0, 1:9], found["technical"][0, 1:9])
    with safe_open(SHIPPED_EMBEDDINGS, framework="pt") as file:
        notes = file.metadata()
    assert notes["commit"] == "65a82f1"
    assert notes["licence"] == "Apache-2.0"
    sums = json.loads(notes["original_sha256"])
    readme = (SHIPPED_EMBEDDINGS.parent / "README.md").read_text(encoding="utf-8")
    assert len(sums) == 4
    assert all(digest in readme for digest in sums.values())


def test_the_shipped_file_is_the_recorded_one():
    from grefine_core.models import entry_of

    assert hashlib.sha256(SHIPPED_EMBEDDINGS.read_bytes()).hexdigest() == entry_of("pq-embeddings").sha256
    assert SHIPPED_EMBEDDINGS.stat().st_size == entry_of("pq-embeddings").size


def test_the_authors_format_is_put_together_in_order(tmp_path):
    params = authors_params()
    write_authors_file(tmp_path / "PQ-overall.pth", params)
    found = load_embeddings(tmp_path / "PQ-overall.pth")
    prefix, context, suffix = (params[name] for name in PARTS)
    assert found.shape == (2, 77, WIDTH)
    for pair in (0, 1):
        sequence = [*prefix[pair], *context[pair][:8], *suffix[pair][:3], *context[pair][8:], *suffix[pair][3:]]
        assert torch.equal(found[pair], torch.stack(sequence))


def test_a_folder_of_the_authors_files(tmp_path):
    for index, name in enumerate(FACTORS):
        stem = f"PQ-{name}" if index % 2 else name
        write_authors_file(tmp_path / f"{stem}.pth", authors_params(index))
    found = load_embedding_set(tmp_path)
    for index, name in enumerate(FACTORS):
        assert torch.equal(found[name][:, 0], authors_params(index)["prompt_learner.token_prefix"][:, 0])
    by_name = load_embedding_set(
        {name: tmp_path / f"{'PQ-' if i % 2 else ''}{name}.pth" for i, name in enumerate(FACTORS)}
    )
    assert all(torch.equal(by_name[name], found[name]) for name in FACTORS)


def test_a_folder_without_one_factor(tmp_path):
    write_authors_file(tmp_path / "overall.pth", authors_params())
    with pytest.raises(ModelFileError, match=r"technical.*PQ-technical\.pth"):
        load_embedding_set(tmp_path)


def test_saving_and_reading_back_exactly(tmp_path):
    embeddings = {name: torch.randn(2, 77, WIDTH) for name in FACTORS}
    save_embedding_set(embeddings, tmp_path / "own.safetensors", {"made": "here"})
    found = load_embedding_set(tmp_path / "own.safetensors")
    assert all(torch.equal(found[name], embeddings[name]) for name in FACTORS)
    assert torch.equal(load_embeddings(tmp_path / "own.safetensors"), embeddings["overall"])
    assert torch.equal(load_embeddings(tmp_path / "own.safetensors", "natural"), embeddings["natural"])
    with pytest.raises(InputError, match=r"sharpness.*natural, overall"):
        load_embeddings(tmp_path / "own.safetensors", "sharpness")


def test_one_factor_alone_is_no_set(tmp_path):
    write_authors_file(tmp_path / "overall.pth", authors_params())
    with pytest.raises(ModelFileError, match="one factor only"):
        load_embedding_set(tmp_path / "overall.pth")
    save_file({"overall": torch.zeros(2, 77, WIDTH)}, tmp_path / "overall.safetensors")
    with pytest.raises(InputError, match="technical, rational, natural"):
        load_embedding_set(tmp_path / "overall.safetensors")
    assert load_embeddings(tmp_path / "overall.safetensors").shape == (2, 77, WIDTH)


def without(name: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in authors_params().items() if key != name}


@pytest.mark.parametrize(
    ("params", "key", "message"),
    [
        (without("prompt_learner.ctx"), "params", r"lacks prompt_learner\.ctx"),
        (without("prompt_learner.token_suffix"), "params", r"lacks prompt_learner\.token_suffix"),
        ({**authors_params(), "prompt_learner.ctx": torch.zeros(2, 8, WIDTH)}, "params", r"ctx is \(2, 8, 6\)"),
        (
            {**authors_params(), "prompt_learner.token_prefix": torch.zeros(2, 1, 3)},
            "params",
            r"token_prefix is \(2, 1, 3\)",
        ),
        ({**authors_params(), "prompt_learner.ctx": torch.full((2, 16, WIDTH), float("nan"))}, "params", "not finite"),
        (authors_params(), "weights", "no dictionary 'params'"),
        ([1, 2], "params", "no dictionary 'params'"),
    ],
)
def test_other_layouts_are_named(tmp_path, params, key, message):
    write_authors_file(tmp_path / "PQ-overall.pth", params, key)
    with pytest.raises(ModelFileError, match=message) as error:
        load_embeddings(tmp_path / "PQ-overall.pth")
    assert "PQ-overall.pth" in str(error.value)


def test_damaged_and_missing_files(tmp_path):
    write_authors_file(tmp_path / "whole.pth", authors_params())
    data = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.pth").write_text("not weights")
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "text.safetensors").write_text("not weights")
    (tmp_path / "cut.safetensors").write_bytes(SHIPPED_EMBEDDINGS.read_bytes()[:1000])
    for name in ("cut.pth", "text.pth", "empty.pth", "text.safetensors", "cut.safetensors"):
        with pytest.raises(ModelFileError, match=name):
            load_embeddings(tmp_path / name)
    with pytest.raises(ModelFileError, match="does not exist"):
        load_embeddings(tmp_path / "missing.pth")
    with pytest.raises(ModelFileError, match="not a file"):
        load_embeddings(tmp_path)
    for wrong in (None, 3, ""):
        with pytest.raises(InputError, match="path"):
            load_embeddings(wrong)


class Harmful:
    def __reduce__(self):
        return (print, ("code ran",))


def test_files_with_code_are_refused_and_not_run(tmp_path, capsys):
    torch.save({"params": Harmful()}, tmp_path / "harmful.pth")
    with pytest.raises(ModelFileError, match="other than tensors"):
        load_embeddings(tmp_path / "harmful.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(ModelFileError, match=r"bare\.pth"):
        load_embeddings(tmp_path / "bare.pth")
    assert "code ran" not in capsys.readouterr().out


def test_foreign_safetensors(tmp_path):
    save_file({"weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelFileError, match=r"weight is \(3, 3\)"):
        load_embeddings(tmp_path / "other.safetensors")


def test_sets_in_memory_are_checked():
    good = {name: torch.zeros(2, 77, WIDTH) for name in FACTORS}
    assert list(check_embedding_set(good)) == list(FACTORS)
    with pytest.raises(InputError, match="different widths"):
        check_embedding_set({**good, "natural": torch.zeros(2, 77, 3)})
    with pytest.raises(InputError, match="natural"):
        check_embedding_set({**good, "natural": torch.zeros(2, 76, WIDTH)})
    with pytest.raises(InputError, match="NaN"):
        check_embedding_set({**good, "natural": torch.full((2, 77, WIDTH), float("nan"))})
