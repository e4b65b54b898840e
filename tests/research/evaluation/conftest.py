"""Real rows of AGIQA-3K with stand-in pictures, and tiny models in files."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from ...tiny_models import write_image_reward, write_quality_model, write_sdxl_inpaint_folder

TABLE = Path(__file__).parents[2] / "data" / "datasets" / "agiqa3k.csv"


def draw(path: Path, quality: float = 1.0) -> Path:
    """Write the picture of this name, the more blurred the lower its quality (0 to 1) is."""
    random = np.random.default_rng(zlib.crc32(path.name.encode()))
    coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    picture = coarse.resize((72, 64), Image.Resampling.NEAREST).filter(ImageFilter.GaussianBlur(8 * (1 - quality)))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


@pytest.fixture(scope="session")
def drawn() -> Callable[..., Path]:
    return draw


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """Untrained: a quality model, an inpainting pipeline, ImageReward."""
    folder = tmp_path_factory.mktemp("models")
    write_quality_model(folder / "quality")
    write_sdxl_inpaint_folder(folder / "pipeline")
    write_image_reward(folder / "reward")
    return folder


@pytest.fixture(scope="session")
def clip(models) -> list[str]:
    """Options that name the quality model."""
    quality = models / "quality"
    files = ["--clip", str(quality / "clip.safetensors"), "--embeddings", str(quality / "pq_embeddings.safetensors")]
    return [*files, "--device", "cpu"]


@pytest.fixture(scope="session")
def weights(models) -> list[str]:
    """Options that name weights for every indicator that takes any: a tiny CLIP for all four, a tiny ImageReward."""
    file = models / "quality" / "clip.safetensors"
    given = dict.fromkeys(("clipscore", "pickscore", "hpsv2", "hps"), file)
    given["imagereward"] = models / "reward" / "ImageReward.safetensors"
    return [text for name, path in given.items() for text in ("--weights", f"{name}={path}")]


@pytest.fixture
def agiqa(tmp_path) -> Path:
    """AGIQA-3K with the first rows of each of six generators."""
    folder = tmp_path / "agiqa"
    folder.mkdir()
    with TABLE.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    counts: dict[str, int] = {}
    chosen = []
    for row in rows:
        generator = row["name"].split("_")[0]
        counts[generator] = counts.get(generator, 0) + 1
        if counts[generator] <= 6:
            chosen.append(row)
            draw(folder / row["name"], float(row["mos_quality"]) / 5)
    with (folder / "data.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(chosen)
    return folder
