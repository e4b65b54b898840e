"""Where refined pictures lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from grefine_research.evaluation.refining import picture_path


def test_pictures_keep_their_names(tmp_path):
    assert picture_path(tmp_path, "full", "model/a.jpg") == tmp_path / "full" / "model" / "a.jpg.png"
    assert picture_path(tmp_path, "full", "a.jpg") != picture_path(tmp_path, "full", "a.png")


@pytest.mark.parametrize("key", ["/etc/a.png", "../a.png", "b/../../../a.png"])
def test_no_key_leads_out_of_the_folder(tmp_path, key):
    found = picture_path(tmp_path, "full", key)
    assert found.parent == tmp_path / "full"
    assert found.resolve().is_relative_to(Path(tmp_path).resolve())
    assert found != picture_path(tmp_path, "full", f"other{key}")
