"""Settings of hypothesis, and small CLIP models: nothing is read but the golden file, nothing is fetched."""

from __future__ import annotations

import csv
import json
import math
import os
import random
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# One thread each, in this process and in those that tests start: what is measured does not hang on the machine's cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Weights are made anew for many tests: none of them is calibrated unless the test is about that.
os.environ.setdefault("GREFINE_CALIBRATION", "none")

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image, ImageFilter

# Servers of the tests are on this machine, where no proxy leads to; nothing else is asked.
for _name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[_name]

# Slow machines are no failure; and a commit is judged by the same examples everywhere. New ones are looked for with
# `pytest --hypothesis-profile explore`.
settings.register_profile("grefine", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, derandomize=False)
settings.load_profile("grefine")

# Whatever proxy stands between this machine and others: the tests' own servers are on this one.
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost"


#: Whole programs are started there: these files come first, so that at the end no worker waits long for another.
_LONG = ("host", "research", "cli", "project", "engines")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    places = {here / name: place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: min((places.get(folder, len(places)) for folder in item.path.parents), default=0))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are known by their argument's name: processes that share the tests out must all find the same ids."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Whatever ran before in the process, every test starts from the same random numbers."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def is_alike(one: Any, other: Any, tolerance: float = 1e-3) -> bool:
    """Whether two results are the same but for rounding, which differs by processor, threads and place in memory.

    Tensors, arrays, numbers, containers and dataclasses of them; texts (tables, JSON) by the numbers in them.
    """
    if is_dataclass(one) and type(one) is type(other):
        return is_alike(asdict(one), asdict(other), tolerance)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(is_alike(one[key], other[key], tolerance) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(is_alike(a, b, tolerance) for a, b in zip(one, other, strict=True))
    if isinstance(one, torch.Tensor):
        return one.shape == other.shape and torch.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)
    if isinstance(one, np.ndarray):
        return one.shape == other.shape and np.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)
    if isinstance(one, str) and isinstance(other, str):
        numbers = [[float(number) for number in _NUMBER.findall(text)] for text in (one, other)]
        return _NUMBER.sub("", one) == _NUMBER.sub("", other) and is_alike(*numbers, tolerance)
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


@pytest.fixture(scope="session")
def alike() -> Callable[..., bool]:
    """The function that compares."""
    return is_alike


AGIQA_3K = Path(__file__).parent / "data" / "datasets" / "agiqa3k.csv"
GOLDEN = Path(__file__).parent / "data" / "golden" / "clip_surgery_tiny.npz"


def golden_weight(name: str, shape: tuple[int, ...], salt: str) -> torch.Tensor:
    """The weight that the golden numbers were made with: seeded by its name."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32((salt + name).encode())))
    noise = generator.standard_normal(shape).astype(np.float32)
    if name == "logit_scale":
        noise = np.full(shape, math.log(1 / 0.07), dtype=np.float32)
    elif name.endswith("bias"):
        noise = np.float32(0.02) * noise
    elif ".ln_" in name or name.startswith("ln_final"):
        noise = 1 + np.float32(0.1) * noise
    elif name.endswith(("positional_embedding", "class_embedding", "token_embedding.weight")):
        noise = np.float32(0.1) * noise
    elif name in ("visual.proj", "text_projection"):
        noise = noise / np.float32(math.sqrt(shape[0]))
    else:
        noise = noise / np.float32(math.sqrt(math.prod(shape[1:])))
    return torch.from_numpy(np.asarray(noise, dtype=np.float32))


@pytest.fixture(scope="session")
def golden() -> SimpleNamespace:
    """The golden numbers as tensors, by name, and ``config``, ``salt``."""
    with np.load(GOLDEN) as data:
        arrays = {name: data[name] for name in data.files}
    numbers = {name: torch.from_numpy(a) for name, a in arrays.items() if name not in ("config", "salt")}
    return SimpleNamespace(config=json.loads(str(arrays["config"])), salt=str(arrays["salt"]), **numbers)


@pytest.fixture(scope="session")
def golden_clip(golden) -> torch.nn.Module:
    """The tiny CLIP of the golden numbers."""
    from open_clip.model import CLIP

    config = golden.config
    clip = CLIP(
        config["embed_dim"],
        {
            "image_size": config["image_resolution"],
            "layers": config["vision_layers"],
            "width": config["vision_width"],
            "patch_size": config["vision_patch_size"],
        },
        {
            "context_length": config["context_length"],
            "vocab_size": config["vocab_size"],
            "width": config["transformer_width"],
            "heads": config["transformer_heads"],
            "layers": config["transformer_layers"],
        },
        quick_gelu=True,
    )
    names = clip.state_dict()
    clip.load_state_dict({name: golden_weight(name, tuple(t.shape), golden.salt) for name, t in names.items()})
    return clip.eval()


@pytest.fixture(scope="session")
def small_clip() -> torch.nn.Module:
    """An untrained CLIP with eight small blocks, 64 pixels, patches of 8, and CLIP's vocabulary."""
    from .tiny_models.clip import build_clip

    return build_clip()


@pytest.fixture(scope="session")
def miniature_folder(tmp_path_factory) -> Path:
    """Untrained models in the very formats of those of the miniature world."""
    from .tiny_models import write_miniature_models

    return write_miniature_models(tmp_path_factory.mktemp("miniature"))


@pytest.fixture(scope="session")
def clip_tokenizer():
    """CLIP's tokenizer, which takes a while to make."""
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(context_length=77)


@pytest.fixture
def quality(small_clip, clip_tokenizer):
    """A quality model around ``small_clip``, with empty caches and zeroed counters."""
    from grefine_core import QualityModel

    from .tiny_models.clip import build_embeddings

    return QualityModel(small_clip, build_embeddings(), tokenizer=clip_tokenizer, name="small")


@pytest.fixture(scope="session")
def pictures() -> torch.Tensor:
    """Three different pictures (3, 45, 70, 3): smooth, so that resizing does not blur them into one."""
    generator = torch.Generator().manual_seed(7)
    coarse = torch.rand(3, 3, 5, 7, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size=(45, 70), mode="bilinear")
    return fine.permute(0, 2, 3, 1).contiguous()


def draw_picture(path: Path, quality: float = 1.0) -> Path:
    """Write the picture of this name; ``quality`` from 0 (dark and blurred) to 1."""
    random = np.random.default_rng(zlib.crc32(path.name.encode()))
    coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    picture = coarse.resize((72, 56), Image.Resampling.NEAREST).filter(ImageFilter.GaussianBlur(8 * (1 - quality)))
    picture = Image.blend(Image.new("RGB", picture.size), picture, 0.1 + 0.9 * quality)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


@pytest.fixture(scope="session")
def drawn() -> Callable[..., Path]:
    """The function that draws."""
    return draw_picture


@pytest.fixture(scope="session")
def agiqa_rows() -> list[dict[str, str]]:
    """Real rows of AGIQA-3K."""
    with AGIQA_3K.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def agiqa(tmp_path, agiqa_rows) -> Path:
    """AGIQA-3K with these rows and stand-in pictures."""
    (tmp_path / "agiqa").mkdir()
    (tmp_path / "agiqa" / "data.csv").write_bytes(AGIQA_3K.read_bytes())
    for row in agiqa_rows:
        draw_picture(tmp_path / "agiqa" / row["name"], float(row["mos_quality"]) / 5)
    return tmp_path / "agiqa"
