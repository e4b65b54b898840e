"""The reference pictures are whole, small, said what they show, and credited."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from grefine_core.pictures import load_picture

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "grefine_core" / "calibration" / "reference"
PICTURES = json.loads((FOLDER / "reference.json").read_text(encoding="utf-8"))["pictures"]
LICENCES = {
    "public domain",
    "CC0-1.0",
    *(f"CC-BY{share}-{version}" for share in ("", "-SA") for version in ("2.0", "3.0", "4.0")),
}
each_picture = pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture["file"])


def words(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text.lower())


def test_enough_of_every_kind_and_shape_and_small_in_all():
    assert len(PICTURES) >= 60
    kinds = Counter(picture["kind"] for picture in PICTURES)
    assert set(kinds) == {"photograph", "drawing", "painting", "render"}
    assert min(kinds.values()) >= 8
    files = sorted(path.name for path in FOLDER.iterdir())
    assert files == sorted([*(picture["file"] for picture in PICTURES), "reference.json", "NOTICE.md"])
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 3_000_000

    sizes = [Image.open(FOLDER / picture["file"]).size for picture in PICTURES]
    for shape in (1, 3 / 2, 9 / 16, 21 / 9):
        assert sum(abs(width / height / shape - 1) < 0.05 for width, height in sizes) >= 2, shape


@each_picture
def test_it_can_be_read(picture):
    with Image.open(FOLDER / picture["file"]) as image:
        assert image.format in {"WEBP", "JPEG"}
        assert image.mode == "RGB"
        assert 400 <= max(image.size) <= 640
    pixels = load_picture(FOLDER / picture["file"]).image
    assert pixels.shape[-1] == 3
    assert float(pixels.std()) > 0.05


@each_picture
def test_what_is_said_of_it(picture):
    caption = picture["caption"]
    present = picture["present"]
    assert 3 <= len(present) <= 6
    assert len(set(present)) == len(present)
    for phrase in present:
        assert phrase in caption
        assert len(words(phrase)) >= 2, "a noun and what it is like"

    absent = [each["noun"] for each in picture["absent_nouns"]]
    assert len(set(absent)) == len(absent) >= 5
    assert {each["related"] for each in picture["absent_nouns"]} == {True, False}
    for noun in absent:
        assert not re.search(rf"\b{re.escape(noun)}s?\b", caption, re.IGNORECASE)

    assert len(picture["wrong_modifiers"]) >= 3
    for each in picture["wrong_modifiers"]:
        assert each["right"] in present
        assert words(each["phrase"])[-1] == words(each["right"])[-1], "the same thing, not as it is"
        assert each["phrase"].lower() not in caption.lower()
        assert words(each["wrong"])
        assert set(words(each["wrong"])) <= set(words(each["phrase"])[:-1]) - set(words(each["right"]))


@each_picture
def test_it_is_credited(picture):
    assert picture["licence"] in LICENCES
    assert picture["author"]
    assert picture["source"]
    row = " | ".join(picture[field] for field in ("file", "author", "licence", "source", "edited"))
    assert f"| {row} |" in (FOLDER / "NOTICE.md").read_text(encoding="utf-8").splitlines()


def test_the_credits_lead_to_every_licence():
    text = (FOLDER / "NOTICE.md").read_text(encoding="utf-8")
    for licence in {picture["licence"] for picture in PICTURES}:
        assert re.search(rf"^- {re.escape(licence)}: \S", text, re.MULTILINE)
    assert "grefine_core/calibration/reference" in (ROOT / "NOTICE").read_text(encoding="utf-8")
