"""Names and files that a server sends."""

from __future__ import annotations

import pytest

from grefine_core.comfyui.answers import Receiver, harmless_name, titled_name
from grefine_core.errors import InputError


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("refined_00001_.png", "refined_00001_.png"),
        ("Größe 2 (a).PNG", "Größe 2 (a).PNG"),
        ("../../evil.png", "evil.png"),
        ("..\\evil.png", "evil.png"),
        (".hidden.png", "hidden.png"),
        ("a\0b.png", "a-b.png"),
        ("a:b.png", "a-b.png"),
        ("a\x1b[31m.png", "a-31m.png"),
        ("half \ud83d.png", "half -.png"),
        ("con.png", "file-con.png"),
        ("Aux.b.png", "file-Aux.b.png"),
        ("x" * 300 + ".png", "x" * 100 + ".png"),
        ("  .png", "file.png"),
    ],
)
def test_names_are_made_harmless(given, name):
    assert harmless_name(given) == name


@pytest.mark.parametrize("name", ["", "..", ".bashrc", "x.desktop", "sitecustomize.py", "a.png.exe", "a.svg", ".png"])
def test_kinds_of_files_that_are_not_taken(name, tmp_path):
    with pytest.raises(InputError, match="of no kind that is fetched"):
        Receiver(tmp_path).save(name, b"x")
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_was_there_is_replaced(tmp_path):
    (tmp_path / "a.png").write_bytes(b"mine")
    (tmp_path / "a-2.png").symlink_to(tmp_path / "nowhere")
    receiver = Receiver(tmp_path)
    assert receiver.save("a.png", b"new") == tmp_path / "a-3.png"
    assert receiver.save("a.png", b"mine") == tmp_path / "a.png"
    assert (tmp_path / "a.png").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-2.png", "a-3.png", "a.png"]


def test_with_overwrite_files_of_others_are_replaced_but_not_ones_own(tmp_path):
    (tmp_path / "a.png").write_bytes(b"mine")
    receiver = Receiver(tmp_path, overwrite=True)
    assert receiver.save("a.png", b"one") == tmp_path / "a.png"
    assert receiver.save("a.png", b"two") == tmp_path / "a-2.png"
    assert (tmp_path / "a.png").read_bytes() == b"one"


def test_what_was_sent_is_not_replaced_even_if_files_may_be(tmp_path):
    (tmp_path / "a.png").write_bytes(b"mine")
    (tmp_path / "linked.png").symlink_to(tmp_path / "a.png")
    receiver = Receiver(tmp_path, overwrite=True, sent=[tmp_path / "linked.png", tmp_path / "nothing.png"])
    assert receiver.save("a.png", b"new") == tmp_path / "a-2.png"
    assert (tmp_path / "a.png").read_bytes() == b"mine"


@pytest.mark.parametrize("title", ["", "Report\\", "a/b", "..", "."])
def test_a_node_of_any_title_gives_a_file(tmp_path, title):
    assert Receiver(tmp_path).save(titled_name(title, ".txt"), b"x").parent == tmp_path


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be written"):
        Receiver(tmp_path / "file").save("a.png", b"x")
