from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ..tiny_models import write_quality_model, write_sdxl_inpaint_folder


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_quality_model(folder / "quality")
    write_sdxl_inpaint_folder(folder / "pipeline")
    return folder


@pytest.fixture(scope="session")
def clip(models) -> list[str]:
    quality = models / "quality"
    return ["--clip", str(quality / "clip.safetensors"), "--embeddings", str(quality / "pq_embeddings.safetensors")]


@pytest.fixture(scope="session")
def pipeline(models) -> list[str]:
    return ["--pipeline", str(models / "pipeline")]


@pytest.fixture
def pictures(tmp_path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, size in (("a", (48, 64)), ("b", (70, 41))):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    return folder
