from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "data" / "syntax"


@pytest.fixture(scope="session")
def gold() -> list[dict[str, Any]]:
    """The sixty annotated prompts."""
    return [
        entry for name in ("gold_a", "gold_b") for entry in json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    ]
