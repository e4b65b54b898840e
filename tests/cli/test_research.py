"""Commands that lie in `grefine_research`, and the demonstration, where that package is absent."""

from __future__ import annotations

import sys

import pytest

from grefine_core.cli import main


@pytest.fixture
def absent(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "grefine_research"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "grefine_research", None)  # as the import system has it: no such package


@pytest.mark.parametrize(
    "command", [["train", "pq", "--data", "x"], ["evaluate"], ["bulk", "--help"]], ids=lambda command: command[0]
)
def test_what_is_missing_is_said(absent, command, capsys):
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "grefine_research" in said
    assert "pip install ." in said


def test_the_rest_is_there(absent, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "needs grefine_research" in capsys.readouterr().out


def test_the_demonstration_takes_its_example(absent, tmp_path, capsys):
    assert main(["demo", "-o", str(tmp_path)]) == 0
    assert (tmp_path / "miniature.refined.png").is_file()
    assert main(["demo", "--index", "3", "-o", str(tmp_path)]) == 1
    assert "--index 3 needs the package grefine_research" in capsys.readouterr().err
