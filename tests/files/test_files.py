"""Files appear whole or not at all, whoever writes them."""

from __future__ import annotations

import os
import stat

import pytest
import torch

from grefine_core.files import is_half, write_text, written_whole
from grefine_core.models.files import read_tensors, write_tensors


def half_written(file):
    with written_whole(file) as scratch:
        scratch.write_text("half")
        assert is_half(scratch)
        assert scratch.suffix == file.suffix
        raise KeyboardInterrupt


def test_a_failure_leaves_the_older_file_and_nothing_else(tmp_path):
    file = write_text(tmp_path / "new" / "a.txt", "old")
    with pytest.raises(KeyboardInterrupt):
        half_written(file)
    assert [path.read_text() for path in file.parent.iterdir()] == ["old"]


def test_what_is_no_text_is_escaped(tmp_path):
    assert write_text(tmp_path / "a.txt", "\udc80 ä").read_bytes() == "\\udc80 ä".encode()


def test_tensors_that_cannot_be_written_leave_the_older_file(tmp_path):
    file = tmp_path / "a.safetensors"
    write_tensors(file, {"a": torch.zeros(2)})
    one = torch.zeros(3)
    with pytest.raises(RuntimeError, match="share memory"):
        write_tensors(file, {"a": one, "b": one})
    assert list(tmp_path.iterdir()) == [file]
    assert read_tensors(file)["a"].shape == (2,)


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_a_weight_file_can_be_read_by_whoever_reads_other_files(tmp_path):
    other = write_text(tmp_path / "a.txt", "")
    write_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(2)})
    assert stat.S_IMODE((tmp_path / "a.safetensors").stat().st_mode) == stat.S_IMODE(other.stat().st_mode)
