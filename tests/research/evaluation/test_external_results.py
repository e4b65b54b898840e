"""Finding another program's pictures."""

from __future__ import annotations

import pytest

from grefine_core.errors import InputError
from grefine_research.evaluation.external_results import find_compared, parse_compared


def test_by_path_by_any_ending_and_by_name(tmp_path, drawn):
    for name in ("sub/a.webp", "b.png", "elsewhere/c_d.jpg", "x/e.png", "y/e.png", "f.png.png", "deep/g.jpg.png"):
        drawn(tmp_path / name)
    keys = ["sub/a.png", "b.png", "c_d.png", "e.png", "f.png", "g.jpg", "none.png"]
    found = {key: path.relative_to(tmp_path).as_posix() for key, path in find_compared(tmp_path, keys).items()}
    assert found == {
        "sub/a.png": "sub/a.webp",
        "b.png": "b.png",
        "c_d.png": "elsewhere/c_d.jpg",
        "f.png": "f.png.png",
        "g.jpg": "deep/g.jpg.png",
    }  # two are called e: neither is taken
    with pytest.raises(InputError, match="no picture of the names"):
        find_compared(tmp_path, ["other.png"])


def test_what_the_command_line_may_say(tmp_path):
    assert parse_compared(f"Other={tmp_path}") == ("Other", tmp_path)
    for text in ("Other", "=x", f"a/b={tmp_path}", f"Other={tmp_path / 'none'}"):
        with pytest.raises(InputError, match="--compare"):
            parse_compared(text)
