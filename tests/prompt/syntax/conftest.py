from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "data" / "syntax"


def annotated(*names: str) -> list[dict[str, Any]]:
    return [entry for name in names for entry in json.loads((FOLDER / f"gold_{name}.json").read_text("utf-8"))]


@pytest.fixture(scope="session", params=["seen", "more", "unseen"])
def gold(request: pytest.FixtureRequest) -> tuple[str, list[dict[str, Any]]]:
    """Annotated prompts: those the rules were written with, a later batch, and two batches never used for tuning."""
    sets = {"seen": ("a", "b"), "more": ("c",), "unseen": ("d", "e")}
    return request.param, annotated(*sets[request.param])
