"""Every template has a thumbnail of its own, as the template browser looks for it."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).resolve().parents[2] / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def test_every_template_has_one_and_no_other_is_there():
    assert sorted(path.stem for path in FOLDER.glob("*.jpg")) == NAMES


def test_they_are_pictures_of_one_size():
    assert len({Image.open(FOLDER / f"{name}.jpg").size for name in NAMES}) == 1


def test_none_is_another_one_again():
    """In large parts, whatever their titles say: two that differ by a few letters are the same to who looks at them."""
    seen = {name: np.asarray(Image.open(FOLDER / f"{name}.jpg").convert("L").resize((96, 54)), float) for name in NAMES}
    alike = [(a, b) for a, b in combinations(NAMES, 2) if np.abs(seen[a] - seen[b]).mean() < 4.0]
    assert alike == []
