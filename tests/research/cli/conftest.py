"""A small quality model as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ...tiny_models import write_quality_model


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A folder with ``quality/``."""
    folder = tmp_path_factory.mktemp("models")
    write_quality_model(folder / "quality")
    return folder
