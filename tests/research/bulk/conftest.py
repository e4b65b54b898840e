"""Pictures with prompts, one of them broken; a tiny untrained quality model in files."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ...tiny_models import write_quality_model, write_sdxl_inpaint_folder

PROMPTS = ("a red bird on a branch", "two dogs in the snow", "a wooden chair beside a window")


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_quality_model(folder / "quality")
    write_sdxl_inpaint_folder(folder / "pipeline")
    return folder


@pytest.fixture(scope="session")
def clip(models) -> list[str]:
    """Options that name the quality model."""
    quality = models / "quality"
    files = ["--clip", str(quality / "clip.safetensors"), "--embeddings", str(quality / "pq_embeddings.safetensors")]
    return [*files, "--device", "cpu"]


@pytest.fixture
def folder(tmp_path, drawn) -> Path:
    """A folder with a prompt file: eleven pictures, one that is none (05), and a row without any (absent)."""
    place = tmp_path / "pictures"
    names = [f"{number:02d}.png" for number in range(12)]
    for number, name in enumerate(names):
        drawn(place / name, number / 12)
    (place / names[5]).write_bytes(b"no picture at all")
    with (place / "prompts.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "prompt"])
        writer.writerows([name, PROMPTS[number % 3]] for number, name in enumerate([*names, "absent.png"]))
    return place


@pytest.fixture(scope="session")
def rows() -> Callable[[Path], list[dict[str, Any]]]:
    """Reads a folder of parts as whoever uses them does; rows by key."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow, which is in the extra 'dev'")

    def read(place: Path) -> list[dict[str, Any]]:
        return sorted(parquet.read_table(place).to_pylist(), key=lambda row: row["key"])

    return read
