"""The template's picture in the host's input folder: placed once, never over another, and no reason not to start."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def place(pack):
    return pack("nodes.example").place_examples


def test_the_picture_that_the_template_names_is_placed(place, pack, tmp_path):
    place(tmp_path / "input", tmp_path / "user" / "memory")
    examples = pack("grefine_core.examples").EXAMPLES
    used = set()
    for path in (ROOT / "workflows" / "api").glob("*.json"):
        graph = json.loads(path.read_text(encoding="utf-8"))
        used |= {node["inputs"]["image"] for node in graph.values() if node["class_type"] == "LoadImage"}
    assert used == set(examples)
    for name, example in examples.items():
        assert (tmp_path / "input" / name).read_bytes() == example.read_bytes()


def test_who_deleted_the_picture_of_an_earlier_release_does_not_get_it_again(place, pack, tmp_path):
    """It kept the folder and not the file; the newer picture comes all the same."""
    folder, memory = tmp_path / "input", tmp_path / "memory"
    memory.write_text(f"{folder.resolve()}\n", encoding="utf-8")
    place(folder, memory)
    examples = pack("grefine_core.examples")
    assert {path.name for path in folder.iterdir()} == set(examples.EXAMPLES) - {examples.MINIATURE}


def test_a_users_own_file_stays(place, pack, tmp_path):
    mine = tmp_path / pack("grefine_core.miniature.world").EXAMPLE.name
    mine.write_bytes(b"mine")
    place(tmp_path, tmp_path / "user" / "memory")
    assert mine.read_bytes() == b"mine"
    mine.unlink()
    place(tmp_path, tmp_path / "user" / "memory")
    assert not mine.exists()


def test_what_the_user_deleted_stays_away(place, pack, tmp_path):
    memory, name = tmp_path / "user" / "memory", pack("grefine_core.miniature.world").EXAMPLE.name
    place(tmp_path / "input", memory)
    (tmp_path / "input" / name).unlink()
    place(tmp_path / "input", memory)
    assert not (tmp_path / "input" / name).exists()
    place(tmp_path / "another", memory)  # another folder never had it
    assert (tmp_path / "another" / name).exists()


def test_a_folder_that_cannot_be_written_is_only_said(place, tmp_path, caplog):
    (tmp_path / "input").write_text("a file", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        place(tmp_path / "input" / "deeper", tmp_path / "memory")
    assert "was not copied" in caplog.text
